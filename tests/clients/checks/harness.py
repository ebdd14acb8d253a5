"""What all checks share: how one is written, how a run of them is told.

A check is a function that takes the world of its service. Its name is the promise; its docstring says what the real
service does and where that is written down:

  [API]      the API reference of the service, with the action or operation
  [Guide]    the developer guide or product documentation, with the page
  [Model]    the service's API model, as the official SDKs carry it
  [Recorded] the service's own answer, as recorded by public test suites that ran against it
  [Client]   what the official client itself insists on
  [Ours]     a promise of localcloud alone: its faults and its clocks
"""

from __future__ import annotations

import faulthandler
import json
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from types import ModuleType
from typing import Any

RUN_SECONDS_MAX = 300
"""A run that takes longer hangs; it then ends with the stack of every thread."""
MESSAGE_CHARACTERS_MAX = 600

CHECKS_AT_ONCE = 8

Check = Callable[[Any], None]


def check(function: Check) -> Check:
    """Marks a function as a check."""
    if "[" not in (function.__doc__ or ""):
        raise SyntaxError(f"{function.__name__} does not say where its promise is written down")
    function.is_check = True  # type: ignore[attr-defined]
    return function


def equal(got: Any, expected: Any, what: Any = "") -> None:
    """Fails with both values."""
    if got != expected:
        raise AssertionError(f"{what}{': ' if what else ''}expected {expected!r}, got {got!r}")


class Admin:
    """The admin endpoint of `bridge local`, for the faults and the clock of one service."""

    def __init__(self, address: str, service: str) -> None:
        self._address, self._service = address, service

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def fault(self, **fault: Any) -> Any:
        return self.ask("POST", "/faults", {"service": self._service, **fault})

    def clock_ahead(self, milliseconds: int) -> None:
        self.ask("PUT", f"/clocks/{self._service}", {"offset_ms": milliseconds})

    def restore(self) -> None:
        """Ends all faults and sets the clock right, so that a failed check cannot fail those after it."""
        self.ask("DELETE", "/faults")
        self.clock_ahead(0)


def site(ready: Mapping[str, Any], cloud: str) -> Mapping[str, str]:
    """The one site of that cloud in a ready file."""
    return next(site for site in ready["sites"].values() if site["cloud"] == cloud)


def checks_of(modules: Iterable[ModuleType], only: Sequence[str] = ()) -> list[Check]:
    """The checks of some modules, in their order: those whose name contains one of `only`, or all."""
    checks = [value for module in modules for value in vars(module).values() if getattr(value, "is_check", False)]
    return [one for one in checks if not only or any(part in one.__name__ for part in only)]


def run(modules: Sequence[ModuleType], new_world: Callable[[], Any], only: Sequence[str]) -> int:
    """Runs the chosen checks; 0 if all passed, 1 if not or if there was none.

    Most of a check is waiting, so several run at once, each thread with a world of its own; but the modules that say
    `ALONE` meddle with the whole service, so theirs run one by one, afterwards.
    """
    faulthandler.dump_traceback_later(RUN_SECONDS_MAX, exit=True)
    together = [module for module in modules if not getattr(module, "ALONE", False)]
    alone = [module for module in modules if getattr(module, "ALONE", False)]
    local = threading.local()

    def outcome(one: Check) -> str:
        if not hasattr(local, "world"):
            local.world = new_world()
        return _outcome(one, local.world)

    passed = failed = 0
    with ThreadPoolExecutor(CHECKS_AT_ONCE) as pool:
        for line in chain(pool.map(outcome, checks_of(together, only)), map(outcome, checks_of(alone, only))):
            print(line, flush=True)
            passed += line.startswith("ok")
            failed += line.startswith("FAIL")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


def _outcome(one: Check, world: Any) -> str:
    start = time.monotonic()
    try:
        one(world)
        return f"ok    {one.__name__}  {time.monotonic() - start:.2f} s"
    # Whatever goes wrong fails this check alone; the rest of the run is worth having.
    except Exception as error:
        return f"FAIL  {one.__name__}: {_reason(error)}\n      {promise(one)}"
    finally:
        world.clean_up()


def _reason(error: Exception) -> str:
    line = traceback.extract_tb(error.__traceback__)[-1].line or ""
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return f"{kind}{error or line}"[:MESSAGE_CHARACTERS_MAX]


def promise(one: Check) -> str:
    """What the service does, and where that is written down."""
    return " ".join((one.__doc__ or "").split())
