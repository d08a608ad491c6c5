"""From a plan to the scores of a leaderboard, and the notes that a reader needs beside it."""

from dataclasses import replace

from ..results.leaderboard import METRICS, RECALL, Leaderboard, tabulate_scores
from ..results.metrics import recalls
from ..results.record import RunRecord, digest_json
from ..results.scores import LeaderboardError, Score
from .applicable import sentence
from .grid import unknown
from .outcomes import Outcomes
from .plan import Entry, Plan
from .seeding import stream
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
        scores, metric, said, sort=sort, chips=outcomes, rng=stream(0, "statistics")
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


def notes(plan: Plan) -> list[str]:
    """Return one sentence each on encoders, pool, data, versions, weights, overlap and devices."""
    return [
        *_pretraining_notes(plan), *_data_notes(plan), *_version_notes(plan),
        *_not_applicable_notes(plan),
    ]  # fmt: skip


def _not_applicable_notes(plan: Plan) -> list[str]:
    listed = "; ".join(sentence(entry) for entry in plan.not_applicable)
    return [f"Not applicable (n/a), and left out: {listed}."] if listed else []


def _pretraining_notes(plan: Plan) -> list[str]:
    identities = [entry.planned.identity for entry in plan.pretrain]
    trained = [identity for identity in identities if identity and identity.recipe]
    if not trained:
        return []
    members = zip(plan.grid.pretrain.pool, trained[0].pool, strict=True)
    pool = ", ".join(f"{name} ({member['count']} chips)" for name, member in members)
    cap = f", capped at {trained[0].pool_cap}" if trained[0].pool_cap else ""
    encoders = ", ".join(dict.fromkeys(i.encoder["name"] for i in trained if i.encoder))
    epochs = ", ".join(dict.fromkeys(str((i.recipe or {})["epochs"]) for i in trained))
    seeds = len({identity.seed for identity in trained})
    claim = "; what is said of a method is said of this one checkpoint" if seeds == 1 else ""
    return [
        f"Encoder {encoders}, pretrained on {pool}{cap} for {epochs} epochs, {seeds} "
        f"pretraining seed(s), {trained[0].precision}{claim}."
    ]


def _data_notes(plan: Plan) -> list[str]:
    lines = []
    asked = {entry.planned.dataset for entry in plan.runs}
    for name in plan.grid.evaluate.datasets:
        if name in asked and (known := plan.data.get(name)):
            rendering = f", rendering {known.rendering}" if known.rendering else ""
            train, test = (sum(known.counts[side].values()) for side in ("train", "test"))
            lines.append(
                f"{name}: {train} training and {test} test chips, split {known.split_digest[:12]}, "
                f"pixels {known.data_digest[:12]}{rendering}."
            )
    for name, count in plan.overlaps.items():
        lines.append(f"Overlap allowed by the grid: the pool holds {count} test chips of {name}.")
    if not plan.overlaps and plan.sharing:
        lines.append("Overlap: no chip of the pool, by id or equal image, is in a test set here.")
    return lines


def _version_notes(plan: Plan) -> list[str]:
    lines = []
    done = [entry for entry in plan.runs if isinstance(entry.record, RunRecord)]
    protocols = {e.record.identity["protocol"]: e.record.identity for e in done if e.record}
    if protocols:
        listed = ", ".join(
            f"{name} {identity['protocol_version']} (readout {identity['settings']['readout']})"
            for name, identity in protocols.items()
        )
        lines.append(f"Protocol versions: {listed}.")
    weights: dict[str, str] = {}
    for entry in done:
        start = entry.planned.pretraining
        seed = f" seed {start.seed}" if start.seed else ""
        if isinstance(entry.record, RunRecord):
            weights.setdefault(f"{start.row}{seed}", entry.record.weights_digest[:8])
    if weights:
        listed = ", ".join(f"{row} {digest}" for row, digest in weights.items())
        lines.append(f"Weights (SHA-256): {listed}.")
    made = sorted({e.record.provenance.commit[:10] for e in done if e.record})
    if made:
        dirty = any(e.record.provenance.dirty for e in done if e.record)
        lines.append(
            f"Code: commit {', '.join(made)}{' with uncommitted changes' if dirty else ''}."
        )
    devices = {e.record.provenance.device for e in done if e.record}
    if len(devices) > 1:
        lines.append(f"Cells mix devices, which moves numbers by float noise: {sorted(devices)}.")
    return lines
