"""Outcomes of the contract for methods that are not bundled, one file per state of their code."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import ValidationError

from ..methods import _registry
from ..results.record import Strict
from .catalogue import plugin_digest
from .store import Store, write_atomic

NAMED = 3  # failures that are written out; `sarbench methods check` shows all


class Contract(Strict):
    """The outcome of all checks of a method."""

    method: str
    code: str  # digest of the plug-in's source
    failures: list[str]  # "check: explanation"
    time: str  # ISO 8601, UTC


def check_contracts(
    store: Store, names: Iterable[str], warn: Callable[[str], None]
) -> dict[str, list[str]]:
    """Check each method that is not bundled, unless its code was checked before.

    The outcome is kept in the store; a failure is reported and stops nothing.

    Returns:
        The failures of each method that has some.
    """
    names = list(names)
    for name in _plugins(names):
        path = _file(store, name)
        if _read(path) is None:
            text = _check(name).model_dump_json(indent=1)
            write_atomic(path, text + "\n")
    failed = failed_contracts(store, names)
    for name, failures in failed.items():
        others = ", ".join(failure.partition(":")[0] for failure in failures[NAMED:])
        more = f"; also: {others}" if others else ""
        warn(
            f"{name} fails {len(failures)} checks of the contract: {'; '.join(failures[:NAMED])}"
            f"{more}. It is run, and its rows are marked; see: sarbench methods check {name}"
        )
    return failed


def failed_contracts(store: Store, names: Iterable[str]) -> dict[str, list[str]]:
    """Return the stored failures of each method that has some; nothing is checked or imported.

    Where the installed code was never checked, the newest outcome of the name counts.
    """
    failed = {}
    for name in _plugins(names):
        found = _read(_file(store, name)) or _newest(store, name)
        if found and found.failures:
            failed[name] = found.failures
    return failed


def _check(name: str) -> Contract:
    from .method_checks import run_checks  # imports torch

    checked = run_checks(_registry.get(name))
    return Contract(
        method=name,
        code=plugin_digest(name),
        failures=[f"{check}: {problem}" for check, problem in checked if problem is not None],
        time=time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    )


def _plugins(names: Iterable[str]) -> list[str]:
    """Return the names that are not bundled; a name that is no identifier becomes no path."""
    own = _registry.own_names()
    return [name for name in dict.fromkeys(names) if name not in own and name.isidentifier()]


def _file(store: Store, name: str) -> Path:
    return store.root / "contracts" / f"{name}-{plugin_digest(name)}.json"


def _read(path: Path) -> Contract | None:
    try:
        return Contract.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _newest(store: Store, name: str) -> Contract | None:
    found = [_read(path) for path in (store.root / "contracts").glob(f"{name}-*.json")]
    return max((one for one in found if one), key=lambda one: one.time, default=None)
