"""What the documents of deployment name exists. Their `console` blocks are not run: they need real accounts."""

from __future__ import annotations

import importlib.util
import re
import tempfile
import unittest
import zipfile
from pathlib import Path

from terraform import DEPLOY, ROOT

PAGES = [DEPLOY / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("rights", "costs", "sizing", "security", "upgrade"))]


class Documents(unittest.TestCase):
    """Commands, paths and names."""

    def test_every_command_names_a_module_with_its_variables_and_outputs(self) -> None:
        seen = 0
        for page in PAGES:
            for line in re.findall(r"terraform -chdir=.*", page.read_text()):
                module, rest = re.match(r"terraform -chdir=(\S+) (.*)", line).groups()
                code = "\n".join(file.read_text() for file in (DEPLOY / module.strip("`")).glob("*.tf"))
                with self.subTest(line):
                    self.assertTrue(code)
                    for name in re.findall(r"-var (\w+)=", rest):
                        self.assertIn(f'variable "{name}"', code)
                    for name in re.findall(r"output (?:-raw )?(\w+)", rest):
                        self.assertIn(f'output "{name}"', code)
                seen += 1
        self.assertGreater(seen, 5)

    def test_every_variable_that_must_be_set_is_set_by_the_guide(self) -> None:
        guide = PAGES[0].read_text()
        for module in ("two-clouds", "state/aws", "state/azure"):
            code = (DEPLOY / module / "main.tf").read_text()
            for name, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', code, re.MULTILINE | re.DOTALL):
                if "  default " not in body:
                    with self.subTest(module, name=name):
                        self.assertIn(f"-var {name}=", guide)

    def test_every_recipe_file_and_link_exists(self) -> None:
        recipes = set(re.findall(r"^([a-z-]+)[^\n]*:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE))
        for page in PAGES:
            text = page.read_text()
            with self.subTest(page.name):
                self.assertLessEqual(set(re.findall(r"\./just ([a-z-]+)", text)), recipes)
                for path in re.findall(r"`((?:docs|runbooks|tests|deploy|schema|\.github)/[\w./-]+)`", text):
                    self.assertTrue((ROOT / path).exists(), path)
                for path in re.findall(r"\]\((?!http)([^)#]+)", text):
                    self.assertTrue((page.parent / path).exists(), path)

    def test_a_configuration_goes_into_every_package(self) -> None:
        spec = importlib.util.spec_from_file_location("package", DEPLOY / "package.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with tempfile.TemporaryDirectory() as folder:
            module.PACKAGES = Path(folder)
            file = Path(folder) / "x.toml"
            file.write_text("[worker]\n")
            for path, *_ in module.package("x86_64", file, file):
                with zipfile.ZipFile(path) as archive:
                    self.assertEqual(archive.read("bridge.toml"), b"[worker]\n")
            for path, *_ in module.package("x86_64", file):
                with zipfile.ZipFile(path) as archive:
                    self.assertNotIn("bridge.toml", archive.namelist())


if __name__ == "__main__":
    unittest.main()
