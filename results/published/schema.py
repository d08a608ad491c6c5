"""Schema of published values: TOML files in which each value has a grade and a source."""

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from ..record import Strict

Grade = Literal["A", "B", "C", "D"]


FOLDER = files("sarbench.results.published")


class PublishedError(ValueError):
    """A file of published values that is missing or invalid."""


class PaperRow(Strict):
    """A row of the paper: one of our methods, or the reason why we have none."""

    label: str
    method: str | None = None
    not_ours: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "PaperRow":
        if (self.method is None) == (self.not_ours is None):
            raise ValueError("give exactly one of method and not_ours")
        return self


class PaperTable(Strict):
    """Rows and columns of a table of the paper."""

    title: str
    rows: list[str]
    datasets: list[str]
    protocols: list[str]
    shots: list[int]


class Value(Strict):
    """One published number, in percent."""

    table: str
    dataset: str
    protocol: str
    shots: int
    row: str
    value: float = Field(ge=0, le=100)
    grade: Grade
    sources: list[str] = Field(min_length=1)
    runs: int | None = Field(
        None, ge=1, description="number of runs, if it is not the number of seeds of the paper"
    )
    note: str | None = None


class Ordering(Strict):
    """A statement that one row is above others, in every combination of the lists."""

    statement: str
    grade: Grade
    higher: str
    lower: list[str]
    datasets: list[str]
    protocols: list[str]
    shots: list[int]
    lower_protocol: str | None = None  # protocol of the lower rows, if it differs


class Difference(Strict):
    """A difference in set-up that is not a field of a grid."""

    text: str
    grade: Grade
    dataset: str | None = None


class Published(Strict):
    """The published values of one paper."""

    title: str
    citation: str
    url: str
    metric: Literal["accuracy", "balanced_accuracy", "macro_f1"]
    seeds: int = Field(ge=1, description="number of runs of a published mean, or a lower bound")
    note: str
    grades: dict[Grade, str]
    sources: dict[str, str]
    datasets: dict[str, str]
    protocols: dict[str, str]
    rows: dict[str, PaperRow]
    tables: dict[str, PaperTable]
    value: list[Value]
    ordering: list[Ordering] = Field(default_factory=list)
    setup: dict[str, str | float | int | list[str]] = Field(default_factory=dict)
    difference: list[Difference] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_are_known(self) -> "Published":
        for one in self.value:
            table = self.tables.get(one.table)
            if table is None or not (
                one.row in table.rows
                and one.dataset in table.datasets
                and one.protocol in table.protocols
                and one.shots in table.shots
            ):
                raise ValueError(f"{one} is outside its table")
            _known(one.sources, self.sources, "source")
        places = [(v.table, v.dataset, v.protocol, v.shots, v.row) for v in self.value]
        if twice := {place for place in places if places.count(place) > 1}:
            raise ValueError(f"these values occur twice: {sorted(twice)}")
        for table in self.tables.values():
            _known(table.rows, self.rows, "row")
            _known(table.datasets, self.datasets, "data set")
            _known(table.protocols, self.protocols, "protocol")
        for order in self.ordering:
            _known([order.higher, *order.lower], self.rows, "row")
            _known(order.datasets, self.datasets, "data set")
            lower = [order.lower_protocol] if order.lower_protocol else []
            _known([*order.protocols, *lower], self.protocols, "protocol")
        return self


def _known(names: Iterable[str], allowed: Iterable[str], kind: str) -> None:
    allowed = list(allowed)
    for name in names:
        if name not in allowed:
            raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(allowed)}")


def papers() -> list[str]:
    """Return the names of the bundled papers."""
    names = [path.name for path in FOLDER.iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def read_published(name: str) -> Published:
    """Read a bundled paper by its name, or another file by its path.

    Raises:
        PublishedError: The file is missing or invalid.
    """
    if name in papers():
        text = (FOLDER / f"{name}.toml").read_text("utf-8")
    else:
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PublishedError(
                f"unknown paper {name!r} ({error}); bundled papers: {', '.join(papers())}. For "
                "another paper, give the path of a TOML file with the same fields"
            ) from None
    try:
        return Published.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PublishedError(f"{name} is not TOML: {error}") from None
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise PublishedError("\n".join(f"{name}: {problem}" for problem in problems)) from None
