"""A grid file: its sections, and the recipes, pools and labels of its methods."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from ...results.statistics.units import Compares
from ..augmentation.conditions import CLEAN
from ..data.names import place_of, placed
from ..data.registry import card
from ..identity import GIVEN, Recipe
from ..method_facts.method_info import MethodInfo
from ..suggest import unknown
from ..toml_file import TABLE, Section, read_toml
from .encoder_entries import EncoderEntry, Place

TRIALS = "+tuning"  # ends the name of the grid of trials; no file can have such a name
CONTROLS = ["raw_pixels", "random_init"]
RECIPE_FIELDS = {field.name for field in fields(Recipe)}

T = TypeVar("T")
# A labelled folder is named as its results are; the path is kept for the files.
SetName = Annotated[str, AfterValidator(placed)]
OwnInit = Annotated[  # false = drawn weights, also if the grid names some
    Annotated[EncoderEntry, Tag(TABLE)] | Annotated[Literal[False], Tag("false")],
    Discriminator(lambda value: "false" if value is False else TABLE),
]


class GridError(ValueError):
    """A grid that cannot be run as written."""


class RecipeFields(Section):
    """A section that takes the fields of a recipe next to its own keys."""

    overrides: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _collect_recipe_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if "overrides" in value:
            raise ValueError("unknown key 'overrides'; write recipe fields directly")
        overrides = {key: value[key] for key in value if key in RECIPE_FIELDS}
        rest = {key: value[key] for key in value if key not in RECIPE_FIELDS}
        return {**rest, "overrides": overrides} if overrides else rest

    @classmethod
    def allowed_keys(cls) -> set[str]:
        """Return the allowed keys, recipe fields included."""
        return (set(cls.model_fields) - {"overrides"}) | RECIPE_FIELDS


class MethodEntry(RecipeFields):
    """A method or control, with its own label, pool, start, settings and recipe where given."""

    name: str  # of the method's file
    label: str | None = None  # name in tables
    recipe: str | None = None  # paper, quick or source; default: that of [pretrain]
    pool: list[str] | None = None  # default: that of [pretrain]
    init: OwnInit | None = None  # weights to continue from; false = drawn ones
    config: dict[str, Any] = {}  # settings of the method

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


Seeds = int | list[int]


def seeds_of(seeds: Seeds) -> list[int]:
    """Return a list of seeds; the number n means 0 to n - 1."""
    return list(range(seeds)) if isinstance(seeds, int) else seeds


class PretrainSection(RecipeFields):
    """The section `[pretrain]`, which also takes recipe fields. Lists are swept."""

    seeds: Seeds = 1  # pretrainings of each method: n for seeds 0 to n - 1, or a list
    # chips to train on: pools, training splits of data sets (NAME:train), or folder:PATH
    pool: list[str] = ["synthetic"]
    pool_cap: int | None = Field(default=None, ge=1)  # the most chips of the pool, drawn by hash
    pool_fraction: float | list[float] = 1.0  # share of them, drawn by hash
    encoder: str | list[str] = "vit_base"  # named size, ViT of any size, or timm:NAME
    init: EncoderEntry | None = None  # weights that every method continues from
    precision: Literal["fp32", "bf16"] = "fp32"  # of the training
    recipe: str = "paper"  # paper, quick, or source: that of each method's authors
    budget: Literal["chips", "flops", "core_seconds"] = "chips"  # that all methods share
    allow_overlap: bool = False  # true: the pool may hold test chips of the grid
    watch: SetName | None = None  # data set whose training chips measure knn while it trains


class ProtocolEntry(Section):
    """The shots of a protocol, its seeds, data sets and settings; a bare list means the shots.

    Lists of settings are swept.
    """

    # labelled chips per class (10), a share of the chips of each class ("30%"), or "all"
    shots: list[Any]  # checked in `evaluate_problems`
    seeds: Seeds | None = None  # default: those of [evaluate]
    datasets: list[SetName] | None = None  # default: those of [evaluate]
    settings: dict[str, Any] = {}  # of the protocol; lists are swept

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return {"shots": value} if isinstance(value, list) else value


class EvaluateSection(Section):
    """The section `[evaluate]`: data sets, conditions of their test chips, protocols and seeds."""

    datasets: list[SetName] = ["synthetic"]  # labelled sets, or folder:PATH
    conditions: list[str] = [CLEAN]  # of the test chips: clean, shift:4, speckle:1, ...
    condition_datasets: list[SetName] | None = None  # those with conditions; the others are clean
    at: list[float] | None = None  # shares of the steps after which a pretraining is evaluated too
    seeds: Seeds = 10  # draws of labelled chips and heads for each pretraining
    protocols: dict[str, ProtocolEntry]  # by name

    @field_validator("datasets")
    @classmethod
    def _one_name_each(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(set(map(place_of, names))):
            raise ValueError(
                "two folders of `datasets` have the same name; the last part of a path names its "
                "results, so rename one of the folders"
            )
        return names


class TuneSection(RecipeFields):
    """The section `[tune]`: recipe fields with the values to try (`trials.py`)."""

    dataset: str | None = None  # whose training chips judge trials; default: the first one


class Grid(Section):
    """A whole grid file."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="letters, digits, `_`, `.` and `-`, first a letter or a digit",
    )
    about: str = ""  # advice on reading the results; printed by `demo` and on the report's page
    compare: Compares = "methods"  # checkpoints: each row is one encoder
    methods: list[MethodEntry]  # names, or tables
    encoders: list[EncoderEntry] = []  # files of weights that are rows: names of files, or tables
    controls: list[MethodEntry] = [MethodEntry(name=name) for name in CONTROLS]  # rows to compare
    pretrain: PretrainSection = PretrainSection()  # pool, encoder and recipe of all methods
    tune: TuneSection | None = None  # trials that choose recipe fields for each method
    evaluate: EvaluateSection  # data sets, protocols and seeds of all encoders

    @model_validator(mode="before")
    @classmethod
    def _of_encoders(cls, value: Any) -> Any:
        """Let a grid with encoders have no methods and compare checkpoints, if it does not say."""
        if isinstance(value, dict) and value.get("encoders"):
            return {"methods": [], "compare": "checkpoints"} | value
        return value

    @model_validator(mode="before")
    @classmethod
    def _controls_once(cls, value: Any) -> Any:
        """Add no control that is listed under `methods` as it is."""
        if isinstance(value, dict) and "controls" not in value:
            listed = value.get("methods")
            plain = [one for one in listed if one in CONTROLS] if isinstance(listed, list) else []
            return value | {"controls": [one for one in CONTROLS if one not in plain]}
        return value

    def weights(self) -> list[tuple[Place, EncoderEntry]]:
        """Return the entries of `encoders`, then those that methods continue from, each once."""
        inits = [_init(self.pretrain, one) for one in self.methods]
        return [
            *(("encoders", one) for one in self.encoders),
            *(("init", one) for one in unique(inits) if one),
        ]

    @property
    def of_trials(self) -> bool:
        """True for the trials of a grid (`trials.py`)."""
        return self.name.endswith(TRIALS)

    @property
    def entries(self) -> list[MethodEntry]:
        """Its methods, then its controls."""
        return [*self.methods, *self.controls]

    def method_names(self) -> list[str]:
        """Return every method and control; those of data sets too, but not for trials."""
        entries = [entry.name for entry in self.entries]
        entries += [GIVEN] if self.weights() else []
        judged = () if self.of_trials else self.evaluate.datasets
        extra = [control for name in judged for control in card(name).source.extra_controls]
        return list(dict.fromkeys([*entries, *extra]))


def bundled_grids() -> dict[str, Path]:
    """Return the bundled grids, name to file."""
    found = sorted((Path(__file__).parent.parent / "grids").glob("*.toml"))
    return {path.stem: path for path in found}


def grid_file(path: Path) -> Path:
    """Return the file of a grid, given as a path or as the name of a bundled grid."""
    return path if path.is_file() else bundled_grids().get(str(path), path)


def read_grid(path: Path) -> Grid:
    """Read a grid file, or a bundled grid by its name; paths of weights become absolute.

    Raises:
        GridError: The file is missing, is not TOML, or has unknown keys or wrong types; the
            message lists every problem.
    """
    file = grid_file(path)
    try:
        grid = read_toml(file, Grid, GridError)
    except FileNotFoundError:
        listed = unknown("bundled grid", str(path), bundled_grids())
        raise GridError(f"no grid file {path}; {listed}") from None
    folder = file.absolute().parent

    def absolute(entry: EncoderEntry) -> EncoderEntry:
        if not entry.weights:
            raise GridError(
                f"{file}: the path of given weights is empty; name a file, absolute or relative "
                "to the folder of the grid"
            )
        path = str(folder / Path(entry.weights).expanduser())
        return entry.model_copy(update={"weights": path})

    def with_init(section: Any) -> Any:
        own = section.init
        return section.model_copy(update={"init": absolute(own)}) if own else section

    return grid.model_copy(
        update={
            "methods": [with_init(one) for one in grid.methods],
            "controls": [with_init(one) for one in grid.controls],
            "pretrain": with_init(grid.pretrain),
            "encoders": [absolute(one) for one in grid.encoders],
        }
    )


def label_of(
    pretrain: PretrainSection,
    entry: MethodEntry,
    methods: dict[str, MethodInfo],
    among: Sequence[MethodEntry] = (),
) -> str:
    """Return the label of a method in tables, with its start and own recipe if the entry has them.

    The entry's own pool is added if another entry of `among` has the same label.
    """
    start = init_of(pretrain, entry, methods[entry.name])
    own = f" from {start.name}" if start else ""
    own += f", {entry.recipe} recipe" if entry.recipe else ""
    label = entry.label or methods[entry.name].label + own
    others = [label_of(pretrain, other, methods) for other in among if other.pool != entry.pool]
    same = entry.pool and not entry.label and label in others
    return f"{label}, pool {describe_pool(entry.pool or [])}" if same else label


def pool_of(pretrain: PretrainSection, entry: MethodEntry, info: MethodInfo) -> list[str]:
    """Return the names of an entry's own pool, else of the grid's; empty for a control."""
    if info.control:
        return []
    return pretrain.pool if entry.pool is None else entry.pool


def init_of(pretrain: PretrainSection, entry: MethodEntry, info: MethodInfo) -> EncoderEntry | None:
    """Return the weights that an entry continues from; None for drawn ones and for a control."""
    return None if info.control else _init(pretrain, entry)


def _init(pretrain: PretrainSection, entry: MethodEntry) -> EncoderEntry | None:
    return (pretrain.init if entry.init is None else entry.init) or None


def describe_pool(pool: Sequence[str]) -> str:
    """Return the names of a pool as one text."""
    return " + ".join(pool)


def unique(values: Iterable[T]) -> list[T]:
    """Return values that need not be hashable, each once."""
    found: list[T] = []
    for one in values:
        if one not in found:
            found.append(one)
    return found


def as_list(value: Any) -> list[Any]:
    """Return a swept value, which is a list, or a single one as a list."""
    return value if isinstance(value, list) else [value]


def sweep(pretrain: PretrainSection) -> list[dict[str, Any]]:
    """Return the values at each point of the sweep; one empty dict if nothing is swept."""
    given = {"encoder": pretrain.encoder, "pool_fraction": pretrain.pool_fraction}
    swept = {k: v for k, v in (given | pretrain.overrides).items() if isinstance(v, list)}
    return [dict(zip(swept, point, strict=True)) for point in itertools.product(*swept.values())]
