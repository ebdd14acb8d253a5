#!/usr/bin/env python3
"""Lays out the whole content of the image: FOLDER/root, and prints each file with its size and its SHA-256.

    python3 deploy/container/content.py PROGRAM FOLDER

PROGRAM is the bridge for this machine's architecture. The image holds it, the libraries that the loader names for it, the
authorities that TLS trusts, and the names of two users. Libraries and authorities are this machine's own: build on the system that
you want them from, and keep it up to date.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
LIBRARIES = {"libc", "libm", "libgcc_s", "libdl", "libpthread", "librt", "ld-linux-x86-64", "ld-linux-aarch64"}
"""What the program may load. Anything else is a new dependency that nobody decided on."""
TEXTS = {
    "etc/passwd": "root:x:0:0:root:/:/none\nbridge:x:65532:65532:bridge:/:/none\n",
    "etc/group": "root:x:0:\nbridge:x:65532:\n",
    # Names come from the container's own hosts file and DNS servers.
    "etc/nsswitch.conf": "passwd: files\nhosts: files dns\n",
}


def main() -> int:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    program, root = Path(sys.argv[1]), Path(sys.argv[2]) / "root"
    if root.exists():
        shutil.rmtree(root)
    put(root, program, "bridge", 0o555)
    for library in libraries(program):
        put(root, library, str(library).lstrip("/"), 0o555)
    put(root, AUTHORITIES, str(AUTHORITIES).lstrip("/"), 0o444)
    for name, text in TEXTS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o444)
    for path in sorted(root.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            print(f"{hashlib.sha256(data).hexdigest()}  {len(data):>10}  /{path.relative_to(root)}")
    return 0


def libraries(program: Path) -> list[Path]:
    """What the loader loads for the program, by the paths at which it looks."""
    told = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    found = [Path(path) for path in re.findall(r"(?:=> )?(/\S+) \(0x", told)]
    strange = [path.name for path in found if path.name.split(".so")[0] not in LIBRARIES]
    if strange or "not found" in told:
        sys.exit(f"the program loads what the image does not provide: {', '.join(strange) or told}")
    return found


def put(root: Path, source: Path, name: str, mode: int) -> None:
    """Copies a file, following links."""
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


if __name__ == "__main__":
    sys.exit(main())
