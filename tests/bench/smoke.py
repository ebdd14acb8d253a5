#!/usr/bin/env python3
"""A few hundred events through every contender, out of order and repeated: each must end where an independent reading of the contract ends.

Exits with 1 and prints each difference if one does not.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

# First: it says where the scripts of tests/clients are.
from options import contenders_of, parser, sides_of

from contenders import config_of
from local import Local
from measure import Bench, judge, wait
from sides import SIDES
from traffic import Traffic

EVENTS, KEYS = 600, 40
TIES, DELETES = 0.5, 0.3
"""So many that ties decide, and deletes win."""


def main() -> int:
    options = parser(__doc__).parse_args()
    with Local(options.program, options.address, "--without-workers") as local, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(local, config_of(local.ready, folder / "bridge.toml"), folder)
        for side in [SIDES[name](local.ready, stack) for name in sides_of(options)]:
            for contender in contenders_of(options):
                run = f"smoke-{contender.name}"
                bodies = Traffic(side.site, run, EVENTS, KEYS, options.bytes, options.seed, TIES, DELETES).bodies_and_repeats()
                side.fill(bodies)
                process = bench.start(contender, side)
                try:
                    wait(process, side.is_settled, 0.05)
                    process.stop()
                finally:
                    process.kill()
                before = len(bench.wrong)
                judge(bench, contender, side, bodies, run)
                print(f"{contender.name}, {side.name}: {'ok' if len(bench.wrong) == before else 'WRONG'}", flush=True)
        print("\n".join(bench.wrong))
        return 1 if bench.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
