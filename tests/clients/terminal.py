"""Runs a command at a terminal of its own, and presses Ctrl-C when it asks.

terminal.py QUESTION COMMAND [ARGUMENT...]     ends with the command's exit code, within 30 s
"""

from __future__ import annotations

import os
import pty
import signal
import sys

LIMIT_S = 30
CTRL_C = b"\x03"


def main() -> int:
    question, *command = sys.argv[1:]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], command)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.alarm(LIMIT_S)
    said = b""
    asked = False
    # At its end a terminal that nobody holds any more is an error to read from.
    try:
        while part := os.read(terminal, 4096):
            said += part
            if not asked and question.encode() in said:
                asked = True
                os.write(terminal, CTRL_C)
    except OSError:
        pass
    sys.stdout.buffer.write(said)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
