"""Runs Terraform on a module, with the providers of provider.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
SECONDS_MAX = 120
VERSION_MIN = (1, 10)


def find() -> str:
    """The program. Without it a test is skipped, and says what to install."""
    program = shutil.which(os.environ.get("BRIDGE_TERRAFORM", "terraform"))
    shown = subprocess.run([program, "version", "-json"], capture_output=True, text=True).stdout if program else "{}"
    version = json.loads(shown).get("terraform_version", "0.0")
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < VERSION_MIN:
        raise unittest.SkipTest("needs Terraform 1.10 or later: install it (terraform.io), or name it with BRIDGE_TERRAFORM")
    return str(program)


class Module:
    """A module of deploy/, with a place of its own for what Terraform writes."""

    def __init__(self, name: str, providers: dict[str, str], deploy: Path = DEPLOY) -> None:
        self.folder = deploy / name
        self._place = tempfile.TemporaryDirectory()
        self._state = Path(self._place.name) / "terraform.tfstate"
        nothing = Path(self._place.name) / "terraformrc"
        nothing.write_text("")
        self._environment = {
            **os.environ,
            **providers,
            "TF_DATA_DIR": self._place.name,
            "TF_CLI_CONFIG_FILE": str(nothing),  # Nobody's own settings.
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }
        self.run("init", "-backend=false", "-input=false").check()

    def __enter__(self) -> Module:
        return self

    def __exit__(self, *_: object) -> None:
        self._place.cleanup()

    def run(self, command: str, *words: str) -> Result:
        """Runs a command of Terraform."""
        line = [find(), f"-chdir={self.folder}", command, *words]
        line += [] if command in ("show", "output") else ["-no-color"]
        return Result(subprocess.run(line, env=self._environment, capture_output=True, text=True, timeout=SECONDS_MAX))

    def plan(self, variables: dict[str, object]) -> Result:
        """Plans with these values, from nothing."""
        return self.run("plan", "-input=false", "-refresh=false", "-lock=false", f"-state={self._state}", *_words(variables))

    def apply(self, variables: dict[str, object]) -> None:
        """Makes everything, in the invented cloud."""
        self.run("apply", "-auto-approve", "-input=false", "-lock=false", f"-state={self._state}", *_words(variables)).check()

    def outputs(self) -> dict[str, object]:
        """The outputs after an apply."""
        shown = json.loads(self._state.read_text())["outputs"]
        return {name: output["value"] for name, output in shown.items()}

    def resources(self) -> dict[str, dict]:
        """Every resource after an apply, by `module.a.kind.name[key]`, without indexes that are numbers."""
        found = {}
        for resource in json.loads(self._state.read_text())["resources"]:
            for instance in resource["instances"]:
                key = f"[{instance['index_key']}]" if isinstance(instance.get("index_key"), str) else ""
                module = f"{resource['module']}." if "module" in resource else ""
                found[f"{module}{resource['type']}.{resource['name']}{key}"] = instance["attributes"]
        return found


class Result:
    """What a command said."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.good = done.returncode == 0
        # Terraform breaks lines and draws a border: what it says is compared without either.
        self.said = re.sub(r"[\s│╷╵]+", " ", done.stdout + done.stderr)

    def check(self) -> None:
        """Ends in an error unless the command did."""
        if not self.good:
            raise AssertionError(self.said[-4000:])


def _words(variables: dict[str, object]) -> list[str]:
    return [word for name, value in variables.items() for word in ("-var", f"{name}={value if isinstance(value, str) else json.dumps(value)}")]
