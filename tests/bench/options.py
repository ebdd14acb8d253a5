"""What the scripts of this folder take from the command line, and where they find the clients' scripts."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "clients"))

from contenders import Contender, of  # noqa: E402


def parser(about: str | None) -> argparse.ArgumentParser:
    # So that whoever stops a script stops localcloud and the contenders with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--program", type=Path, required=True, help="the bridge that runs localcloud")
    made.add_argument("--bridge", type=Path, help="the bridge that is measured: the package's; the same program unless given")
    made.add_argument("--node-modules", type=Path, default=ROOT / "target/bench/node/node_modules", help="packages of the Node anchor")
    made.add_argument("--others", type=Path, help="the Python that has the packages of anchors/others: measures those too")
    made.add_argument("--address", default="127.9.0.1", help="loopback address of Service Bus")
    made.add_argument("--sides", default="aws,azure", help="what to measure")
    made.add_argument("--only", help="contenders, by their names with commas between")
    made.add_argument("--bytes", type=int, default=900, help="of an event")
    made.add_argument("--seed", type=int, default=1)
    return made


def contenders_of(options: argparse.Namespace) -> list[Contender]:
    all_of_them = of(options.bridge or options.program, Path(sys.executable), options.node_modules, options.others)
    wanted = options.only.split(",") if options.only else [one.name for one in all_of_them]
    if unknown := set(wanted) - {one.name for one in all_of_them}:
        raise SystemExit(f"no contender is named {', '.join(sorted(unknown))}; there are {', '.join(one.name for one in all_of_them)}")
    return [one for one in all_of_them if one.name in wanted]


def sides_of(options: argparse.Namespace) -> list[str]:
    return str(options.sides).split(",")
