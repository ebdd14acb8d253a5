"""Runs a program on a terminal of its own, and types.

    terminal.py WAIT TYPE [WAIT TYPE]... -- PROGRAM [ARGUMENT]...

Each time that the program has printed WAIT, TYPE is typed; `^C` in it is Ctrl-C, and a line ends it otherwise. All that the program
prints is printed, and its exit code is this one's.
"""

import os
import pty
import sys
import time

LIMIT_SECONDS = 60


def main() -> int:
    at = sys.argv.index("--")
    steps = list(zip(sys.argv[1:at:2], sys.argv[2:at:2]))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.argv[at + 1], sys.argv[at + 1 :])
    os.set_blocking(terminal, False)
    seen, begun = "", time.monotonic()
    while time.monotonic() - begun < LIMIT_SECONDS:
        try:
            portion = os.read(terminal, 65536).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.02)
            continue
        except OSError:  # The program has ended, and its terminal with it.
            portion = ""
        if not portion:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(portion, end="", flush=True)
        seen += portion
        if steps and steps[0][0] in seen:
            (_, text), seen = steps.pop(0), ""
            os.write(terminal, b"\x03" if text == "^C" else f"{text}\n".encode())
    os.kill(pid, 9)
    print(f"\nnot ended after {LIMIT_SECONDS} s; still to come: {steps}")
    return 99


if __name__ == "__main__":
    sys.exit(main())
