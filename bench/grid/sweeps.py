"""Swept settings of protocols: lists of values, each a column of its own."""

import itertools
from typing import Any

from .schema import as_list


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
    return [
        (", ".join(f"{name} {_shown(value)}" for name, value in point.items()), given | point)
        for point in points
    ]


def _shown(value: Any) -> str:
    """Return a value of a setting without blanks: `0.9/0.999`, `true`."""
    parts = as_list(value)
    return "/".join(str(one).lower() if isinstance(one, bool) else str(one) for one in parts)
