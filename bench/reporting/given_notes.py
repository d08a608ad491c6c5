"""Notes about rows of given weights: their files, their input, and what they have seen."""

from collections.abc import Iterator

from ...results.notes import Note
from ..data.sharing import Sharing
from ..grid.encoder_entries import GivenRow
from ..grid.encoder_problems import known_names
from ..grid.expand import PlannedPretraining
from ..plan.comparability import describe_given
from ..plan.plan import Plan


def given_notes(plan: Plan) -> Iterator[Note]:
    """Yield the notes of each row of given weights."""
    rows = [(one.planned, one.planned.given) for one in plan.pretrain if one.planned.given]
    if rows:
        yield Note("Rows", (
            "Given weights are single checkpoints that were trained elsewhere: the table compares "
            "checkpoints, and rows may differ in pool, budget, labels and recipe."
        ))  # fmt: skip
    for start, given in rows:
        yield _described(start, given)
        if given.missing:
            flag = (
                f"The file of {start.row} is missing; its scores are those of the weights that it "
                f"held last ({start.config['digest'][:12]})."
            )
            yield Note("Rows", flag, flag)
        if given.untrained:
            flag = f"The weights of {start.row} look untrained."
            yield Note("Rows", f"{flag} Every norm has weights of 1 and biases of 0.", flag)
        yield from _seen(plan, start.row, given)


def _described(start: PlannedPretraining, given: GivenRow) -> Note:
    notes = [f"{one[:1].upper()}{one[1:]}" for one in given.notes if "input channels" not in one]
    parts = [f"{start.row}: {describe_given(start)}", given.architecture, _input(start), *notes]
    return Note("Rows", f"Given weights: {'. '.join(parts)}.")


def _input(start: PlannedPretraining) -> str:
    """Return the input of an encoder in words."""
    config, px = start.config, (start.encoder or {}).get("input_px")
    count, channel = config["channels"], config.get("channel")
    if count == 1:
        rule = "1 channel"
    elif channel is None:
        rule = f"{count} channels, each the chip"
    else:
        rule = f"{count} channels: {channel} is the chip, the others hold their mean"
    if not (config.get("mean") or config.get("std")):
        return f"Input {px} px, {rule}, amplitude in [0, 1], not normalised"
    mean, std = _listed(config.get("mean") or [0.0]), _listed(config.get("std") or [1.0])
    return f"Input {px} px, {rule}, amplitude in [0, 1], mean {mean}, deviation {std}"


def _listed(values: list[float]) -> str:
    return ", ".join(f"{one:g}" for one in (values if len(set(values)) > 1 else values[:1]))


def _seen(plan: Plan, row: str, given: GivenRow) -> Iterator[Note]:
    """Yield what a row has seen as declared, and the chips of data sets in it."""
    labels = {True: ", with labels", False: ", without labels", None: ""}[given.labels]
    flag = f"{row} has seen labels." if given.labels else ""
    names = f" (as declared): {', '.join(given.seen)}" if given.seen else ": not declared"
    yield Note("Data", f"{row} has seen{names}{labels}.", flag)
    known = known_names(given.seen)
    shared = plan.seen.get(known)
    if known and shared is None:
        flag = f"Overlap of what {row} has seen with the test sets: unknown."
        yield Note("Data", (
            f"Overlap of what {row} has seen ({', '.join(known)}) with the data sets is unknown, "
            "because its chips are not prepared here."
        ), flag)  # fmt: skip
    shown = {entry.planned.dataset for entry in plan.runs}
    for name, one in (shared or {}).items():
        if name in shown:
            text = f"{name}: {row} has seen {shared_chips(one)}."
            yield Note("Data", text, _mark(row, name, one))


def _mark(row: str, name: str, one: Sharing) -> str:
    """Return the flag of a row that has seen test chips or vehicles; empty for another one."""
    if one.test:
        return f"{row} has seen {one.test:,} test chips of {name}."
    if one.vehicles:
        return f"{row} has seen {one.vehicles} vehicles of the test set of {name}."
    return ""


def shared_chips(one: Sharing, allowed: str = "") -> str:
    """Return the chips that are in both, as the end of a sentence."""
    parts = [
        f"{one.test:,} of its test chips{allowed}" if one.test else "no test chip",
        f"{one.train:,} of its training chips" if one.train else "no training chip",
    ]
    text = f"{' and '.join(parts)}, by id or identical image"
    if one.vehicles:
        text += (
            f"; {one.vehicle_chips:,} of its chips show one of {one.vehicles} vehicles (serial "
            "numbers) of the test set"
        )
    return text
