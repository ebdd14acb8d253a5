#!/usr/bin/env python3
"""Runs the packaged Lambda function in a virtual machine of its own, with as little memory as the smallest function has.

The kernel refuses allocations by its default rule (vm.overcommit_memory=0), there is no swap, and the program's pages come from a disk.
The processor is emulated. All loopback addresses of the guest lead to this machine. One process gets ten events, the fullest batch of
ordinary events, a heavy batch, and ten events again; each event must be in DynamoDB. Exit code 0 if all is so, 1 if not.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import botocore

from acceptance import say
from clouds import connect
from host_memory import FEW, FIRST, SETTINGS, batches, key, message
from hosts import script
from hosts.counts import Counts
from hosts.event_source_mapping import EventSourceMapping
from hosts.lambda_runtime import Ended, Environment
from hosts.partial_batch import kept
from hosts.settings import lambda_function
from local import Local
from site_port import Site

MACHINE_MB = 166
"""The kernel and its tables keep the rest: see the MemTotal that the guest prints."""
BATCH = 10
TELL_SECONDS = 3.0
"""In which the guest, which looks once a second, surely tells a peak."""
HEAVY = ("many", "one text")
"""As `host_memory.py` names them."""
BOOT_SECONDS_MAX = 120.0
TIMEOUT_SECONDS = 600.0
"""Of an invocation: emulated code is slow."""
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
"""Where mkfs.ext4 is, on systems that hide it from users."""
VARIABLES_BYTES = 64 * 1024
"""The disk with the function's environment."""
MODULES = "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk failover net_failover virtio_net"
"""What the kernel needs for disks and network, in an order in which it takes them."""

START = """#!/bin/busybox sh
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
for module in {modules}; do $bb insmod /modules/$module.ko; done
$bb mount -t ext4 -o ro /dev/vda /root
exec $bb switch_root /root /bin/busybox sh /guest
"""
"""Runs from memory, which it then gives back."""
GUEST = """
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t devtmpfs dev /dev
$bb mount -t tmpfs tmp /tmp
$bb ip address add 10.0.2.15/24 dev eth0
echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet
$bb ip link set eth0 up
$bb ip route add 127.0.0.0/8 via 10.0.2.2 dev eth0 src 10.0.2.15
echo 0 >/proc/sys/vm/overcommit_memory
. /dev/vdb
export PATH=/bin LAMBDA_TASK_ROOT=/var/task
value() { while read -r name value _; do if [ "$name" = "$1:" ]; then echo "$value"; fi; done <"$2"; }
echo "guest: MemTotal $(value MemTotal /proc/meminfo) kB, MemAvailable $(value MemAvailable /proc/meminfo) kB," \\
    "overcommit_memory $($bb cat /proc/sys/vm/overcommit_memory), up $($bb cut -d ' ' -f 1 /proc/uptime) s"
cd /var/task
$bb start-stop-daemon -S -c function:990 -x /var/task/bootstrap &
pid=$!
while kill -0 $pid 2>/dev/null; do
    $bb sleep 1
    uid=$(value Uid /proc/$pid/status 2>/dev/null)
    now=$(value VmHWM /proc/$pid/status 2>/dev/null)
    if [ "$now" != "$peak" ] && [ "$now" ]; then
        peak=$now
        echo "guest: bootstrap of uid $uid: peak $peak kB, MemAvailable $(value MemAvailable /proc/meminfo) kB"
    fi
done
wait $pid
echo "guest: bootstrap ended with $?"
$bb poweroff -f
"""
"""Starts the function as a user, and tells when its resident set is larger than ever.

QEMU's user network connects to a loopback address of its host as to any other, once the guest sends it there.
"""


def main() -> int:
    options = _options()
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Local(options.bridge, options.address, "--without-workers", "--service-bus-premium") as local,
        connect(local.ready_file) as clouds,
    ):
        site = clouds.aws
        _build(Path(folder), options.package / "lambda", options.machine, options.memory)
        # Its text, as the guest does not have the file.
        config = f"BRIDGE_CONFIG={Path(local.ready['config']).read_text()}"
        function = lambda_function(Path(folder), local.ready, site.name, TIMEOUT_SECONDS, [*SETTINGS, config])
        counts = Counts()
        environment = Environment(replace(function, memory_mb=128, init_seconds_max=BOOT_SECONDS_MAX), counts)
        mapping = EventSourceMapping(local.ready["sites"][site.name], TIMEOUT_SECONDS, counts)
        try:
            for name, bodies in _batches(site, options.only or HEAVY):
                if lines := [f"{name}: {line}" for line in _invoke(environment, mapping, site, name, bodies)]:
                    wrong += lines
                    break
            if environment.pid:
                # It is frozen, and shall tell its last peak.
                os.kill(environment.pid, signal.SIGCONT)
                time.sleep(TELL_SECONDS)
        finally:
            environment.close()
    for line in environment.lines:
        print(line[: script.CHARACTERS_SHOWN])
    return script.verdict(wrong)


def _invoke(
    environment: Environment, mapping: EventSourceMapping, site: Site, name: str, bodies: Sequence[bytes]
) -> Iterator[str]:
    pid = environment.pid
    messages = [message(body) for body in bodies]
    payload = mapping.event(messages)
    begin = time.monotonic()
    outcome = environment.invoke(payload)
    took_seconds = time.monotonic() - begin
    say(f"{name}: {len(messages)} events, {len(payload) / 2**20:.1f} MiB, {took_seconds:.1f} s, {outcome.how.value}")
    if outcome.how is not Ended.ANSWER:
        yield f"it ended with {outcome.how}: {outcome.body[-500:]!r}"
        return
    if pid not in (None, environment.pid):
        yield "another process answered"
    if staying := kept(outcome, {str(one["MessageId"]) for one in messages}):
        yield f"{len(staying)} of {len(messages)} messages must come again"
    keys = [str(key(body)) for body in bodies]
    stored = {one for one in keys if site.record(one)} if len(keys) <= FEW else set(site.records())
    if lost := [one for one in keys if one not in stored]:
        yield f"{len(lost)} events are not in DynamoDB, as {lost[0]}"
    if letters := site.letters_waiting():
        yield f"{letters} events were set aside"


def _batches(site: Site, only: Sequence[str]) -> Iterator[tuple[str, Sequence[bytes]]]:
    yield "ten", [script.event(site, f"guest/first/{at}") for at in range(BATCH)]
    yield from ((name, bodies) for name, bodies in batches(site) if name.removesuffix(FIRST) in only)
    yield "ten again", [script.event(site, f"guest/last/{at}") for at in range(BATCH)]


def _build(folder: Path, package: Path, machine: Path, memory_mb: int) -> None:
    """A folder whose `bootstrap` is the machine: it gives the guest its own environment, and becomes the emulator."""
    machine = machine.resolve()
    qemu, busybox = machine / "usr/bin/qemu-system-x86_64", machine / "bin/busybox"
    kernel = next(machine.glob("boot/vmlinuz-*"), None)
    for needed in (qemu, busybox, kernel, package / "bootstrap"):
        if not needed or not needed.exists():
            raise SystemExit(f"{needed or machine / 'boot/vmlinuz-*'} is missing: `./just guest` brings the machine and the package")
    if not shutil.which("mkfs.ext4", path=PATH):
        raise SystemExit("mkfs.ext4 is missing: install e2fsprogs, then run this again")

    first = _tree(folder / "first", busybox, "modules", "root")
    (first / "init").write_text(START.format(modules=MODULES))
    (first / "init").chmod(0o755)
    for name in MODULES.split():
        shutil.copy(next(machine.glob(f"lib/modules/**/{name}.ko")), first / "modules")
    pack = "find . | busybox cpio -o -H newc 2>/dev/null >../first.cpio"
    _run("sh", "-ec", pack.replace("busybox", shlex.quote(str(busybox))), cwd=first)

    root = _tree(folder / "root", busybox, "proc", "tmp", "var/task", "lib64", "etc/ssl/certs")
    (root / "guest").write_text(GUEST)
    (root / "etc/passwd").write_text("function:x:993:990::/:/bin/sh\n")
    shutil.copy(Path(botocore.__file__).parent / "cacert.pem", root / "etc/ssl/certs/ca-certificates.crt")
    shutil.copy(package / "bootstrap", root / "var/task")
    for word in _run("ldd", str(package / "bootstrap")).split():
        if word.startswith("/"):
            shutil.copy(word, root / "lib64")
    (root / "lib").symlink_to("lib64")
    _run("mkfs.ext4", "-q", "-d", str(root), str(folder / "root.ext4"), "96M")

    libraries = ":".join(str(machine / place / "x86_64-linux-gnu") for place in ("usr/lib", "lib"))
    disks = [word for name in ("root.ext4", "variables") for word in ("-drive", f"file={folder / name},format=raw,if=virtio")]
    places = [word for place in ("qemu", "seabios") for word in ("-L", str(machine / "usr/share" / place))]
    command = [str(qemu), *places, "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", str(memory_mb), *disks]
    command += ["-nic", "user,model=virtio-net-pci", "-display", "none", "-serial", "stdio", "-no-reboot"]
    command += ["-kernel", str(kernel), "-initrd", str(folder / "first.cpio")]
    command += ["-append", "console=ttyS0 loglevel=4 panic=-1"]
    (folder / "bootstrap").write_text(
        f"""#!/bin/sh
export -p >variables
head -c {VARIABLES_BYTES} /dev/zero | tr '\\0' '\\n' >>variables
truncate -s {VARIABLES_BYTES} variables
LD_LIBRARY_PATH={shlex.quote(libraries)} exec {shlex.join(command)}
"""
    )
    (folder / "bootstrap").chmod(0o755)


def _tree(folder: Path, busybox: Path, *places: str) -> Path:
    for place in ("bin", "dev", *places):
        (folder / place).mkdir(parents=True)
    shutil.copy(busybox, folder / "bin")
    return folder


def _run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env={**os.environ, "PATH": PATH}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: guest.py target/debug/bridge --package dist --machine machine")
    parser.add_argument("bridge", type=Path, help="the built binary, which plays the clouds")
    parser.add_argument("--package", type=Path, required=True, help="the folder of the unpacked lambda/")
    parser.add_argument("--machine", type=Path, required=True, help="the folder of Debian's packages: kernel, QEMU, busybox, unpacked")
    parser.add_argument("--memory", type=int, default=MACHINE_MB, help="megabytes of the machine (%(default)s)")
    parser.add_argument("--only", action="append", help=f"these batches of host_memory.py instead of {' and '.join(HEAVY)}")
    parser.add_argument("--address", default="127.4.0.1", help="a loopback address for Service Bus (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
