"""Checks of every name, value and combination in a grid, before any job exists."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...methods._encoders import SIZES, EncoderError, encoder_named
from ..data.names import TRAIN, card_of
from ..data.packed import Summary
from ..data.pools import pool_members
from ..identity import RECIPES, SOURCE, Recipe, fill, pool_count
from ..method_facts.method_info import MethodInfo, check_config
from ..suggest import unknown
from .at_problems import share_problems
from .encoder_problems import encoder_problems
from .evaluate_problems import evaluate_problems, shots_problems
from .recipes import recipe_of
from .schema import (
    Grid,
    GridError,
    MethodEntry,
    as_list,
    describe_pool,
    label_of,
    pool_of,
    seeds_of,
    sweep,
)
from .value_problems import kind_of, list_problems, same_kind, seed_problems


def validate(grid: Grid, methods: dict[str, MethodInfo], folder: Path | None = None) -> None:
    """Refuse unknown names and impossible values, all in one message.

    `folder` is the store, which caches the settings that methods have accepted.

    Raises:
        GridError: With one line for each problem.
    """
    problems = [
        *_claim_problems(grid), *_pretrain_problems(grid), *_pool_problems(grid, methods),
        *_recipe_problems(grid, methods), *evaluate_problems(grid),
        *encoder_problems(grid, methods), *share_problems(grid, methods),
    ]  # fmt: skip
    entries = grid.entries
    if not entries and not grid.encoders:
        problems.append("methods and controls are both empty; name at least one method")
    for entry in entries:
        if not (methods[entry.name].trains or methods[entry.name].control):
            problems.append(
                f"{entry.name} is not a method to pretrain with: its weights come from a file; "
                'name the file under `encoders = [{weights = "FILE", label = "NAME"}]`'
            )
        before = len(problems)
        defaults = methods[entry.name].defaults
        for key, value in entry.config.items():
            if key not in defaults:
                problems.append(f"{entry.name}: " + unknown("config field", key, defaults))
            elif not same_kind(value, defaults[key]):
                problems.append(
                    f"{entry.name}.{key} must be {kind_of(defaults[key])}, got {value!r}"
                )
        if entry.config and len(problems) == before:
            try:
                check_config(entry.name, fill(defaults, entry.config), folder)
            except (ValueError, TypeError) as error:
                problems.append(f"{entry.name}: {error}")
    labels = [label_of(grid.pretrain, entry, methods, entries) for entry in entries]
    labels += [entry.name for entry in grid.encoders]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        what = "rows" if grid.encoders else "methods"
        problems.append(
            f"two {what} have the label {label!r}; give one of them a `label`, or remove one"
        )
    if problems:
        raise GridError("\n".join(dict.fromkeys(problems)))


def _claim_problems(grid: Grid) -> Iterator[str]:
    """Refuse checkpoints of several pretraining seeds, because a row would average them.

    Given weights are one checkpoint each, so no claim about a method can be made.
    """
    seeds = seeds_of(grid.pretrain.seeds)
    if grid.encoders and grid.compare == "methods":
        yield (
            'compare is "methods", but encoders from files are single checkpoints; write compare = '
            '"checkpoints", or leave compare out'
        )
    if grid.compare == "checkpoints" and len(seeds) > 1:
        yield (
            f'compare = "checkpoints" allows one checkpoint for each row, but pretrain.seeds has '
            f"{len(seeds)} seeds; write seeds = 1 or seeds = [{seeds[-1]}] under [pretrain], or "
            'compare = "methods"'
        )


def _pretrain_problems(grid: Grid) -> Iterator[str]:
    pretrain = grid.pretrain
    for encoder in as_list(pretrain.encoder):
        try:
            known = encoder_named(encoder)
        except EncoderError as error:
            yield f"pretrain.encoder: {error}"
        else:
            if known is None:
                yield (
                    f"pretrain.encoder: {unknown('encoder', encoder, SIZES)}, another input side "
                    "such as 'vit_nano@80', a ViT of any size such as 'vit:128x4x4@112/8' (width x "
                    "blocks x heads @ input / patch), or a network of timm such as 'timm:resnet18'"
                )
    for fraction in as_list(pretrain.pool_fraction):
        if not 0 < fraction <= 1:
            yield f"pretrain.pool_fraction must be in (0, 1], got {fraction}"
    swept = {"encoder": pretrain.encoder, "pool_fraction": pretrain.pool_fraction}
    for name, value in (swept | pretrain.overrides).items():
        yield from list_problems(f"pretrain.{name}", as_list(value), "value")
    yield from seed_problems("pretrain.seeds", pretrain.seeds)
    if pretrain.watch is not None and pretrain.watch not in grid.evaluate.datasets:
        known = unknown("data set of this grid", pretrain.watch, grid.evaluate.datasets)
        yield f"pretrain.watch: {known}"


def _given(grid: Grid, key: str) -> list[tuple[str, Any]]:
    """Return (place, value) of each pool or recipe in the grid."""
    entries = [(one.name, getattr(one, key)) for one in grid.entries]
    own = [(f"{name}.{key}", value) for name, value in entries if value is not None]
    return [(f"pretrain.{key}", getattr(grid.pretrain, key)), *own]


def _control_problems(grid: Grid, methods: dict[str, MethodInfo], key: str) -> Iterator[str]:
    for entry in grid.entries:
        if getattr(entry, key) is not None and methods[entry.name].control:
            yield f"{entry.name} is a control and is not trained; remove its `{key}`"


def _pool_problems(grid: Grid, methods: dict[str, MethodInfo]) -> Iterator[str]:
    yield from _control_problems(grid, methods, "pool")
    for where, pool in _given(grid, "pool"):
        yield from list_problems(where, pool, "pool")
        for name in pool:
            try:
                card_of(f"pool:{name}")
            except LookupError as error:
                yield f"{where}: {error}"
    for entry in grid.methods:
        pool = pool_of(grid.pretrain, entry, methods[entry.name])
        if methods[entry.name].needs_labels and not (len(pool) == 1 and pool[0].endswith(TRAIN)):
            yield (
                f"{entry.name} needs labels, but the pool {describe_pool(pool)} has none; give it "
                f'one training split: {{name = "{entry.name}", pool = ["mstar_soc:train"]}}'
            )


def _recipe_problems(grid: Grid, methods: dict[str, MethodInfo]) -> Iterator[str]:
    yield from _control_problems(grid, methods, "recipe")
    own = list(_own_field_problems(grid, methods))
    yield from own
    wrong = [one for one in _given(grid, "recipe") if one[1] not in (*RECIPES, SOURCE)]
    for where, name in wrong:
        yield f"{where}: " + unknown("recipe", name, [*RECIPES, SOURCE])
    if wrong or own:
        return
    for entry in grid.entries:
        try:
            list(_recipes(grid, entry, methods))
        except GridError as error:
            yield str(error)
        except (ValueError, TypeError) as error:
            yield f"{entry.name if entry.overrides else 'pretrain'}: {error}"


def _own_field_problems(grid: Grid, methods: dict[str, MethodInfo]) -> Iterator[str]:
    """Refuse own recipe fields that are swept, or that belong to a control."""
    budget = grid.pretrain.budget
    swept = [name for name, value in grid.pretrain.overrides.items() if isinstance(value, list)]
    for entry in grid.entries:
        for name, value in entry.overrides.items():
            if methods[entry.name].control:
                yield f"{entry.name} is a control and is not trained; remove its `{name}`"
            elif isinstance(value, list):
                yield (
                    f"{entry.name}.{name} is a list, but a method has one recipe; give it one "
                    f"value, or sweep {name} for all methods under [pretrain]"
                )
            elif name in swept:
                yield (
                    f"{entry.name} has its own {name}, which is swept under [pretrain] too; remove "
                    "one of them"
                )
            elif name == "epochs" and budget != "chips" and entry is not grid.methods[0]:
                yield (
                    f"{entry.name} has its own epochs, but budget = {budget!r} solves for them; "
                    "remove them"
                )


def _recipes(
    grid: Grid, entry: MethodEntry, methods: dict[str, MethodInfo]
) -> Iterator[tuple[dict[str, Any], Recipe]]:
    """Yield the recipe of a method at each point of the sweep; nothing for a control."""
    if not methods[entry.name].control:
        for axes in sweep(grid.pretrain):
            yield axes, recipe_of(grid.pretrain, axes, entry, methods[entry.name])


def check_data(grid: Grid, data: dict[str, Summary], methods: dict[str, MethodInfo]) -> None:
    """Check shots and batches against the number of chips, where that is known.

    Args:
        grid: The grid.
        data: Every set that is prepared; pools as `pool:<name>`.
        methods: The grid's methods by name.

    Raises:
        GridError: A class has fewer training chips than shots, or a pool fewer than a batch.
    """
    problems = [*shots_problems(grid, data), *_batch_problems(grid, data, methods)]
    if problems:
        raise GridError("\n".join(dict.fromkeys(problems)))


def _batch_problems(
    grid: Grid, data: dict[str, Summary], methods: dict[str, MethodInfo]
) -> Iterator[str]:
    pretrain = grid.pretrain
    cap = pretrain.pool_cap
    for entry in grid.entries:
        members = pool_members(pool_of(pretrain, entry, methods[entry.name]), data.get)
        total = cap if members is None else sum(member["count"] for member in members)
        if total is None:
            continue
        for axes, recipe in _recipes(grid, entry, methods):
            fraction = axes.get("pool_fraction", as_list(pretrain.pool_fraction)[0])
            count, batch = pool_count(total, cap, fraction), recipe.batch
            if count < batch:
                own = f" of {entry.name} ({describe_pool(entry.pool)})" if entry.pool else ""
                yield (
                    f"pretrain: batch = {batch}, but the pool{own} has {count} chips (pool_cap "
                    f"{cap}, pool_fraction {fraction}); use a smaller `batch` or a larger pool"
                )
