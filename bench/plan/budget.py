"""The epochs that give every method of a grid the same compute.

The budget is the compute of the first method of the grid, in its epochs: FLOPs of all steps,
counted on the network, or core-seconds of all steps, measured once in each store
(`bench/store/step_times.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..grid.applicable import fitting
from ..grid.expand import PlannedPretraining
from ..grid.schema import Grid, GridError, label_of
from ..identity import Pretraining, fill, to_json
from ..method_facts.method_info import MethodInfo
from ..method_facts.step_flops import step_gflop
from ..store.records import Store
from ..store.step_times import read_step_time, step_time_file

DIGITS = 2  # of solved epochs
UNITS = {"flops": "FLOPs", "core_seconds": "core-seconds"}


@dataclass(frozen=True)
class Budgeted:
    """The pretrainings of a grid with solved epochs, and those whose step is not timed yet."""

    planned: list[PlannedPretraining]
    untimed: list[PlannedPretraining]  # with the epochs of the grid

    def untimed_of(self, wanted: Sequence[PlannedPretraining]) -> list[PlannedPretraining]:
        """Return those that wanted pretrainings wait for: of their row, or of the first one."""
        waiting = {one.label for one in wanted if one.waits_for == "timing"}
        first = next((one.label for one in self.planned if one.recipe), "")
        return [one for one in self.untimed if waiting and one.label in waiting | {first}]


def with_budget(grid: Grid, planned: Sequence[PlannedPretraining], store: Store) -> Budgeted:
    """Solve for the epochs of each method under the budget of a grid.

    Warm-up keeps its share of the epochs. Epochs are rounded to hundredths, so that a key does not
    depend on the last digits of a count.

    Raises:
        GridError: The budget gives a method less than one epoch.
    """
    kind = grid.pretrain.budget
    if kind == "chips":
        return Budgeted(list(planned), [])
    untimed: dict[str, PlannedPretraining] = {}

    def cost(one: PlannedPretraining) -> float | None:
        """Return the cost of an epoch, in GFLOP or core-seconds; None if it is not known yet."""
        if one.identity is None or one.identity.recipe is None:
            return None
        if kind == "flops":
            return step_gflop(one.identity, store.root) * _chips(one.identity)
        timed = read_step_time(store, one.identity)
        if timed is None:
            untimed[step_time_file(store, one.identity).name] = one
        return timed and timed.seconds * _chips(one.identity)

    solved, problems = [], dict[str, None]()
    trained = fitting([one for one in planned if one.recipe], store.root)
    fit = set(map(id, trained))
    for one in planned:
        if id(one) not in fit:
            solved.append(one)
            continue
        first = _first(one, trained)
        theirs, mine = cost(first), cost(one)
        if theirs is None or mine is None or first.recipe is None:
            both = one.identity and first.identity
            waits = one.waits_for or first.waits_for or ("timing" if both else "")
            solved.append(replace(one, identity=None, waits_for=waits))
            continue
        epochs = round(first.recipe.epochs * theirs / mine, DIGITS)
        if epochs < 1:
            problems[
                f"{one.row}: its epoch costs {mine / theirs:.2f} times that of {first.row}, so a "
                f"budget of {first.recipe.epochs:g} epochs of {first.row} in {UNITS[kind]} gives "
                f"it {epochs:g} epochs; at least 1 is allowed. Set epochs to at least "
                f"{mine / theirs:.2f} under [pretrain], or leave the method out"
            ] = None
            continue
        solved.append(one if one.label == first.label else _in(one, epochs))
    if problems:
        raise GridError("\n".join(problems))
    return Budgeted(solved, list(untimed.values()))


def _first(like: PlannedPretraining, trained: Sequence[PlannedPretraining]) -> PlannedPretraining:
    """Return the first row of the grid, at the same point of the sweep if it has that point."""
    alike = [one for one in trained if one.label == trained[0].label]
    return next((one for one in alike if one.axes == like.axes), alike[0])


def _in(one: PlannedPretraining, epochs: float) -> PlannedPretraining:
    """Return a pretraining with other epochs; warm-up keeps its share."""
    recipe, identity = one.recipe, one.identity
    if recipe is None or identity is None:
        return one
    solved = replace(
        recipe,
        epochs=int(epochs) if epochs == int(epochs) else epochs,
        warmup_epochs=round(recipe.warmup_epochs * epochs / recipe.epochs, DIGITS + 1),
    )
    new = replace(identity, recipe=fill(to_json(solved), {}))
    return replace(one, recipe=solved, identity=new)


def _chips(identity: Pretraining) -> int:
    """Return the chips seen in an epoch; the last, incomplete batch is skipped."""
    batch = (identity.recipe or {})["batch"]
    return identity.pool_count // batch * batch


def budget_note(
    grid: Grid, planned: Sequence[PlannedPretraining], methods: dict[str, MethodInfo]
) -> str:
    """Return the budget of a grid and the epochs of each row in words; empty for equal chips."""
    kind = grid.pretrain.budget
    rows = {
        one.without_at().row: one.recipe.epochs for one in planned if one.recipe and one.identity
    }
    if kind == "chips" or not rows:
        return ""
    entry = next(one for one in grid.methods if not methods[one.name].control)
    first = label_of(grid.pretrain, entry, methods, grid.methods)
    listed = "; ".join(f"{row} {epochs:g}" for row, epochs in rows.items())
    how = "counted on the networks" if kind == "flops" else "measured on one core"
    return (
        f"Budget: equal {UNITS[kind]} of all training steps ({how}), those of {first}. Epochs: "
        f"{listed}."
    )
