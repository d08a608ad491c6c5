"""Equal tuning: the trials of a grid's section `[tune]`, and the recipe that each method keeps.

Every method gets the same number of short pretrainings, one for each combination of the values
under `[tune]`. They are compared on training chips that `NAME:held_out` holds out, never on test
chips: the highest mean accuracy of `knn` and `linear` with all labels wins. The trials are a grid
of their own, so their records are stored, resumed, submitted and shown like those of any grid.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from ...results.record import RunRecord
from ..data.names import TRAIN, place_of
from ..data.packed import Summary
from ..data.registry import HELD_OUT, dataset_names, is_dataset
from ..data.sharing import sharing
from ..grid.expand import PlannedPretraining
from ..grid.recipes import recipe_of
from ..grid.schema import (
    TRIALS,
    EvaluateSection,
    Grid,
    GridError,
    MethodEntry,
    ProtocolEntry,
    TuneSection,
    label_of,
    seeds_of,
    sweep,
)
from ..method_facts.method_info import MethodInfo
from ..suggest import unknown

if TYPE_CHECKING:
    from .plan import Plan

JUDGES = ("knn", "linear")  # protocols, on all labels of the training part
SHORT = 0.25  # of a method's epochs, unless [tune] gives the epochs of a trial


@dataclass(frozen=True)
class Trial:
    """A short pretraining with one combination of the tuned values.

    Attributes:
        label: Of the method.
        values: The combination.
        state: `open` until the trial is done or has failed.
        scores: Accuracy of each judge, as far as known.
        chosen: True if the main runs use the values.
    """

    label: str
    values: dict[str, Any]
    state: Literal["open", "done", "failed"]
    scores: dict[str, float]
    chosen: bool = False

    @property
    def mean(self) -> float:
        """The mean accuracy of the judges."""
        return fmean(self.scores.values())


def tuned_dataset(grid: Grid, tune: TuneSection) -> str:
    """Return the data set whose training chips judge the trials."""
    return tune.dataset or grid.evaluate.datasets[0]


def tuning_grid(
    grid: Grid, methods: dict[str, MethodInfo], only: Collection[str] = ()
) -> Grid | None:
    """Return the grid of the trials; None without `[tune]`, or without a method to tune.

    A method that needs labels is pretrained without the held-out chips. Others may see them without
    labels, if their pool holds them.

    Args:
        grid: The grid.
        methods: The facts of its methods.
        only: Names and labels of the methods to tune; empty for all.

    Raises:
        GridError: `[tune]` is wrong, or contradicts the grid.
    """
    tune = grid.tune
    entries = [
        one
        for one in grid.methods
        if not only or {one.name, label_of(grid.pretrain, one, methods, grid.methods)} & set(only)
    ]
    if tune is None or not entries:
        return None
    _check(grid, tune, methods)
    dataset = tuned_dataset(grid, tune)
    judges = {name: ProtocolEntry(shots=["all"]) for name in JUDGES}
    return grid.model_copy(
        update={
            "name": grid.name + TRIALS,
            "tune": None,
            "compare": "checkpoints",
            "methods": [_short(grid, tune, one, methods[one.name], dataset) for one in entries],
            "controls": [],
            "encoders": [],
            "pretrain": grid.pretrain.model_copy(
                update={
                    "overrides": grid.pretrain.overrides | tune.overrides,
                    "seeds": seeds_of(grid.pretrain.seeds)[:1],
                    "budget": "chips",
                    "watch": None,
                    "allow_overlap": True,
                }
            ),
            "evaluate": EvaluateSection(
                datasets=[place_of(dataset) + HELD_OUT], seeds=1, protocols=judges
            ),
        }
    )


def _check(grid: Grid, tune: TuneSection, methods: Mapping[str, MethodInfo]) -> None:
    values = {name: one for name, one in tune.overrides.items() if isinstance(one, list)}
    problems = []
    if not is_dataset(tuned_dataset(grid, tune)):
        problems.append(
            "[tune] dataset: " + unknown("data set", str(tune.dataset), dataset_names())
        )
    if not any(len(one) > 1 for one in values.values()):
        problems.append(
            "[tune] has no recipe field with several values, so there is nothing to choose from; "
            "write for example base_lr = [4e-3, 1.6e-2]"
        )
    if "epochs" in values:
        problems.append(
            "[tune] sweeps epochs, and longer trials would win; give the epochs of a trial as one "
            "number"
        )
    if axes := ", ".join(next(iter(sweep(grid.pretrain)), {})):
        problems.append(
            f"[tune] finds one recipe for each method, but {axes} is swept under [pretrain]; give "
            "it one value"
        )
    for entry in grid.methods:
        for name in sorted(values.keys() & entry.overrides.keys()):
            problems.append(
                f"{entry.name} has its own {name}, which [tune] sweeps; remove one of them"
            )
    if problems:
        raise GridError("\n".join(problems))
    for entry in grid.methods:
        for point in _points(tune):
            try:
                recipe_of(grid.pretrain, point, entry, methods[entry.name])
            except (ValueError, TypeError) as error:
                raise GridError(f"[tune]: {entry.name}: {error}") from error


def _points(tune: TuneSection) -> list[dict[str, Any]]:
    """Return every combination of the values to try."""
    values = {name: one for name, one in tune.overrides.items() if isinstance(one, list)}
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def refuse_test_chips(
    judged: Mapping[str, Summary], evaluated: Mapping[str, Summary], root: Path
) -> None:
    """Refuse trials that are judged by test chips of the grid.

    Args:
        judged: The sets of the trials.
        evaluated: The sets of the grid.
        root: The folder of the store.

    Raises:
        GridError: It names the sets.
    """
    for name, one in judged.items():
        if not name.endswith(HELD_OUT):
            continue
        for tested, other in evaluated.items():
            if other.kind == "dataset":
                shared = sharing([place_of(name) + TRAIN], [one], None, 1.0, other, root)
                if shared and shared.test:
                    raise GridError(
                        f"[tune]: the training chips of {name.removesuffix(HELD_OUT)} hold "
                        f"{shared.test} test chips of {tested}, which the grid evaluates; set "
                        "`dataset` under [tune] to another data set"
                    )


def _short(
    grid: Grid, tune: TuneSection, entry: MethodEntry, info: MethodInfo, dataset: str
) -> MethodEntry:
    """Return the entry of a method in the grid of the trials."""
    own = {name: value for name, value in entry.overrides.items() if name not in tune.overrides}
    whole = recipe_of(grid.pretrain, {}, entry, info)
    epochs = tune.overrides.get("epochs", max(1, SHORT * whole.epochs))
    own |= {"epochs": epochs}
    if "warmup_epochs" not in tune.overrides:
        own |= {"warmup_epochs": whole.warmup_epochs * epochs / whole.epochs}
    labelled, part = place_of(dataset) + TRAIN, place_of(dataset) + HELD_OUT + TRAIN
    pool = [part if name == labelled else name for name in entry.pool or []]
    return entry.model_copy(update={"overrides": own, "pool": pool or None})


def are_open(tuning: "Plan | None") -> bool:
    """Return whether trials are missing; those that failed are not."""
    return tuning is not None and any(trial.state == "open" for trial in trials_of(tuning))


def trials_of(tuning: "Plan") -> list[Trial]:
    """Return the trials of a plan, and mark the best of each method whose trials have all ended.

    A trial that failed, for example because its loss diverged, is not chosen. Of equal trials the
    first is chosen.
    """
    trials = []
    for start, runs in tuning.grouped():
        if start.planned.recipe is None:  # a control that the data set needs
            continue
        scores = {
            run.planned.protocol: run.record.accuracy
            for run in runs
            if isinstance(run.record, RunRecord)
        }
        failed = "failed" in (start.state, *(run.state for run in runs))
        state = "done" if len(scores) == len(JUDGES) else "failed" if failed else "open"
        trials.append(Trial(start.planned.label, start.planned.axes, state, scores))
    best: dict[str, int] = {}
    for place, trial in enumerate(trials):
        if any(one.label == trial.label and one.state == "open" for one in trials):
            continue
        known = best.get(trial.label)
        if trial.state == "done" and (known is None or trial.mean > trials[known].mean):
            best[trial.label] = place
    return [replace(one, chosen=best.get(one.label) == n) for n, one in enumerate(trials)]


def with_choices(grid: Grid, trials: Sequence[Trial], methods: dict[str, MethodInfo]) -> Grid:
    """Return the grid with the chosen values in the recipes of its methods."""
    chosen = {trial.label: trial.values for trial in trials if trial.chosen}
    entries = []
    for entry in grid.methods:
        values = chosen.get(label_of(grid.pretrain, entry, methods, grid.methods), {})
        entries.append(entry.model_copy(update={"overrides": entry.overrides | values}))
    return grid.model_copy(update={"methods": entries})


def waiting_for(
    trials: Sequence[Trial], planned: Sequence[PlannedPretraining]
) -> list[PlannedPretraining]:
    """Return the pretrainings, those without a chosen recipe as not known yet."""
    chosen = {trial.label: trial.values for trial in trials if trial.chosen}
    result = []
    for one in planned:
        if one.recipe is None:
            result.append(one)
        elif one.label in chosen:
            result.append(replace(one, tuned=chosen[one.label]))
        else:
            waits = "tuning" if one.identity else ""
            result.append(replace(one, identity=None, waits_for=waits))
    return result


def tuning_note(grid: Grid, planned: Sequence[PlannedPretraining]) -> str:
    """Return how the recipes of a grid were found, for a caption."""
    tune = grid.tune
    rows = {one.without_at().row: one for one in planned if one.recipe}
    if not rows:
        return ""
    if tune is None:
        return "Recipes were not tuned here: none was chosen by its results in this grid."
    swept = {name: value for name, value in tune.overrides.items() if isinstance(value, list)}
    listed = "; ".join(f"{name} {', '.join(map(_shown, value))}" for name, value in swept.items())
    chosen = "; ".join(f"{row}: {_values(one.tuned)}" for row, one in rows.items() if one.tuned)
    epochs = tune.overrides.get("epochs")
    length = f"{epochs:g} epoch{'s' * (epochs != 1)}" if epochs else "a quarter of its epochs"
    return (
        f"Every method was tuned with {len(_points(tune))} trials of {length} ({listed}), chosen "
        f"by the mean accuracy of {' and '.join(JUDGES)} on held-out training chips of "
        f"{tuned_dataset(grid, tune)}. Chosen: {chosen or 'none yet'}."
    )


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
