"""Notes under a leaderboard that follow from its plan: rows, data, methods, provenance."""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from ...protocols import PROTOCOLS
from ...protocols._settings import EncoderTraining, HeadTraining
from ...results.notes import Note
from ...results.record import PretrainRecord, RunRecord
from ..augmentation.conditions import in_words
from ..data.names import TRAIN, set_of, split_source
from ..data.registry import card
from ..data.sharing import Sharing
from ..grid.applicable import sentences
from ..grid.expand import pools_of
from ..grid.schema import describe_pool
from ..identity import from_json, to_json
from ..plan.budget import budget_note
from ..plan.comparability import compute_note, differences, mixed_code
from ..plan.plan import Plan, describe_pretraining
from ..plan.tuning import tuning_note
from .given_notes import given_notes, shared_chips


def notes(plan: Plan) -> list[Note]:
    """Return everything that a reader needs to judge the numbers of a plan."""
    return [
        *_conditions(plan), *_rows(plan), *given_notes(plan),
        *pool_notes(plan), *dataset_notes(plan), *_provenance(plan), *_moved(plan),
        *_untraced(plan), *_not_applicable(plan), *_settings(plan), *_steps(plan),
    ]  # fmt: skip


def _conditions(plan: Plan) -> list[Note]:
    """Explain the conditions of the test chips."""
    text = in_words(entry.planned.condition for entry in plan.runs if entry.planned.condition)
    if not text:
        return []
    return [Note("Methods", (
        "Conditions of the test chips, whose amplitude stays in [0, 1] and is not rounded to whole "
        f"grey levels: {text}"
    ), text)]  # fmt: skip


def _rows(plan: Plan) -> list[Note]:
    """Describe the pretrainings, and list everything that differs between rows."""
    identities = [entry.planned.identity for entry in plan.pretrain]
    trained = [identity for identity in identities if identity and identity.recipe]
    found = []
    if trained:
        encoders = ", ".join(dict.fromkeys(i.encoder["name"] for i in trained if i.encoder))
        epochs = ", ".join(dict.fromkeys(str((i.recipe or {})["epochs"]) for i in trained))
        seeds = len({identity.seed for identity in trained})
        counted = f"{seeds} pretraining seed{'s' * (seeds > 1)}"
        found.append(Note("Rows", (
            f"Encoder size {encoders}; epochs {epochs}; {trained[0].precision}; {counted}."
        )))  # fmt: skip
    differing = differences(plan)
    flag = f"Rows differ in {', '.join(differing).lower()}."
    for text in differing.values():
        found.append(Note("Rows", text, flag))
    if plan.grid.evaluate.at:
        found.append(Note("Rows", (
            "Rows with `at` are states of one training after that share of its steps. The schedule "
            "is that of the whole training, so a state is not a training of fewer epochs."
        )))  # fmt: skip
    found += _collapsed(plan)
    planned = [entry.planned for entry in plan.pretrain]
    found += [
        Note("Rows", text)
        for text in (budget_note(plan.grid, planned, plan.methods), tuning_note(plan.grid, planned))
        if text
    ]
    if compute := compute_note(plan):
        found.append(Note("Rows", compute))
    return found


def _collapsed(plan: Plan) -> list[Note]:
    """Name the pretrainings whose features have collapsed."""
    steps = {
        describe_pretraining(entry.planned): f"at step {step:,} of {entry.record.steps:,}"
        for entry in plan.pretrain
        if isinstance(entry.record, PretrainRecord) and (step := entry.record.collapsed_step)
    }
    if not steps:
        return []
    listed = "; ".join(f"{name} {where}" for name, where in steps.items())
    return [Note("Rows", (
        "Features collapsed while pretraining (spread, or effective rank minus 1, below 5% of its "
        f"first value): {listed}. Nearly constant features say nothing about a method that works."
    ), f"Features collapsed while pretraining: {'; '.join(steps)}.")]  # fmt: skip


def pool_notes(plan: Plan) -> list[Note]:
    """Describe the pools and the chips that they share with data sets."""
    shown = {entry.planned.dataset for entry in plan.runs}
    pools = pools_of(entry.planned for entry in plan.pretrain)
    found = []
    for pool in pools:
        named = f" {describe_pool(pool)}" if len(pools) > 1 else ""
        if shared := plan.sharing.get(pool):
            found.append(_drawn(plan, pool, next(iter(shared.values()))))
            found += [_shared(name, one, named) for name, one in shared.items() if name in shown]
            found += _copies({n: one for n, one in shared.items() if n in shown}, named)
        elif all(set_of(name) in plan.data for name in pool):
            flag = f"Overlap of the pool{named} and the test sets: unknown."
            found.append(Note("Data", (
                f"Overlap of the pool{named} and the data sets is unknown, because the pool is not "
                "prepared here."
            ), flag))  # fmt: skip
    for name in plan.needs():
        if name not in plan.data:
            found.append(Note("Data", (
                f"The store does not describe {name}, so its results cannot be matched. Run "
                f"`sarbench data prepare {shlex.quote(name)} --data DIR`, with DIR the folder "
                "of its files."
            ), f"The store does not describe {name}."))  # fmt: skip
    return found


def _drawn(plan: Plan, pool: Sequence[str], one: Sharing) -> Note:
    parts = []
    for name, count in zip(pool, one.drawn, strict=True):
        split = split_source(name)
        labelled = ", labelled" if len(pool) == 1 else ""
        source = f" (the training split of {split}{labelled})" if split else ""
        parts.append(f"{count:,} of {name}{source}")
    cap = plan.grid.pretrain.pool_cap
    drawn = f" (a fixed draw of {cap:,})" if cap else ""
    if len(parts) == 1:
        return Note("Data", f"Pool: {parts[0].replace(' of ', ' chips of ', 1)}{drawn}.")
    return Note("Data", f"Pool: {sum(one.drawn):,} chips{drawn}: {', '.join(parts)}.")


def _shared(name: str, one: Sharing, pool: str) -> Note:
    text = f"{name}: the pool{pool} holds {shared_chips(one, ' (allowed by the grid)')}"
    flag = f"The pool{pool} holds {one.test:,} test chips of {name}." if one.test else ""
    return Note("Data", f"{text}.", flag)


def _copies(shared: Mapping[str, Sharing], pool: str) -> list[Note]:
    """State the result of the audit of a pool, where it was made."""
    copied = {name: one.copied for name, one in shared.items() if one.copied is not None}
    if not copied:
        return []
    some = ", ".join(f"{count:,} of {name}" for name, count in copied.items() if count)
    flag = f"Copies and near duplicates of test chips in the pool{pool}: {some or 'none'}."
    audited = ", ".join(copied)
    return [Note("Data", (
        f"{flag} Sought by image, also flipped, rotated, shifted, cropped or in another rendering "
        f"(`sarbench data audit`), for {audited}."
    ), flag)]  # fmt: skip


def dataset_notes(plan: Plan) -> list[Note]:
    """Describe the data sets, and copies of their test chips among their training chips."""
    found = []
    shown = {entry.planned.dataset for entry in plan.runs}
    for name in plan.grid.evaluate.datasets:
        if name in shown and (known := plan.data.get(name)):
            rendering = f", rendering {known.rendering}" if known.rendering else ""
            train, test = (sum(known.counts[side].values()) for side in ("train", "test"))
            found.append(Note("Data", (
                f"{name}: {train} training and {test} test chips, split {known.split_digest[:12]}, "
                f"pixels {known.data_digest[:12]}{rendering}."
            )))  # fmt: skip
        if name in shown and (copies := card(name).copies_text()):
            found.append(Note("Data", (
                f"{copies} Sought by image, also shifted, cropped or in another rendering "
                "(`sarbench data audit`)."
            ), copies))  # fmt: skip
        elif name in shown:
            found += _own_copies(name, plan)
    return found


def _own_copies(name: str, plan: Plan) -> Iterator[Note]:
    """State the copies of test chips among the training chips of a data set, where sought."""
    one = plan.own.get((f"{name}{TRAIN}",), {}).get(name)
    if one is not None and one.copied is not None:
        tested = sum(plan.data[name].counts["test"].values())
        flag = (
            f"{one.copied:,} of {tested:,} test chips of {name} have a copy or near duplicate "
            "among its training chips."
        )
        yield Note("Data", (
            f"{flag} Sought by image; `sarbench data audit` names them, and writes groups by which "
            "the set can be divided."
        ), flag if one.copied else "")  # fmt: skip


def _provenance(plan: Plan) -> list[Note]:
    found = []
    runs = [(e.planned, e.record) for e in plan.runs if isinstance(e.record, RunRecord)]
    readouts: dict[str, dict[str, None]] = {}
    for _, record in runs:
        identity = record.identity
        protocol = f"{identity['protocol']} {identity['protocol_version']}"
        readouts.setdefault(protocol, {})[identity["settings"]["readout"]] = None
    if readouts:
        listed = ", ".join(f"{name} (readout {', '.join(one)})" for name, one in readouts.items())
        found.append(Note("Methods", f"Protocol versions: {listed}."))
    weights: dict[str, str] = {}
    for planned, record in runs:
        start = planned.pretraining
        seed = f" seed {start.seed}" if start.seed else ""
        weights.setdefault(f"{start.row}{seed}", record.weights_digest[:8])
    if weights:
        listed = "; ".join(f"{row} {digest}" for row, digest in weights.items())
        found.append(Note("Provenance", f"Weights (SHA-256): {listed}."))
    made = [record.provenance for _, record in runs]
    if commits := sorted({one.commit[:10] for one in made}):
        dirty = " with uncommitted changes" if any(one.dirty for one in made) else ""
        found.append(Note("Provenance", f"Code: commit {', '.join(commits)}{dirty}."))
    found += [Note("Provenance", f"{text}.", f"{text}.") for text in mixed_code(plan)]
    if len(devices := sorted({one.device for one in made})) > 1:
        found.append(Note("Provenance", (
            f"Runs were computed on different devices ({', '.join(devices)}), which changes scores "
            "by rounding errors."
        )))  # fmt: skip
    return found


def _moved(plan: Plan) -> list[Note]:
    """Name the versions of an archive that differ from those of this code."""
    if not plan.moved:
        return []
    return [Note("Provenance", (
        f"Archived results of other versions than those of this code: {'; '.join(plan.moved)}. The "
        "numbers are those of the archive."
    ), f"Archived results of other versions: {'; '.join(plan.moved)}.")]  # fmt: skip


def _untraced(plan: Plan) -> list[Note]:
    """Name the rows whose weights have no record of a pretraining."""
    rows = [
        describe_pretraining(start.planned)
        for start, runs in plan.grouped()
        if start.state != "done" and any(entry.state == "done" for entry in runs)
    ]
    if not rows:
        return []
    return [Note("Provenance", (
        "The store has no record of these pretrainings, so their scores cannot be traced to "
        f"weights: {'; '.join(rows)}. `sarbench check` lists the runs."
    ), f"Without a record of their pretraining: {len(rows)} encoders.")]  # fmt: skip


def _not_applicable(plan: Plan) -> list[Note]:
    parts = sentences(plan.not_applicable)
    measured = {entry.planned.pretraining.method for entry in plan.runs}
    for name in (name for name in plan.methods if name in measured):
        info = plan.methods[name]
        if set(plan.grid.evaluate.protocols) - set(info.protocols):
            parts.append(f"{info.label} is measured by {' and '.join(info.protocols)} only")
    if not parts:
        return []
    return [Note("Methods", f"Not applicable (n/a): {'. '.join(parts)}.", _not_shown(plan))]


def _not_shown(plan: Plan) -> str:
    """Name the rows that the table does not have, because none of their runs is applicable."""
    shown = {entry.planned.pretraining.without_at().row for entry in plan.runs}
    rows: dict[str, dict[str, None]] = {}
    for row, what, _ in plan.not_applicable:
        if row not in shown:
            reason = f"on {what.removeprefix('encoder ')}" if what.startswith("encoder ") else what
            rows.setdefault(row, {})[reason] = None
    where: dict[str, list[str]] = {}
    for row, reasons in rows.items():
        where.setdefault(", ".join(reasons), []).append(row)
    listed = "; ".join(f"{', '.join(names)} (n/a {what})" for what, names in where.items())
    return f"Not in the table: {listed}." if listed else ""


def _settings(plan: Plan) -> list[Note]:
    """List settings that differ from the defaults and are the same in all runs of a protocol."""
    found: dict[tuple[str, str], set[str]] = {}
    changed: dict[tuple[str, str], str] = {}
    for identity in (e.record.identity for e in plan.runs if isinstance(e.record, RunRecord)):
        protocol = identity["protocol"]
        for name, default in to_json(PROTOCOLS[protocol].settings()).items():
            value = identity["settings"].get(name)
            found.setdefault((protocol, name), set()).add(str(value))
            if value != default:
                shown = str(value).lower() if isinstance(value, bool) else str(value)
                changed[protocol, name] = f"{protocol} {name} {shown}"
    same = [text for place, text in changed.items() if len(found[place]) == 1]
    text = f"Settings other than the defaults: {', '.join(same)}."
    return [Note("Methods", text, text)] if same else []


def _steps(plan: Plan) -> list[Note]:
    """State the length of every training on labelled chips in steps."""
    found: dict[str, dict[str, None]] = {}
    for record in (e.record for e in plan.runs if isinstance(e.record, RunRecord)):
        protocol, chips = record.identity["protocol"], record.train_count
        settings = from_json(PROTOCOLS[protocol].settings, record.identity["settings"])
        if isinstance(settings, EncoderTraining | HeadTraining):
            length = f"{settings.step_count(chips):,} on {chips:,} chips"
            found.setdefault(protocol, {})[length] = None
    listed = "; ".join(f"{name} {', '.join(lengths)}" for name, lengths in found.items())
    return [Note("Methods", f"Steps of the training on labelled chips: {listed}.")] if found else []
