"""The leaderboard of a plan, and the scores behind it."""

from collections.abc import Sequence
from dataclasses import replace

from ...results.gain import gains_of
from ...results.leaderboard import METRICS, Leaderboard, tabulate_scores
from ...results.metric import RECALL
from ...results.notes import Note
from ...results.record import RunRecord, digest_json
from ...results.scores import Column, LeaderboardError, Score
from ..grid.expand import UNTRAINED, PlannedPretraining, PlannedRun, network_of
from ..plan.entry import Entry
from ..plan.plan import Plan
from ..seeding import stream
from ..store.records import Store
from ..suggest import nearest
from .chip_predictions import ChipPredictions
from .metric_values import chosen_metric, records_of, with_metric
from .notes import notes as plan_notes
from .reference_levels import reference_notes


def leaderboard(
    plan: Plan,
    metric: str = "accuracy",
    predictions: ChipPredictions | None = None,
    sort: str = "rank",
    *,
    gain: bool = False,
) -> Leaderboard:
    """Return the leaderboard of a plan.

    Args:
        plan: The grid against its store.
        metric: A built-in metric, one of another package, or `recall:<class>`.
        predictions: Predictions, for metrics other than accuracy, balanced accuracy and macro F1,
            and for tests over test chips.
        sort: `rank`, `name` or a column.
        gain: Show the gain of trained rows over their untrained controls.

    Raises:
        LeaderboardError: The plan has no run, the metric or class is unknown, or the records
            cannot be compared.
    """
    return tabulate(
        plan, scores_of(plan), metric, notes_of(plan, predictions), predictions, sort, gain=gain
    )


def tabulate(
    plan: Plan,
    scores: Sequence[Score],
    metric: str,
    notes: Sequence[Note],
    predictions: ChipPredictions | None = None,
    sort: str = "rank",
    *,
    gain: bool = False,
) -> Leaderboard:
    """Return the leaderboard of the scores of a plan; arguments as in `leaderboard`."""
    measure = chosen_metric(records_of(plan), metric)
    if predictions:
        scores, more = with_metric(scores, measure, predictions)
        notes = [*notes, *more]
    compares = plan.grid.compare
    board = tabulate_scores(scores, measure, notes, sort=sort, chips=predictions, compares=compares)
    board = replace(board, notes=[*reference_notes(plan, board), *board.notes])
    rng = stream(0, "statistics")
    gains = gains_of(scores, untrained_rows(plan), measure, predictions, rng, compares)
    return replace(board, gains=gains if gain else None, above_untrained=gains.above())


def notes_of(plan: Plan, predictions: ChipPredictions | None) -> list[Note]:
    """Return the notes of a plan and of the verification of its scores."""
    return [*plan_notes(plan), *(predictions.notes() if predictions else [])]


def scores_of(plan: Plan) -> list[Score]:
    """Return every run of a plan as a score."""
    return [_score(plan, entry) for entry in plan.runs]


def resolve_rows(plan: Plan, first: str, second: str) -> tuple[str, str]:
    """Return the rows of two names; a name is a row, a label or a method.

    Of several untrained controls, the one with the encoder of the other row is chosen.

    Raises:
        LeaderboardError: A name matches no row or several; the message lists them.
    """
    found = [_matches(plan, name) for name in (first, second)]
    for side, other in ((0, 1), (1, 0)):
        if len(found[other]) == 1 and all(one.method == UNTRAINED for one in found[side]):
            control = _untrained_of(plan, found[other][0], found[side])
            found[side] = [control] if control else found[side]
    for name, starts in zip((first, second), found, strict=True):
        if len(starts) > 1:
            listed = "; ".join(start.row for start in starts)
            raise LeaderboardError(f"{name!r} matches {len(starts)} rows; give one of: {listed}")
    return found[0][0].row, found[1][0].row


def untrained_rows(plan: Plan) -> dict[str, str]:
    """Return the row of the untrained control of each trained row that has exactly one."""
    starts: dict[str, PlannedPretraining] = {}
    for entry in plan.pretrain:
        starts.setdefault(entry.planned.row, entry.planned)
    untrained = [start for start in starts.values() if start.method == UNTRAINED]
    found = {
        row: _untrained_of(plan, start, untrained)
        for row, start in starts.items()
        if start.encoder and not plan.methods[start.method].control
    }
    return {row: control.row for row, control in found.items() if control}


def _untrained_of(
    plan: Plan, start: PlannedPretraining, untrained: Sequence[PlannedPretraining]
) -> PlannedPretraining | None:
    """Return the untrained control with the encoder of a row; None if there is not exactly one."""
    wanted = network_of(start, plan.methods)
    alike = [one for one in untrained if network_of(one, plan.methods) == wanted]
    return alike[0] if len(alike) == 1 else None


def _matches(plan: Plan, name: str) -> list[PlannedPretraining]:
    """Return a pretraining of each row that a name matches."""
    rows: dict[str, PlannedPretraining] = {}
    for entry in plan.pretrain:
        rows.setdefault(entry.planned.row, entry.planned)
    if name in rows:
        return [rows[name]]
    matches = [start for start in rows.values() if name in (start.method, start.label)]
    if not matches:
        known = dict.fromkeys([*rows, *(start.method for start in rows.values())])
        near = nearest(name, known)
        hint = f" Did you mean {near!r}?" if near else ""
        raise LeaderboardError(f"unknown row {name!r}.{hint} Allowed: {'; '.join(known)}")
    return matches


def shared_columns(plan: Plan, first: str, second: str) -> int:
    """Return the number of columns that two rows share."""
    columns: dict[str, set[Column]] = {first: set(), second: set()}
    for entry in plan.runs:
        run = entry.planned
        if run.pretraining.row in columns:
            columns[run.pretraining.row].add(run.column)
    return len(columns[first] & columns[second])


def predictions_of(plan: Plan, store: Store) -> ChipPredictions:
    """Return the predictions of the finished runs of a plan, verified against their records.

    Raises:
        LeaderboardError: Records disagree with their predictions or their split.
    """
    predictions = ChipPredictions(store, records_of(plan))
    predictions.refuse_false()
    return predictions


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
        condition=planned.condition,
        settings=planned.swept,
    )


def check_class(plan: Plan, metric: str) -> None:
    """Refuse the recall of a class that no data set of the plan has.

    Raises:
        LeaderboardError: It lists the known classes.
    """
    classes = {c for name in plan.grid.evaluate.datasets if (known := plan.data.get(name))
               for c in known.classes}  # fmt: skip
    wanted = metric.removeprefix(RECALL)
    if metric.startswith(RECALL) and classes and wanted not in classes:
        listed = ", ".join(sorted(classes))
        raise LeaderboardError(
            f"no data set of this grid has a class {wanted!r}; classes: {listed}"
        )
