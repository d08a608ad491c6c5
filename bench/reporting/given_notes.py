"""Notes about rows of given weights: their files, their input, and what they have seen."""

from collections.abc import Iterator

from ...results.notes import Note
from ..data.sharing import Sharing
from ..grid.encoder_entries import GivenRow
from ..grid.encoder_problems import known_names
from ..grid.expand import PlannedPretraining
from ..identity import GIVEN
from ..plan.comparability import describe_given
from ..plan.plan import Plan


def given_notes(plan: Plan) -> Iterator[Note]:
    """Yield the notes of each row of given weights, and of each row that starts from some."""
    rows = {
        one.planned.row: (one.planned, one.planned.given)
        for one in plan.pretrain if one.planned.given
    }  # fmt: skip
    if any(start.method == GIVEN for start, _ in rows.values()):
        yield Note("Rows", (
            "Given weights are single checkpoints that were trained elsewhere: the table compares "
            "checkpoints, and rows may differ in pool, budget, labels and recipe."
        ))  # fmt: skip
    for start, given in rows.values():
        yield _described(start, given)
        digest = (start.init or start.config)["digest"][:12]
        if given.missing:
            text = f"The file of {start.row} is missing; its scores are those of the weights that "
            if start.init:
                text = (
                    f"The file that {start.row} starts from is missing; it started from those that "
                )
            text += f"it held last ({digest})."
            yield Note("Rows", text, text)
        if given.untrained:
            flag = f"The weights of {start.row} look untrained."
            if start.init:
                flag = f"The weights that {start.row} starts from look untrained."
            yield Note("Rows", f"{flag} Every norm has weights of 1 and biases of 0.", flag)
        yield from _seen(plan, start, given)


def _described(start: PlannedPretraining, given: GivenRow) -> Note:
    notes = [f"{one[:1].upper()}{one[1:]}" for one in given.notes if "input channels" not in one]
    parts = [f"{start.row}: {describe_given(start)}", given.architecture, _input(start), *notes]
    kind = "Given weights"
    if start.init:
        kind = "Pretraining that continues from given weights"
        parts.append("The encoder is that of the file; its table of positions is not trained")
        parts = parts if "stored positions" in given.architecture else parts[:-1]
    return Note("Rows", f"{kind}: {'. '.join(parts)}.")


def _input(start: PlannedPretraining) -> str:
    """Return the input of an encoder in words."""
    encoder = start.encoder or {}
    config, px = encoder.get("input") or start.config, encoder.get("input_px")
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


def _seen(plan: Plan, start: PlannedPretraining, given: GivenRow) -> Iterator[Note]:
    """Yield what a row has seen as declared, and the chips of data sets in it."""
    row = f"The start of {start.row}" if start.init else start.row
    labels = {True: ", with labels", False: ", without labels", None: ""}[given.labels]
    flag = f"{row} has seen labels." if given.labels else ""
    names = f" (as declared): {', '.join(given.seen)}" if given.seen else ": not declared"
    yield Note("Data", f"{row} has seen{names}{labels}.", flag)
    known = known_names(given.seen)
    shared = plan.seen.get(known)
    inside = f"t{row[1:]}" if start.init else row
    if known and shared is None:
        flag = f"Overlap of what {inside} has seen with the test sets: unknown."
        yield Note("Data", (
            f"Overlap of what {inside} has seen ({', '.join(known)}) with the data sets is "
            "unknown, because its chips are not prepared here."
        ), flag)  # fmt: skip
    shown = {entry.planned.dataset for entry in plan.runs}
    for name, one in (shared or {}).items():
        if name in shown:
            text = f"{name}: {inside} has seen {shared_chips(one)}."
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
