"""A grid file: what is asked for, strictly read and spread out into pretrainings and runs."""

import difflib
import itertools
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..methods._sizes import SIZES
from ..protocols import PROTOCOLS
from ..protocols._settings import Readout
from .catalogue import MethodInfo
from .data.registry import card
from .run import RECIPES, Recipe, Shots

CONTROLS = ["raw_pixels", "random_init"]
READOUTS = get_args(Readout)


class GridError(ValueError):
    """A grid that cannot be run as it is written."""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Return the sentence that says which name is unknown, the nearest one, and all allowed."""
    allowed = sorted(allowed)
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Allowed: {', '.join(allowed)}"


class Section(BaseModel):
    """A part of a grid file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodEntry(Section):
    """A method, with changed settings if asked."""

    name: str
    label: str | None = None
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
    pool_cap: int | None = Field(None, ge=1)
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
        overrides = {key: value[key] for key in value if key in names}
        rest = {key: value[key] for key in value if key not in names}
        return {**rest, "overrides": overrides} if overrides else rest


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
    methods: list[MethodEntry]
    controls: list[MethodEntry] = [MethodEntry(name=name) for name in CONTROLS]
    pretrain: PretrainSection = PretrainSection()
    evaluate: EvaluateSection

    def method_names(self) -> list[str]:
        """Return every method and control, those that a data set asks for included."""
        entries = [entry.name for entry in (*self.methods, *self.controls)]
        extra = [c for name in self.evaluate.datasets for c in card(name).extra_controls]
        return list(dict.fromkeys([*entries, *extra]))


def read_grid(path: Path) -> Grid:
    """Read a grid file.

    Raises:
        GridError: Not TOML, an unknown key, a wrong type; every problem is listed.
    """
    try:
        data = tomllib.loads(path.read_text())
    except FileNotFoundError:
        own = sorted(p.stem for p in (Path(__file__).parent / "grids").glob("*.toml"))
        raise GridError(f"no grid file {path}; grids that come along: {', '.join(own)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise GridError(f"{path} is not a TOML file: {error}") from None
    try:
        return Grid.model_validate(data)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
        raise GridError("\n".join(f"{path}: {problem}" for problem in problems)) from None


def _describe(problem: Any) -> str:
    where = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        sections: dict[str, type[Section]] = {
            "pretrain": PretrainSection, "evaluate": EvaluateSection, "protocols": ProtocolEntry,
            "methods": MethodEntry, "controls": MethodEntry,
        }  # fmt: skip
        section = next((sections[p] for p in reversed(where[:-1]) if p in sections), Grid)
        allowed = set(section.model_fields) - {"overrides"}
        if section is PretrainSection:
            allowed |= {field.name for field in fields(Recipe)}
        return f"{'.'.join(where)}: " + unknown("key", where[-1], allowed)
    return f"{'.'.join(where)}: {problem['msg']}, got {problem['input']!r}"


def validate(grid: Grid, methods: dict[str, MethodInfo]) -> None:
    """Refuse unknown names and impossible values, all at once, before anything starts.

    Raises:
        GridError: With one line for each problem.
    """
    problems = [*_pretrain_problems(grid), *_evaluate_problems(grid)]
    for entry in (*grid.methods, *grid.controls):
        defaults = methods[entry.name].defaults
        for key, value in entry.config.items():
            if key not in defaults:
                problems.append(f"{entry.name}: " + unknown("config field", key, defaults))
            elif not _same_kind(value, defaults[key]):
                kind = type(defaults[key]).__name__
                problems.append(f"{entry.name}.{key} must be a {kind}, got {value!r}")
    labels = [label_of(entry, methods) for entry in (*grid.methods, *grid.controls)]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        problems.append(f"two methods are labelled {label!r}; give one of them a `label`")
    if problems:
        raise GridError("\n".join(dict.fromkeys(problems)))


def _same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, tuple):
        return isinstance(value, list)
    return default is None or type(value) is type(default)


def label_of(entry: MethodEntry, methods: dict[str, MethodInfo]) -> str:
    """Return the label of a method in tables."""
    return entry.label or methods[entry.name].label


def _pretrain_problems(grid: Grid) -> Iterator[str]:
    pretrain = grid.pretrain
    for encoder in as_list(pretrain.encoder):
        if encoder not in SIZES:
            yield "pretrain.encoder: " + unknown("encoder", encoder, SIZES)
    if pretrain.recipe not in RECIPES:
        yield "pretrain.recipe: " + unknown("recipe", pretrain.recipe, RECIPES)
        return
    for fraction in as_list(pretrain.pool_fraction):
        if not 0 < fraction <= 1:
            yield f"pretrain.pool_fraction must be in (0, 1], got {fraction}"
    if not pretrain.pool:
        yield "pretrain.pool names no data"
    if not seeds_of(pretrain.seeds):
        yield "pretrain.seeds asks for no seed"
    for name in pretrain.pool:
        try:
            card(name, pool=True)
        except LookupError as error:
            yield f"pretrain.pool: {error}"
    for axes in sweep(pretrain):
        try:
            recipe_of(pretrain, axes)
        except (ValueError, TypeError) as error:
            yield f"pretrain: {error}"


def _evaluate_problems(grid: Grid) -> Iterator[str]:
    evaluate = grid.evaluate
    for name in evaluate.datasets:
        try:
            card(name)
        except LookupError as error:
            yield f"evaluate.datasets: {error}"
    if not seeds_of(evaluate.seeds):
        yield "evaluate.seeds asks for no seed"
    for name, entry in evaluate.protocols.items():
        if name not in PROTOCOLS:
            yield "evaluate.protocols: " + unknown("protocol", name, PROTOCOLS)
            continue
        protocol = PROTOCOLS[name]
        defaults = asdict(protocol.settings())
        for key, value in entry.settings.items():
            if key not in defaults:
                yield f"evaluate.protocols.{name}: " + unknown("setting", key, defaults)
            elif not _same_kind(value, defaults[key]):
                kind = type(defaults[key]).__name__
                yield f"evaluate.protocols.{name}.{key} must be a {kind}, got {value!r}"
            elif key == "readout" and value not in READOUTS:
                yield f"evaluate.protocols.{name}: " + unknown("readout", value, READOUTS)
        for dataset in entry.datasets or []:
            if dataset not in evaluate.datasets:
                known = unknown("data set of this grid", dataset, evaluate.datasets)
                yield f"evaluate.protocols.{name}.datasets: {known}"
        for shots in entry.shots:
            if shots == "all" and not protocol.allows_all:
                yield f'evaluate.protocols.{name}: shots = "all" is not allowed; give a number'
            elif shots != "all" and not protocol.allows_shots:
                yield f'evaluate.protocols.{name}: only shots = "all" is allowed, got {shots}'
            elif shots != "all" and shots < 1:
                yield f"evaluate.protocols.{name}: shots must be >= 1, got {shots}"


def as_list(value: Any) -> list[Any]:
    """Return a value as a list: a swept one is one already."""
    return value if isinstance(value, list) else [value]


def sweep(pretrain: PretrainSection) -> list[dict[str, Any]]:
    """Return one dict of values per point of the swept axes (one empty dict where none is)."""
    asked = {"encoder": pretrain.encoder, "pool_fraction": pretrain.pool_fraction}
    swept = {k: v for k, v in (asked | pretrain.overrides).items() if isinstance(v, list)}
    return [dict(zip(swept, point, strict=True)) for point in itertools.product(*swept.values())]


def recipe_of(pretrain: PretrainSection, axes: dict[str, Any]) -> Recipe:
    """Return the recipe at one point of the sweep."""
    base = RECIPES[pretrain.recipe]
    values = {}
    for field in fields(Recipe):
        if field.name in pretrain.overrides:
            value = axes.get(field.name, pretrain.overrides[field.name])
            kind = type(getattr(base, field.name))
            if isinstance(value, bool) or not isinstance(
                value, int if kind is int else int | float
            ):
                raise ValueError(f"{field.name} must be of type {kind.__name__}, got {value!r}")
            values[field.name] = kind(value)
    return replace(base, **values)
