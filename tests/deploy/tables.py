#!/usr/bin/env python3
"""Writes the README.md of each Terraform module: its own head, then tables of inputs and outputs.

    python3 tests/deploy/tables.py

The text above the line "<!-- tables -->" is written by hand, and kept.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
MARK = "<!-- tables: written by tests/deploy/tables.py -->"
BLOCK = re.compile(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)


def page(module: Path) -> str:
    """The whole page of a module."""
    path = module / "README.md"
    head = path.read_text().split(MARK)[0] if path.exists() else f"# deploy/{module.relative_to(DEPLOY)}\n\n{_first_comment(module)}\n\n"
    code = "\n".join(file.read_text() for file in sorted(module.glob("*.tf")))
    found = [(kind, name, body) for kind, name, body in BLOCK.findall(code)]
    lines = ["## Inputs", "| name | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {_default(body)} | {_description(body)} |" for kind, name, body in found if kind == "variable"]
    lines += ["", "## Outputs", "| name | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {_description(body)} |" for kind, name, body in found if kind == "output"]
    return f"{head}{MARK}\n" + "\n".join(lines) + "\n"


def _first_comment(module: Path) -> str:
    lines = (module / "main.tf").read_text().splitlines()
    return "\n".join(line.removeprefix("# ") for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


def _description(body: str) -> str:
    return re.search(r'^  description = "(.*)"$', body, re.MULTILINE).group(1).replace('\\"', '"').replace("|", "\\|")


def _default(body: str) -> str:
    found = re.search(r"^  default\s+= (.*)$", body, re.MULTILINE)
    return f"`{found.group(1)}`" if found else "must be set"


def main() -> int:
    for main_file in sorted(DEPLOY.rglob("main.tf")):
        (main_file.parent / "README.md").write_text(page(main_file.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
