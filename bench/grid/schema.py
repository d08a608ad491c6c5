"""A grid file: what is asked for, strictly read and spread out into pretrainings and runs."""

import itertools
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ...methods._registry import own_names
from ...results.statistics.units import FEWEST_PRETRAINED, FEWEST_SEEDS, Compares
from ..data.registry import card
from ..identity import CHOICES, RECIPES, SOURCE, Recipe, Shots
from ..models.method_info import MethodInfo, inspect_method
from ..suggest import unknown
from ..toml_file import Section, read_toml

CONTROLS = ["raw_pixels", "random_init"]


class GridError(ValueError):
    """A grid that cannot be run as it is written."""


class MethodEntry(Section):
    """A method, with changed settings, another recipe or another pool if asked."""

    name: str
    label: str | None = None
    recipe: str | None = None
    pool: list[str] | None = None
    config: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


Seeds = int | list[int]


def seeds_of(seeds: Seeds) -> list[int]:
    """Return the seeds that a number or a list of them means."""
    return list(range(seeds)) if isinstance(seeds, int) else seeds


class PretrainSection(Section):
    """How the encoders are made. Recipe fields stand here too; lists are swept."""

    seeds: Seeds = 1
    pool: list[str] = ["synthetic"]
    pool_cap: int | None = Field(default=None, ge=1)
    pool_fraction: float | list[float] = 1.0
    encoder: str | list[str] = "vit_base"
    precision: Literal["fp32", "bf16"] = "fp32"
    recipe: str = "paper"
    allow_overlap: bool = False
    overrides: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _collect_recipe_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        names = {field.name for field in fields(Recipe)}
        if "overrides" in value:
            raise ValueError("no key 'overrides' exists; write recipe fields directly here")
        overrides = {key: value[key] for key in value if key in names}
        rest = {key: value[key] for key in value if key not in names}
        return {**rest, "overrides": overrides} if overrides else rest

    @classmethod
    def allowed_keys(cls) -> set[str]:
        """Return the keys that the section may have, recipe fields included."""
        return (set(cls.model_fields) - {"overrides"}) | {field.name for field in fields(Recipe)}


class ProtocolEntry(Section):
    """Which shots of a protocol, and where; a bare list means the shots."""

    shots: list[Shots]
    seeds: Seeds | None = None
    datasets: list[str] | None = None
    settings: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return {"shots": value} if isinstance(value, list) else value


class EvaluateSection(Section):
    """What the encoders are measured on."""

    datasets: list[str] = ["synthetic"]
    seeds: Seeds = 10
    protocols: dict[str, ProtocolEntry]


class Grid(Section):
    """The declared experiment."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    compare: Compares = "methods"
    methods: list[MethodEntry]
    controls: list[MethodEntry] = [MethodEntry(name=name) for name in CONTROLS]
    pretrain: PretrainSection = PretrainSection()
    evaluate: EvaluateSection

    def method_names(self) -> list[str]:
        """Return every method and control, those that a data set asks for included."""
        entries = [entry.name for entry in (*self.methods, *self.controls)]
        extra = [c for name in self.evaluate.datasets for c in card(name).source.extra_controls]
        return list(dict.fromkeys([*entries, *extra]))


def bundled_grids() -> dict[str, Path]:
    """Return the files of the bundled grids by their names."""
    found = sorted((Path(__file__).parent.parent / "grids").glob("*.toml"))
    return {path.stem: path for path in found}


def grid_file(path: Path) -> Path:
    """Return the file of a grid that is given by its path, or by the name of a bundled one."""
    return path if path.is_file() else bundled_grids().get(str(path), path)


def claim_warning(grid: Grid) -> str | None:
    """Return a warning where tables will claim nothing: too few pretraining seeds, or draws."""
    if grid.compare == "checkpoints":
        return _draws_warning(grid)
    count = len(seeds_of(grid.pretrain.seeds))
    if not grid.methods or count >= FEWEST_PRETRAINED:
        return None
    return (
        f"{count} pretraining seed(s): tables will show no places and no mean ranks, because one "
        f"checkpoint is not a method; set seeds = {FEWEST_PRETRAINED} or more under [pretrain], or "
        'compare = "checkpoints" at the top of the grid'
    )


def _draws_warning(grid: Grid) -> str | None:
    """Return a warning where draws of labelled chips are too few for a test of checkpoints."""
    few = {}
    for name, protocol in grid.evaluate.protocols.items():
        asked = grid.evaluate.seeds if protocol.seeds is None else protocol.seeds
        if any(shots != "all" for shots in protocol.shots) and len(seeds_of(asked)) < FEWEST_SEEDS:
            few[name] = len(seeds_of(asked))
    if not few:
        return None
    listed = ", ".join(f"{name} with {count}" for name, count in few.items())
    return (
        f"too few draws of labelled chips ({listed}): tables will show no ±, no places and no mean "
        f"ranks of such columns, because an interval of checkpoints takes {FEWEST_SEEDS} draws or "
        f"more; set seeds = {FEWEST_SEEDS} or more under [evaluate]"
    )


def read_grid(path: Path) -> Grid:
    """Read a grid file, or a bundled grid by its name.

    Raises:
        GridError: Not TOML, an unknown key, a wrong type; every problem is listed.
    """
    try:
        return read_toml(grid_file(path), Grid, GridError)
    except FileNotFoundError:
        listed = unknown("bundled grid", str(path), bundled_grids())
        raise GridError(f"no grid file {path}; {listed}") from None


def label_of(
    entry: MethodEntry, methods: dict[str, MethodInfo], among: Sequence[MethodEntry] = ()
) -> str:
    """Return the label of a method in tables, with the recipe that is its entry's own.

    The entry's own pool is added where only the pool tells it from another one of `among`.
    """
    own = f", {entry.recipe} recipe" if entry.recipe else ""
    label = entry.label or methods[entry.name].label + own
    others = [label_of(other, methods) for other in among if other.pool != entry.pool]
    alike = entry.pool and not entry.label and label in others
    return f"{label}, pool {describe_pool(entry.pool or [])}" if alike else label


def pool_of(pretrain: PretrainSection, entry: MethodEntry, info: MethodInfo) -> list[str]:
    """Return the names of an entry's pool: its own, else that of the grid; none for a control."""
    if info.control:
        return []
    return pretrain.pool if entry.pool is None else entry.pool


def describe_pool(pool: Sequence[str]) -> str:
    """Return the names of a pool as one text."""
    return " + ".join(pool)


def as_list(value: Any) -> list[Any]:
    """Return a value as a list: a swept one is one already."""
    return value if isinstance(value, list) else [value]


def sweep(pretrain: PretrainSection) -> list[dict[str, Any]]:
    """Return one dict of values per point of the swept axes (one empty dict where none is)."""
    asked = {"encoder": pretrain.encoder, "pool_fraction": pretrain.pool_fraction}
    swept = {k: v for k, v in (asked | pretrain.overrides).items() if isinstance(v, list)}
    return [dict(zip(swept, point, strict=True)) for point in itertools.product(*swept.values())]


def recipe_of(
    pretrain: PretrainSection, axes: dict[str, Any], entry: MethodEntry, info: MethodInfo
) -> Recipe:
    """Return the recipe of a method at one point of the sweep.

    Fields given under [pretrain] hold for every method, whatever recipe it has. Where they change
    the epochs of a source recipe, its warm-up keeps its share of them.

    Raises:
        GridError: The method has no recipe of that name.
        ValueError: A field is of another type, or a recipe that cannot be trained with.
    """
    base = _named_recipe(entry.recipe or pretrain.recipe, info)
    values = {}
    for field in fields(Recipe):
        if field.name in pretrain.overrides:
            value = axes.get(field.name, pretrain.overrides[field.name])
            if allowed := CHOICES.get(field.name):
                if value not in allowed:
                    raise ValueError(unknown(field.name, str(value), allowed))
                values[field.name] = None if value == allowed[0] else value
                continue
            kind = int if isinstance(getattr(base, field.name), int) else float
            if isinstance(value, bool) or not isinstance(
                value, int if kind is int else int | float
            ):
                raise ValueError(f"{field.name} must be of type {kind.__name__}, got {value!r}")
            values[field.name] = kind(value)
    if (entry.recipe or pretrain.recipe) == SOURCE and "epochs" in values:
        share = base.warmup_epochs / base.epochs
        values = {"warmup_epochs": share * values["epochs"]} | values
    return replace(base, **values)


def _named_recipe(name: str, info: MethodInfo) -> Recipe:
    if name != SOURCE:
        return RECIPES[name]
    if info.source_recipe is None:
        have = [one for one in sorted(own_names()) if inspect_method(one).source_recipe]
        raise GridError(
            f"{info.name} has no recipe {SOURCE!r}: its file names none. Methods that have one: "
            f'{", ".join(have)}; give the others another, as {{name = "{info.name}", '
            f'recipe = "paper"}}'
        )
    try:
        return Recipe(**info.source_recipe)
    except (TypeError, ValueError) as error:
        raise GridError(f"{info.name}: its source_recipe is not a recipe: {error}") from error
