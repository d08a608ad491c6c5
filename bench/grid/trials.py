"""The grid of the trials that a section `[tune]` declares."""

import itertools
from collections.abc import Collection, Mapping
from typing import Any

from ..data.names import TRAIN, place_of
from ..data.registry import HELD_OUT, dataset_names, is_dataset
from ..method_facts.method_info import MethodInfo
from ..suggest import unknown
from .recipes import recipe_of
from .schema import (
    TRIALS,
    EvaluateSection,
    Grid,
    GridError,
    MethodEntry,
    ProtocolEntry,
    TuneSection,
    as_list,
    label_of,
    pool_of,
    seeds_of,
    sweep,
)

JUDGES = ("knn", "linear")  # protocols, on all labels of the training part
SHORT = 0.25  # of a method's epochs, unless [tune] gives the epochs of a trial


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
    trained = [one for one in grid.methods if not methods[one.name].control]
    entries = [
        one
        for one in trained
        if not only or {one.name, label_of(grid.pretrain, one, methods, grid.methods)} & set(only)
    ]
    if tune is None or not entries:
        return None
    if grid.pretrain.budget != "chips" and trained[0] not in entries:
        entries = [trained[0], *entries]  # its recipe sets the budget
    _check(grid, tune, methods)
    dataset = tuned_dataset(grid, tune)
    judges = {name: ProtocolEntry(shots=["all"]) for name in JUDGES}
    return grid.model_copy(
        update={
            "name": grid.name + TRIALS,
            "tune": None,
            "compare": "checkpoints",
            "methods": [_short(grid, tune, one, methods) for one in entries],
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
    if tuned_dataset(grid, tune).endswith(HELD_OUT):
        problems.append(
            f"[tune] dataset: {tuned_dataset(grid, tune)} is a part of a data set already; name "
            "the whole one"
        )
    trained = [one for one in grid.methods if not methods[one.name].control]
    for entry in trained:
        for name in sorted(values.keys() & entry.overrides.keys()):
            problems.append(
                f"{entry.name} has its own {name}, which [tune] sweeps; remove one of them"
            )
    if problems:
        raise GridError("\n".join(problems))
    for entry in trained:
        for point in points_of(tune):
            try:
                # Warm-up is scaled to the trial later, unless it is tuned.
                point = {"warmup_epochs": 0.0} | point
                recipe_of(grid.pretrain, point, entry, methods[entry.name])
            except (ValueError, TypeError) as error:
                raise GridError(f"[tune]: {entry.name}: {error}") from error


def points_of(tune: TuneSection) -> list[dict[str, Any]]:
    """Return the recipe fields of each trial."""
    values = map(as_list, tune.overrides.values())
    return [dict(zip(tune.overrides, point, strict=True)) for point in itertools.product(*values)]


def _short(
    grid: Grid, tune: TuneSection, entry: MethodEntry, methods: dict[str, MethodInfo]
) -> MethodEntry:
    """Return the entry of a method in the grid of the trials."""
    info, dataset = methods[entry.name], tuned_dataset(grid, tune)
    own = {name: value for name, value in entry.overrides.items() if name not in tune.overrides}
    whole = recipe_of(grid.pretrain, {}, entry, info)
    epochs = tune.overrides.get("epochs", max(1, SHORT * whole.epochs))
    own |= {"epochs": epochs}
    if "warmup_epochs" not in tune.overrides:
        own |= {"warmup_epochs": whole.warmup_epochs * epochs / whole.epochs}
    labelled, part = place_of(dataset) + TRAIN, place_of(dataset) + HELD_OUT + TRAIN
    before = pool_of(grid.pretrain, entry, info)
    pool = [part if name == labelled else name for name in before]
    # The label of the row in the grid, by which the choice is found again.
    label = label_of(grid.pretrain, entry, methods, grid.methods)
    return entry.model_copy(
        update={
            "label": label,
            "overrides": own,
            "pool": entry.pool if pool == before else pool,
        }
    )
