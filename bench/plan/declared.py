"""The runs that the grid of an archive declares, compared with those of its plan."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ...methods._registry import own_names
from ...results.scores import column_name
from ..grid.applicable import applicable
from ..grid.expand import pretrainings, runs
from ..grid.given_rows import given_rows
from ..grid.schema import GridError
from ..method_facts.method_info import MethodInfo, describe
from ..store.records import Store
from .given_files import find_given, remember
from .plan import Plan, describe_run


class NotExpandableError(ValueError):
    """A grid that this version of sarbench cannot expand."""


@dataclass(frozen=True)
class Declared:
    """The difference between a grid and the plan of its archive.

    Attributes:
        rows: Rows that the plan lacks as a whole.
        columns: Columns that the plan lacks as a whole.
        missing: Other runs that the plan lacks, in words.
        undeclared: Runs of the plan that are not in the grid, in words.
    """

    rows: list[str]
    columns: list[str]
    missing: list[str]
    undeclared: list[str]


def compare_with_grid(plan: Plan, archive: Path) -> Declared:
    """Expand the grid of an archive and compare its runs with those of the plan.

    A plan of a part of the grid lacks runs. Runs that are not applicable are not declared.

    Raises:
        NotExpandableError: A protocol or a method of the grid does not exist in this version.
    """
    grid, methods = plan.grid, _methods(plan, archive)
    with TemporaryDirectory(prefix="sarbench-") as folder:
        starts = [entry.planned for entry in plan.pretrain]
        remember(grid, methods, starts, archive, Path(folder))
        try:
            given = find_given(grid, methods, Store(Path(folder)))
            planned = pretrainings(grid, methods, plan.data.get, given)
            planned += given_rows(grid, given, methods)
            found, _ = applicable(runs(grid, planned, methods, plan.data.get), archive)
        except (GridError, LookupError) as error:
            raise NotExpandableError(str(error)) from error
    there = {describe_run(entry.planned): entry.planned for entry in plan.runs}
    declared = {describe_run(run): run for run in found}
    rows = {run.pretraining.row for run in there.values()}
    columns = {run.column for run in there.values()}
    lacking = {name: run for name, run in declared.items() if name not in there}
    without = {name: run for name, run in lacking.items() if run.pretraining.row in rows}
    return Declared(
        rows=_unique(run.pretraining.row for name, run in lacking.items() if name not in without),
        columns=_unique(
            column_name(run.column) for run in lacking.values() if run.column not in columns
        ),
        missing=[name for name, run in without.items() if run.column in columns],
        undeclared=[name for name in there if name not in declared],
    )


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _methods(plan: Plan, archive: Path) -> dict[str, MethodInfo]:
    """Return the facts of methods: ours, but for a method of another version those of the plan."""
    ours = own_names()
    here = describe([name for name in plan.methods if name in ours], archive)
    same = {name: one for name, one in here.items() if one.version == plan.methods[name].version}
    return plan.methods | same
