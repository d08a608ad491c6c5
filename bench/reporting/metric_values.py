"""The values of a metric of scores for the runs of a plan.

They are computed from the stored scores, so that they follow from predictions as accuracies do.
Where the scores are not stored, as in an archive without them, the records give the values.
"""

from collections.abc import Sequence
from dataclasses import replace

from ...protocols import PROTOCOLS
from ...results.class_metrics import recalls
from ...results.metric import BUILT_IN, OF_CLASSES, RECALL, Metric, MetricError, metric_of
from ...results.notes import Note
from ...results.plugin_metrics import plugin_metrics, usable
from ...results.record import RunRecord
from ...results.scores import Column, LeaderboardError, Score, column_name
from ..plan.plan import Plan
from ..suggest import shortened
from .chip_predictions import ChipPredictions

LISTED = 3  # cells that an error names


class _Lacking(Exception):
    """The reason why a run has no value of a metric that it should have."""


def records_of(plan: Plan) -> list[RunRecord]:
    """Return the records of the finished runs of a plan."""
    return [entry.record for entry in plan.runs if isinstance(entry.record, RunRecord)]


def chosen_metric(records: Sequence[RunRecord], name: str) -> Metric:
    """Return a metric by its name: of sarbench, of an installed package, or of the records.

    Raises:
        UnknownMetricError: No metric has this name.
        LeaderboardError: The package of the metric cannot be used.
    """
    named = {metric for record in records for metric in record.metrics}
    lower = {metric for record in records for metric in record.lower_is_better}
    found = metric_of(name, {
        other: Metric(
            other, other.replace("_", " ").capitalize(),
            lower_is_better=other in lower, is_fraction=False,
        )
        for other in {*named, *plugin_metrics()}
    } | usable())  # fmt: skip
    problem = None if name in BUILT_IN else plugin_metrics().get(name)
    if isinstance(problem, str) and name not in named and found.of_scores is None:
        raise LeaderboardError(f"metric {name} cannot be used: {problem}")
    return found


def recorded_metrics(plan: Plan) -> list[str]:
    """Return the metrics of scores in the records of a plan; none if a record has none at all."""
    records = records_of(plan)
    if not all(record.metrics for record in records):
        return []
    return list(dict.fromkeys(name for record in records for name in record.metrics))


def with_metric(
    scores: Sequence[Score], metric: Metric, predictions: ChipPredictions
) -> tuple[list[Score], list[Note]]:
    """Add a metric to the values of scores; leave out columns without it.

    Args:
        scores: Runs of a plan, finished or not.
        metric: The metric; accuracy, balanced accuracy and macro F1 are there already.
        predictions: Their predictions and records.

    Returns:
        The scores, and notes on the columns that were left out and on values that were not
        computed here.

    Raises:
        LeaderboardError: Runs lack the metric; it names the first ones. Or no run can have it.
    """
    if metric.name in OF_CLASSES:
        return list(scores), []
    if metric.name.startswith(RECALL):
        return _with_recalls(scores, metric.name, predictions), []
    found, lacking, as_recorded = list[Score](), dict[str, list[Score]](), 0
    columns = {} if metric.of_scores else _unrecorded(scores, metric, predictions)
    for score in scores:
        if score.column in columns:
            continue
        record = predictions.record(score.key) if score.values else None
        if record is None:
            found.append(score)
            continue
        try:
            value, computed = _value(record, metric, predictions)
        except _Lacking as reason:
            lacking.setdefault(str(reason), []).append(score)
            continue
        if value is None:
            columns[score.column] = _reason(score, metric)
            continue
        as_recorded += not computed
        found.append(replace(score, values={**score.values, metric.name: value}))
    if lacking:
        raise LeaderboardError(_message(metric, lacking, sum(bool(s.values) for s in scores)))
    found = [score for score in found if score.column not in columns]
    if columns and not found:
        reasons = ", ".join(dict.fromkeys(columns.values()))
        raise LeaderboardError(
            f"no run of this table has {metric.name} ({reasons}); choose another metric"
        )
    notes = []
    if columns:
        listed = "; ".join(
            f"{', '.join(column_name(one) for one in columns if columns[one] == why)} ({why})"
            for why in dict.fromkeys(columns.values())
        )
        text = f"Left out: {listed}."
        notes.append(Note("Numbers", text, text))
    if as_recorded:
        missing = "the scores of their test chips are" if metric.of_scores else "its package is"
        text = f"{metric.title} of {as_recorded} runs is as in the records; {missing} not here."
        notes.append(Note("Numbers", text, f"Not verified: {text}"))
    return found, notes


def _with_recalls(
    scores: Sequence[Score], metric: str, predictions: ChipPredictions
) -> list[Score]:
    """Return the columns that have test chips of a class, with its recall.

    Raises:
        LeaderboardError: No finished run has a test chip of this class.
    """
    found = [_with_recall(score, metric, predictions) for score in scores]
    columns = {score.column for score in found if metric in score.values}
    if not columns:
        raise LeaderboardError(
            f"no finished run of this grid has a test chip of class {metric[len(RECALL) :]!r}"
        )
    return [score for score in found if score.column in columns]


def _with_recall(score: Score, metric: str, predictions: ChipPredictions) -> Score:
    """Add the recall of one class to a score whose data set has that class."""
    predicted = predictions.predicted(score.key) if score.values else None
    if predicted is None:
        return score
    split = predictions.split(score.dataset)
    if split is None:
        return score
    every = recalls(split.test_labels, predicted, len(split.classes))
    found = dict(zip(split.classes, every, strict=True))
    value = found.get(metric[len(RECALL) :])
    if value is None or value != value:  # no such class, or no test chip of it
        return score
    return replace(score, values={**score.values, metric: float(value)})


def _value(
    record: RunRecord, metric: Metric, predictions: ChipPredictions
) -> tuple[float | None, bool]:
    """Return the value for a run, None if it cannot have one, and whether it was computed here.

    Raises:
        _Lacking: The run has no value, but could have one.
    """
    protocol = PROTOCOLS.get(record.identity["protocol"])
    if metric.needs_probabilities and protocol and not protocol.probabilities:
        return None, True
    if metric.of_scores:
        try:
            values = predictions.score_values(record.key, metric)
        except MetricError as error:
            raise _Lacking(f"{error}; correct its package") from error
        if values is not None:
            return values.get(metric.name), True
    if metric.name in record.metrics:
        return record.metrics[metric.name], False
    if record.metrics and metric.name in BUILT_IN:
        return None, False
    if metric.of_scores is None:
        raise _Lacking(
            "their records have none, and the package of the metric is not installed here; install "
            "it"
        )
    raise _Lacking(
        "the scores of all classes are not stored (older versions did not keep them); rerun "
        "them with `sarbench run GRID --force`"
    )


def _unrecorded(
    scores: Sequence[Score], metric: Metric, predictions: ChipPredictions
) -> dict[Column, str]:
    """Return the columns with finished runs of which no record has the metric, with the reason."""
    known: dict[Column, bool] = {}
    for score in scores:
        if (record := predictions.record(score.key)) is not None:
            has = metric.name in record.metrics
            known[score.column] = known.get(score.column, False) or has
    return {column: "no record has it" for column, has in known.items() if not has}


def _reason(score: Score, metric: Metric) -> str:
    protocol = PROTOCOLS.get(score.protocol)
    if metric.needs_probabilities and protocol and not protocol.probabilities:
        return f"{score.protocol} has no probabilities"
    return "it is not defined for these classes"


def _message(metric: Metric, lacking: dict[str, list[Score]], finished: int) -> str:
    count = sum(map(len, lacking.values()))
    lines = [f"{count} of {finished} runs have no {metric.name}:"]
    for reason, scores in lacking.items():
        cells = dict.fromkeys(f"{one.method} in {column_name(one.column)}" for one in scores)
        lines.append(f"{shortened(cells, LISTED)}: {reason}")
    lines.append(
        "You can also leave these runs out with -m -d -p -k -s, or choose "
        f"{', '.join(OF_CLASSES)} or {RECALL}CLASS"
    )
    return "\n".join(lines)
