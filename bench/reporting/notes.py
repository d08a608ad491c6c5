"""Sentences under a leaderboard: encoders, pool, data, versions, and what rows do not share."""

from collections.abc import Sequence

from ...results.record import RunRecord
from ..data.names import set_of, split_source
from ..data.sharing import Sharing
from ..grid.applicable import sentence
from ..grid.expand import pools_of
from ..grid.schema import describe_pool
from ..plan.comparability import compute_note, differences
from ..plan.plan import Plan, describe_pretraining


def notes(plan: Plan) -> list[str]:
    """Return what a reader must know to judge the numbers of a plan, a sentence each."""
    return [
        *_pretraining_notes(plan), *differences(plan), *filter(None, [compute_note(plan)]),
        *_pool_notes(plan), *_data_notes(plan), *_version_notes(plan),
        *_untraced_notes(plan), *_not_applicable_notes(plan),
    ]  # fmt: skip


def _pretraining_notes(plan: Plan) -> list[str]:
    identities = [entry.planned.identity for entry in plan.pretrain]
    trained = [identity for identity in identities if identity and identity.recipe]
    if not trained:
        return []
    encoders = ", ".join(dict.fromkeys(i.encoder["name"] for i in trained if i.encoder))
    epochs = ", ".join(dict.fromkeys(str((i.recipe or {})["epochs"]) for i in trained))
    seeds = len({identity.seed for identity in trained})
    return [
        f"Encoder size {encoders}; epochs {epochs}; {trained[0].precision}; "
        f"pretraining seeds {seeds}."
    ]


def _pool_notes(plan: Plan) -> list[str]:
    """Return what a reader must know of the pools, and of sets that the store does not know."""
    asked = {entry.planned.dataset for entry in plan.runs}
    pools = pools_of(entry.planned for entry in plan.pretrain)
    lines = []
    for pool in pools:
        named = f" {describe_pool(pool)}" if len(pools) > 1 else ""
        if shared := plan.sharing.get(pool):
            lines.append(_drawn(plan, pool, next(iter(shared.values()))))
            lines += [_shared(name, one, named) for name, one in shared.items() if name in asked]
        elif all(set_of(name) in plan.data for name in pool):
            lines.append(
                f"Overlap of pool{named} and data sets: not counted, since the pool is not "
                "prepared here."
            )
    for name in plan.needs():
        if name not in plan.data:
            lines.append(
                f"This store does not describe {name}, so its results cannot be matched: run "
                f"`sarbench data prepare {name} --data DIR`, with DIR the folder of its files."
            )
    return lines


def _drawn(plan: Plan, pool: Sequence[str], one: Sharing) -> str:
    parts = []
    for name, count in zip(pool, one.drawn, strict=True):
        split = split_source(name)
        labelled = ", labelled" if len(pool) == 1 else ""
        source = f" (the training split of {split}{labelled})" if split else ""
        parts.append(f"{count:,} of {name}{source}")
    cap = plan.grid.pretrain.pool_cap
    drawn = f" (a fixed draw of {cap:,})" if cap else ""
    return f"Pool: {sum(one.drawn):,} chips{drawn}: {', '.join(parts)}."


def _shared(name: str, one: Sharing, pool: str) -> str:
    parts = [
        f"{one.test:,} of its test chips (allowed by the grid)" if one.test else "no test chip",
        f"{one.train:,} of its training chips" if one.train else "no training chip",
    ]
    text = f"{name}: the pool{pool} holds {' and '.join(parts)}, by id or equal image"
    if one.vehicles:
        text += (
            f"; {one.vehicle_chips:,} of its chips show one of {one.vehicles} vehicles (serial "
            "numbers) of the test set"
        )
    return f"{text}."


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


def _untraced_notes(plan: Plan) -> list[str]:
    """Name the rows whose weights no record of a pretraining vouches for."""
    rows = [
        describe_pretraining(start.planned)
        for start, runs in plan.grouped()
        if start.state != "done" and any(entry.state == "done" for entry in runs)
    ]
    if not rows:
        return []
    return [
        f"The store has no record of these pretrainings, so their scores cannot be traced to "
        f"weights: {', '.join(rows)}. `sarbench check` lists the runs."
    ]


def _not_applicable_notes(plan: Plan) -> list[str]:
    parts = [sentence(entry) for entry in plan.not_applicable]
    measured = {entry.planned.pretraining.method for entry in plan.runs}
    for name in (name for name in plan.methods if name in measured):
        info = plan.methods[name]
        if set(plan.grid.evaluate.protocols) - set(info.protocols):
            parts.append(f"{info.label} is measured by {' and '.join(info.protocols)} only")
    return [f"Not applicable (n/a), and left out: {'; '.join(parts)}."] if parts else []
