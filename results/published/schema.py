"""Schema of published values: TOML files in which each value has a grade and a source."""

from collections.abc import Iterable
from typing import Literal, get_args

from pydantic import Field, model_validator

from ..record import Strict

Grade = Literal["A", "B", "C", "D"]


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
    grades: dict[str, str]
    sources: dict[str, str]
    datasets: dict[str, str]
    protocols: dict[str, str]
    rows: dict[str, PaperRow]
    tables: dict[str, PaperTable]
    value: list[Value]
    ordering: list[Ordering] = Field(default_factory=list)
    setup: dict[str, str | float | int | list[str]] = Field(default_factory=dict)
    difference: list[Difference] = Field(default_factory=list)

    def check_names(self) -> None:
        """Check that all parts of the file have the same names.

        Raises:
            ValueError: It names the first part that does not fit.
        """
        _known(self.grades, get_args(Grade), "grade")
        places = set[tuple[object, ...]]()
        for one in self.value:
            table = self.tables.get(one.table)
            place = one.table, one.dataset, one.protocol, one.shots, one.row
            if table is None or not (
                one.row in table.rows
                and one.dataset in table.datasets
                and one.protocol in table.protocols
                and one.shots in table.shots
            ):
                raise ValueError(f"the value {one.value} at {place} is outside its table")
            if place in places:
                raise ValueError(f"the value at {place} occurs twice")
            places.add(place)
            _known(one.sources, self.sources, "source")
        for table in self.tables.values():
            _known(table.rows, self.rows, "row")
            _known(table.datasets, self.datasets, "data set")
            _known(table.protocols, self.protocols, "protocol")
        for order in self.ordering:
            _known([order.higher, *order.lower], self.rows, "row")
            _known(order.datasets, self.datasets, "data set")
            lower = [order.lower_protocol] if order.lower_protocol else []
            _known([*order.protocols, *lower], self.protocols, "protocol")


def _known(names: Iterable[str], allowed: Iterable[str], kind: str) -> None:
    allowed = list(allowed)
    for name in names:
        if name not in allowed:
            raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(allowed)}")
