#!/usr/bin/env python3
"""Lays out the packages as the hosts find them, in DIRECTORY/lambda and DIRECTORY/function.

    unpack.py PACKAGES DIRECTORY             unpacks what `just package` made, modes and all
    unpack.py --program PROGRAM DIRECTORY    puts PROGRAM where the packages have theirs, without a build
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

FUNCTION = Path(__file__).resolve().parent.parent.parent / "deploy" / "azure" / "function"


def main() -> int:
    source, directory = Path(sys.argv[-2]), Path(sys.argv[-1])
    shutil.rmtree(directory, ignore_errors=True)
    if sys.argv[1] == "--program":
        lay_out(source, directory)
    else:
        unpack(source / "lambda-x86_64.zip", directory / "lambda")
        unpack(source / "function.zip", directory / "function")
    return 0


def lay_out(program: Path, directory: Path) -> None:
    shutil.copytree(FUNCTION, directory / "function")
    for place in ("lambda/bootstrap", "function/bridge"):
        (directory / place).parent.mkdir(parents=True, exist_ok=True)
        (directory / place).hardlink_to(program)


def unpack(archive: Path, directory: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = directory / entry.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.read(entry))
            path.chmod(entry.external_attr >> 16 & 0o777)


if __name__ == "__main__":
    sys.exit(main())
