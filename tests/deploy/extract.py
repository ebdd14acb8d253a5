#!/usr/bin/env python3
"""Writes schemas/PROVIDER.json: names and types of every resource, data source and provider that deploy/ uses.

    python3 tests/deploy/extract.py        # after a new kind of resource, or to move to newer providers (10 s, 130 MB to load)

No provider can be downloaded where the tests run. The packages of CDK Terrain carry each provider's schema as JSON (`.jsii`):
what may be set, what must be set, what is a block, what is computed. Two things are not in it, and are guessed here: a set is
written as a list, and whether an optional attribute is also computed is unknown (it stays null where nobody sets it).
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEPLOY = HERE.parent.parent / "deploy"
PACKAGES = {
    "aws": "cdktn-provider-aws==25.8.1",
    "azurerm": "cdktn-provider-azurerm==18.9.0",
    "cloudflare": "cdktn-provider-cloudflare==16.4.0",
}
REPRESENTS = re.compile(r"Represents a \{@link \S*/providers/(\w+)/(\w+)/([\d.]+)/docs(/resources|/data-sources)?\S*\s+(\w+)\}")
ANCHOR = re.compile(r"#(\w+) ")
PRIMITIVES = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic"}


def main() -> int:
    used = {kind: set(re.findall(rf'^{kind} "(\w+)"', _all_code(), re.MULTILINE)) for kind in ("resource", "data")}
    for provider, package in PACKAGES.items():
        reader = Reader(_types(package))
        schema = reader.provider(provider, used)
        schema["from"] = package
        path = HERE / "schemas" / f"{provider}.json"
        path.write_text(_lines(schema))
        print(f"{path.name}: {schema['version']}, {len(schema['resource'])} resources, {len(schema['data'])} data sources")
    return 0


def _lines(schema: dict) -> str:
    """JSON with a line for each resource."""
    packed = {key: json.dumps(value, sort_keys=True, separators=(",", ":")) for key, value in schema.items() if key not in ("resource", "data")}
    for section in ("resource", "data"):
        rows = [f"{json.dumps(name)}:{json.dumps(block, sort_keys=True, separators=(',', ':'))}" for name, block in sorted(schema[section].items())]
        packed[section] = "{\n" + ",\n".join(rows) + "\n}"
    return "{\n" + ",\n".join(f"{json.dumps(key)}:{value}" for key, value in sorted(packed.items())) + "\n}\n"


def _all_code() -> str:
    return "\n".join(path.read_text() for path in sorted(DEPLOY.rglob("*.tf")) if ".terraform" not in path.parts)


def _types(package: str) -> dict:
    """The types of a package's `.jsii`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package]
        subprocess.run(command, check=True)
        wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
        inner = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        archive = tarfile.open(fileobj=io.BytesIO(wheel.read(inner)))
        return json.load(archive.extractfile("package/.jsii"))["types"]


class Reader:
    """Turns the classes of a package into schemas."""

    def __init__(self, types: dict) -> None:
        self.types = types

    def provider(self, provider: str, used: dict[str, set[str]]) -> dict:
        """The schema of a provider, with what is used of it."""
        found: dict = {"resource": {}, "data": {}}
        for name, kind in self.types.items():
            match = REPRESENTS.match(kind.get("docs", {}).get("summary", ""))
            if not match:
                continue
            owner, _, version, folder, word = match.groups()
            section = "data" if folder == "/data-sources" else "resource" if folder == "/resources" else None
            # The package calls a data source data_aws_x; the language calls it aws_x.
            word = word.removeprefix("data_") if section == "data" else word
            if section is None:
                found |= {"source": f"{owner}/{provider}", "version": version, "provider": self._block(name, f"{name}Config")}
            elif word in used[section]:
                found[section][word] = self._block(name, f"{name}Config")
        return found

    def _block(self, output: str, config: str) -> dict:
        """A block: what one may set (`config`, an interface) and what the provider tells (`output`, a class)."""
        attributes, blocks = {}, {}
        settable = self.types.get(config, {}).get("properties", [])
        for item in settable:
            docs = item.get("docs", {})
            name = _tf_name(item)
            presence = "optional" if item.get("optional") else "required"
            shape, inner = self._shape(item["type"])
            if inner is None:
                attributes[name] = [shape, presence]
            elif docs.get("summary", "") == f"{name} block.":
                blocks[name] = {"nesting": "single" if name == "timeouts" else shape, "required": presence == "required", **inner}
            else:
                attributes[name] = [{"nested": shape, **inner}, presence]
        known = {item["name"] for item in settable}
        for item in self.types.get(output, {}).get("properties", []):
            name = item["name"]
            if item.get("static") or name in known or name.endswith("Input") or name in ("internalValue", "fqn"):
                continue
            # What the config's interface leaves out, the provider computes.
            shape, _ = self._shape(item["type"], computed=True)
            attributes[_snake(name)] = [shape, "computed"]
        return {"attributes": attributes, "blocks": blocks}

    def _shape(self, kind: dict, computed: bool = False) -> tuple[object, dict | None]:
        """An attribute's type, or how a block is nested with the block."""
        if "primitive" in kind:
            return PRIMITIVES[kind["primitive"]], None
        if "union" in kind:
            return self._shape(next(one for one in kind["union"]["types"] if one.get("fqn") != "cdktn.IResolvable"), computed)
        if "collection" in kind:
            many = {"array": "list", "map": "map"}[kind["collection"]["kind"]]
            shape, inner = self._shape(kind["collection"]["elementtype"], computed)
            return (many, inner) if inner is not None else ([many, shape], None)
        name = kind["fqn"]
        if name == "cdktn.IResolvable":
            return "bool", None
        if name.startswith("cdktn."):
            texts = {"StringMap": ["map", "string"], "BooleanMap": ["map", "bool"], "NumberMap": ["map", "number"]}
            return texts.get(name.removeprefix("cdktn."), "dynamic"), None
        if computed:
            return "dynamic", None
        return "one", self._block(f"{name}OutputReference", name)


def _tf_name(item: dict) -> str:
    docs = item.get("docs", {})
    match = ANCHOR.search(docs.get("summary", "") + " " + docs.get("remarks", ""))
    return match.group(1) if match else _snake(item["name"])


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


if __name__ == "__main__":
    sys.exit(main())
