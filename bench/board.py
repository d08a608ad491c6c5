"""From a plan to the scores of a leaderboard."""

from dataclasses import replace

from ..results.leaderboard import METRICS, RECALL, Leaderboard, tabulate_scores
from ..results.metrics import recalls
from ..results.record import RunRecord, digest_json
from ..results.scores import LeaderboardError, Score
from .grid import unknown
from .notes import notes
from .outcomes import Outcomes
from .plan import Entry, Plan
from .spread import PlannedRun
from .store import Store


def leaderboard(
    plan: Plan, metric: str = "accuracy", outcomes: Outcomes | None = None, sort: str = "rank"
) -> Leaderboard:
    """Return the leaderboard of a plan.

    Args:
        plan: What the grid asks for, and what is there.
        metric: What the cells show.
        outcomes: Predictions, for the recall of a class and for tests over chips.
        sort: `rank`, `name` or a column.

    Raises:
        LeaderboardError: Nothing to show, an unknown metric or class, or records that cannot be
            compared.
    """
    scores = scores_of(plan)
    if metric.startswith(RECALL) and outcomes:
        scores = [_with_recall(score, metric, outcomes) for score in scores]
    said = [*notes(plan), *(outcomes.notes() if outcomes else [])]
    return tabulate_scores(
        scores, metric, said, sort=sort, chips=outcomes, compares=plan.grid.compare
    )


def scores_of(plan: Plan) -> list[Score]:
    """Return every run of a plan as a score."""
    return [_score(plan, entry) for entry in plan.runs]


def resolve_row(plan: Plan, name: str) -> str:
    """Return the one row that a label, a row or a method's name means.

    Raises:
        LeaderboardError: None or several, with the rows that there are.
    """
    starts = [entry.planned for entry in plan.pretrain]
    rows = list(dict.fromkeys(start.row for start in starts))
    if name in rows:
        return name
    meant = list(dict.fromkeys(s.row for s in starts if name in (s.method, s.label)))
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise LeaderboardError(unknown("row", name, [*rows, *(start.method for start in starts)]))
    raise LeaderboardError(f"{name!r} means {len(meant)} rows; give one of: {', '.join(meant)}")


def outcomes_of(plan: Plan, store: Store) -> Outcomes:
    """Return the predictions of a plan's finished runs, compared with their records.

    Raises:
        LeaderboardError: Records that do not follow from predictions and split, listed.
    """
    records = [entry.record for entry in plan.runs if isinstance(entry.record, RunRecord)]
    outcomes = Outcomes(store, records)
    outcomes.refuse_false()
    return outcomes


def _score(plan: Plan, entry: Entry[PlannedRun]) -> Score:
    planned, record = entry.planned, entry.record
    start, info = planned.pretraining, plan.methods[planned.pretraining.method]
    values, versions, weights, support = {}, {}, "", ""
    if isinstance(record, RunRecord):
        values = {name: getattr(record, name) for name in METRICS}
        identity = record.identity
        names = ("data_digest", "split_digest", "protocol_version")
        versions = {name: str(identity[name]) for name in names}
        versions["settings"] = digest_json(identity["settings"])
        versions["number of test chips"] = str(record.test_count)
        weights, support = record.weights_digest, record.support_digest
    return Score(
        method=start.row,
        control=info.control,
        unconfirmed=info.unconfirmed,
        dataset=planned.dataset,
        protocol=planned.protocol,
        shots=planned.shots,
        pretrain_seed=start.seed,
        seed=planned.seed,
        state=entry.state,
        values=values,
        versions=versions,
        weights=weights,
        support=support,
        key=entry.key,
        start=start.identity.key if start.identity else None,
        name=start.method,
        encoder=start.encoder["name"] if start.encoder else None,
        fails_contract=start.method in plan.failing,
    )


def _with_recall(score: Score, metric: str, outcomes: Outcomes) -> Score:
    """Return a score with the recall of one class, where its data set has that class."""
    predicted = outcomes.predicted(score.key) if score.values else None
    if predicted is None:
        return score
    known = outcomes.labels(score.dataset)
    if known is None:
        return score
    labels, classes = known
    found = dict(zip(classes, recalls(labels, predicted, len(classes)), strict=True))
    value = found.get(metric[len(RECALL) :])
    if value is None or value != value:  # no such class, or no test chip of it
        return score
    return replace(score, values={**score.values, metric: float(value)})


def check_class(plan: Plan, metric: str) -> None:
    """Refuse the recall of a class that no data set of the plan has.

    Raises:
        LeaderboardError: With the classes that there are.
    """
    classes = {c for name in plan.grid.evaluate.datasets if (known := plan.data.get(name))
               for c in known.classes}  # fmt: skip
    wanted = metric.removeprefix(RECALL)
    if metric.startswith(RECALL) and classes and wanted not in classes:
        listed = ", ".join(sorted(classes))
        raise LeaderboardError(
            f"no data set of this grid has a class {wanted!r}; classes: {listed}"
        )
