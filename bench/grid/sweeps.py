"""Swept settings of protocols, each a column of its own, and the axis of `evaluate.at`."""

import itertools
from collections.abc import Mapping
from typing import Any

from ...protocols import PROTOCOLS
from ..identity import to_json
from .schema import Grid, as_list

AT = "at"


def at_axes(grid: Grid) -> list[dict[str, Any]]:
    """Return the shares of the steps after which encoders are evaluated, each as an axis."""
    at = grid.evaluate.at
    return [{}] if at is None else [{AT: share} for share in at]


def swept_values(value: Any, default: Any) -> list[Any] | None:
    """Return the values of a swept setting; None if it is a single one, which may be a list too."""
    if not isinstance(value, list):
        return None
    single = isinstance(default, list) and not any(isinstance(one, list) for one in value)
    return None if single else value


def sweep_settings(
    given: dict[str, Any], defaults: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the swept values as a text, and the given settings, at each point of the sweep."""
    every = {name: swept_values(value, defaults[name]) for name, value in given.items()}
    swept = {name: values for name, values in every.items() if values is not None}
    points = [dict(zip(swept, one, strict=True)) for one in itertools.product(*swept.values())]
    return [(describe_settings(point), given | point) for point in points]


def changed_settings(protocol: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that differ from the defaults of a protocol, if it is known here."""
    known = PROTOCOLS.get(protocol)
    usual = to_json(known.settings()) if known else {}
    return {name: value for name, value in given.items() if value != usual.get(name)}


def describe_settings(values: dict[str, Any]) -> str:
    """Return settings of a protocol as in the head of a column: `readout patch_max`."""
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    """Return a value of a setting without blanks: `0.9/0.999`, `true`."""
    parts = as_list(value)
    return "/".join(str(one).lower() if isinstance(one, bool) else str(one) for one in parts)
