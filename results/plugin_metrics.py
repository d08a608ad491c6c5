"""Metrics of other packages: entry points of the group `sarbench.metrics`.

An entry point NAME = "package:function" names a function of (truth, scores, classes): the class of
each test chip (M,), the scores of all classes (M, C), and the names of the classes. It returns a
number. Higher values are better unless the function has an attribute `lower_is_better = True`. With
`needs_probabilities = True` it is called only for scores that are probabilities.
"""

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from numbers import Real
from typing import Any

from .metric import BUILT_IN, Metric, MetricError, Predicted

GROUP = "sarbench.metrics"
NAME = re.compile("[a-z][a-z0-9_]*")
LARGEST = 1e100  # so that means and variances do not overflow


@cache
def plugin_metrics() -> dict[str, Metric | str]:
    """Return the metrics of installed packages, or the reason why one cannot be used."""
    found: dict[str, Metric | str] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        name = entry.name
        if name in BUILT_IN:
            found[name] = f"{entry.value} has the name of a metric of sarbench; rename it"
        elif not NAME.fullmatch(name):
            found[name] = f"{entry.value}: a name has small letters, digits and _ only; rename it"
        elif name in found:
            found[name] = f"two packages have a metric {name}; uninstall one or rename its metric"
        else:
            found[name] = _load(name, entry)
    return found


def usable() -> dict[str, Metric]:
    """Return the metrics of installed packages that can be used."""
    return {name: one for name, one in plugin_metrics().items() if isinstance(one, Metric)}


def _load(name: str, entry: Any) -> Metric | str:
    try:
        function = entry.load()
    except (Exception, SystemExit) as error:  # code of another package; the message must name it
        return f"importing {entry.value} failed with {type(error).__name__}: {error}"
    if not callable(function):
        return f"{entry.value} is not a function of (truth, scores, classes)"

    def of_scores(run: Predicted) -> float:
        return _value(name, function, run)

    return Metric(
        name,
        name.replace("_", " ").capitalize(),
        lower_is_better=bool(getattr(function, "lower_is_better", False)),
        is_fraction=False,
        needs_probabilities=bool(getattr(function, "needs_probabilities", False)),
        of_scores=of_scores,
    )


def _value(name: str, function: Callable[..., Any], run: Predicted) -> float:
    """Return the value of a metric for one run.

    Raises:
        MetricError: The function raises, or returns something else than a finite number, or one
            whose square overflows.
    """
    try:
        value = function(run.labels, run.scores, run.names)
    except (Exception, SystemExit) as error:  # code of another package; the message must name it
        raise MetricError(f"metric {name} raised {type(error).__name__}: {error}") from error
    if not (_is_real(value) and -LARGEST <= value <= LARGEST):
        raise MetricError(
            f"metric {name} returned {value!r}, not a finite number of at most {LARGEST:g}"
        )
    return float(value)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
