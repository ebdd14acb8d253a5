#!/usr/bin/env python3
"""Unpacks what `just package` made as the hosts do: into DIRECTORY/lambda and DIRECTORY/function, modes and all."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

def main() -> int:
    packages, directory = map(Path, sys.argv[1:])
    shutil.rmtree(directory, ignore_errors=True)
    unpack(packages / "lambda-x86_64.zip", directory / "lambda")
    unpack(packages / "function.zip", directory / "function")
    return 0


def unpack(archive: Path, directory: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            path = directory / entry.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.read(entry))
            path.chmod(entry.external_attr >> 16 & 0o777)


if __name__ == "__main__":
    sys.exit(main())
