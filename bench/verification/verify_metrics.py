"""Check the metrics of the scores of a run against its predictions."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

import numpy as np

from ...protocols import PROTOCOLS, Protocol
from ...results.metric import OF_SCORES, Metric, MetricError, run_of, score_values
from ...results.plugin_metrics import usable
from ...results.record import RunRecord
from ..data.splits import Split

TOLERANCE = 1e-9  # between a stored value and the one computed again, relative if it is above 1


def of_scores(
    split: Split, stored: dict[str, np.ndarray], metrics: Iterable[Metric], protocol: Protocol
) -> dict[str, float]:
    """Return metrics of the stored scores of a run, without those that it does not have.

    Raises:
        MetricError: A metric of another package fails.
    """
    known = protocol.probabilities
    run = run_of(
        split.test_labels, stored["classes"], stored["scores"], split.classes,
        has_probabilities=known,
    )  # fmt: skip
    return score_values(run, metrics, has_probabilities=known)


def metric_problems(
    record: RunRecord,
    stored: dict[str, np.ndarray],
    split: Split,
    computed_before: dict[str, dict[str, float] | None],
) -> Iterator[str]:
    """Yield a sentence for each metric of the record that differs from the one computed again.

    The built-in ones are kept in `computed_before`, by the key of the run, for its tables.
    Metrics of packages that are not installed here, or that fail, are not checked.
    """
    protocol, classes = PROTOCOLS.get(record.identity["protocol"]), stored["classes"]
    scores = stored.get("scores")
    if not record.metrics or protocol is None or scores is None or scores.ndim == 1:
        return
    last = len(split.classes) - 1
    if len(classes) != len(split.test_labels) or classes.min() < 0 or classes.max() > last:
        return  # another problem says so
    again = of_scores(split, stored, OF_SCORES.values(), protocol)
    computed_before[record.key] = dict(again)
    checked = set(OF_SCORES)
    for name in record.metrics.keys() & usable().keys():
        with suppress(MetricError):
            again |= of_scores(split, stored, [usable()[name]], protocol)
            checked.add(name)
    for name in sorted(record.metrics.keys() & checked):
        value, computed = record.metrics[name], again.get(name)
        if computed is None or not abs(value - computed) <= TOLERANCE * max(1, abs(computed)):
            by = "none" if computed is None else f"{computed:.6f}"
            yield f"{name} is {value:.6f} in the record, {by} by its predictions"
