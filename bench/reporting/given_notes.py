"""Notes about rows of given weights: their files, their input, and what they have seen."""

from collections.abc import Iterator, Sequence

from ...results.notes import Note
from ..data.sharing import Sharing
from ..given_identity import input_of
from ..grid.encoder_entries import GivenRow
from ..grid.expand import PlannedPretraining
from ..grid.seen_names import known_names
from ..identity import GIVEN
from ..plan.comparability import describe_given
from ..plan.plan import Plan


def given_notes(plan: Plan) -> Iterator[Note]:
    """Yield the notes of each row of given weights, and of each that continues from some."""
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
            text = (
                f"The file from which {start.row} continues is missing; it continued from the "
                f"weights that the file held last ({digest})."
                if start.init else
                f"The file of {start.row} is missing; its scores are those of the weights that it "
                f"held last ({digest})."
            )  # fmt: skip
            yield Note("Rows", text, text)
        if given.untrained:
            flag = (
                f"The weights from which {start.row} continues look untrained."
                if start.init else f"The weights of {start.row} look untrained."
            )  # fmt: skip
            yield Note("Rows", f"{flag} Every norm has weights of 1 and biases of 0.", flag)
        yield from _seen(plan, start, given)


def _described(start: PlannedPretraining, given: GivenRow) -> Note:
    encoder = start.encoder or {}
    sentences = [
        f"{start.row}: {describe_given(start)}",
        given.architecture,
        f"Input {encoder['input_px']} px, {input_of(encoder, start.config).in_words()}",
        *(f"{one[:1].upper()}{one[1:]}" for one in given.notes),
    ]
    kind = "Given weights"
    if start.init:
        kind = "Pretraining that continues from given weights"
        if given.position_table:
            sentences.append(
                "The encoder is that of the file; its table of positions is not trained"
            )
    return Note("Rows", f"{kind}: {'. '.join(sentences)}.")


def _seen(plan: Plan, start: PlannedPretraining, given: GivenRow) -> Iterator[Note]:
    """Yield what a row has seen as declared, and the chips of data sets in it."""
    seen = f"{start.row} has seen"
    inside = seen
    if start.init:
        seen = f"The weights from which {start.row} continues have seen"
        inside = f"the weights from which {start.row} continues have seen"
    labels = {True: ", with labels", False: ", without labels", None: ""}[given.labels]
    flag = f"{seen} labels." if given.labels else ""
    names = f" (as declared): {given.seen_in_words}" if given.seen else ": not declared"
    if given.seen_declared and not given.seen:
        names = " nothing, as declared"
    yield Note("Data", f"{seen}{names}{labels}.", flag)
    known = known_names(given.seen, plan.grid.evaluate.datasets)
    shared = plan.seen.get(known)
    if known and shared is None:
        flag = f"Overlap of what {inside} with the test sets: unknown."
        yield Note("Data", (
            f"Overlap of what {inside} ({', '.join(known)}) with the data sets is "
            "unknown, because its chips are not prepared here."
        ), flag)  # fmt: skip
    shown = {entry.planned.dataset for entry in plan.runs}
    for name, one in (shared or {}).items():
        if name in shown:
            text = f"{name}: {inside} {shared_chips(one)}."
            yield Note("Data", text, _mark(seen, name, one))


def _mark(seen: str, name: str, one: Sharing) -> str:
    """Return the flag of weights that have seen test chips or vehicles; empty for others."""
    if one.test:
        return f"{seen} {one.test:,} test chips of {name}."
    if one.vehicles:
        return f"{seen} {one.vehicles} vehicles of the test set of {name}."
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
        if one.depressions_deg and one.test_depressions_deg:
            text += (
                f", at {_angles(one.depressions_deg)} degrees depression (the test set: "
                f"{_angles(one.test_depressions_deg)})"
            )
    return text


def _angles(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
