"""From a plan to the scores of a leaderboard, and the notes that a reader needs beside it."""

from ..results.leaderboard import METRICS, Leaderboard, Score, tabulate_scores
from .plan import Entry, Plan


def leaderboard(plan: Plan, metric: str = "accuracy") -> Leaderboard:
    """Return the leaderboard of a plan.

    Raises:
        LeaderboardError: Nothing to show, an unknown metric, or records that cannot be compared.
    """
    scores = [_score(plan, entry) for entry in plan.runs]
    return tabulate_scores(scores, metric, notes(plan))


def _score(plan: Plan, entry: Entry) -> Score:
    planned, record = entry.planned, entry.record
    start, info = planned.pretraining, plan.methods[planned.pretraining.method]
    values, versions = {}, {}
    if record:
        values = {name: getattr(record, name) for name in METRICS}
        identity = record.identity
        names = ("data_digest", "split_digest", "protocol_version")
        versions = {name: str(identity[name])[:12] for name in names}
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
    )


def notes(plan: Plan) -> list[str]:
    """Return one sentence each on encoders, pool, data, overlap and mixed devices."""
    trained = [e.planned.identity for e in plan.pretrain if e.planned.identity]
    trained = [identity for identity in trained if identity.recipe]
    lines = []
    if trained:
        pool = ", ".join(f"{m['name']} ({m['count']} chips)" for m in trained[0].pool)
        cap = f", capped at {trained[0].pool_cap}" if trained[0].pool_cap else ""
        encoders = ", ".join(dict.fromkeys(i.encoder["name"] for i in trained if i.encoder))
        epochs = ", ".join(dict.fromkeys(str((i.recipe or {})["epochs"]) for i in trained))
        seeds = len({identity.seed for identity in trained})
        lines.append(
            f"Encoder {encoders}, pretrained on {pool}{cap} for {epochs} epochs, {seeds} "
            f"pretraining seed(s), {trained[0].precision}."
        )
    for name in plan.grid.evaluate.datasets:
        if known := plan.data.get(name):
            rendering = f", rendering {known.rendering}" if known.rendering else ""
            train, test = (sum(known.counts[side].values()) for side in ("train", "test"))
            lines.append(
                f"{name}: {train} training and {test} test chips, split {known.split_digest[:12]}, "
                f"pixels {known.data_digest[:12]}{rendering}."
            )
    for name, count in plan.overlaps.items():
        lines.append(f"Overlap allowed by the grid: the pool holds {count} test chips of {name}.")
    devices = {e.record.provenance.device for e in plan.runs if e.record}
    if len(devices) > 1:
        lines.append(f"Cells mix devices, which moves numbers by float noise: {sorted(devices)}.")
    return lines
