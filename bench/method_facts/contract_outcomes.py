"""Stored outcomes of the contract checks of plug-ins, one file per state of their code."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from ...methods import _registry
from ...results.record import Strict
from ..store.records import Store
from .method_info import plugin_digest

CHECKS = 2  # raised with every new check, so that stored outcomes of fewer checks do not count


class Contract(Strict):
    """The outcome of all checks of a method."""

    method: str
    code: str  # digest of the plug-in's source
    failures: list[str]  # "check: explanation"
    time: str  # ISO 8601, UTC


def failed_contracts(store: Store, names: Iterable[str]) -> dict[str, list[str]]:
    """Return the stored failures of each method that has any, without importing a method.

    If the installed code was never checked, the newest outcome under the same name counts.
    """
    failed = {}
    for name in plugins(names):
        found = read_outcome(outcome_file(store, name)) or _newest(store, name)
        if found and found.failures:
            failed[name] = found.failures
    return failed


def plugins(names: Iterable[str]) -> list[str]:
    """Return the names that are not bundled and, because names become paths, are identifiers."""
    own = _registry.own_names()
    return [name for name in dict.fromkeys(names) if name not in own and name.isidentifier()]


def outcome_file(store: Store, name: str) -> Path:
    """Return the file for the outcome of a plug-in's current code."""
    return store.root / "contracts" / f"{name}-{plugin_digest(name)}-{CHECKS}.json"


def read_outcome(path: Path) -> Contract | None:
    """Return a stored outcome, or None if the file is missing or damaged."""
    try:
        return Contract.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _newest(store: Store, name: str) -> Contract | None:
    found = [read_outcome(path) for path in (store.root / "contracts").glob(f"{name}-*.json")]
    return max((one for one in found if one), key=lambda one: one.time, default=None)
