"""The runs that the grid of an archive declares, compared with the finished ones."""

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
    """A grid that the present version cannot expand."""


@dataclass(frozen=True)
class Declared:
    """The difference between a grid and the finished runs of its archive.

    Attributes:
        rows: Rows without a finished run.
        columns: Columns without a finished run.
        missing: Other runs that are not finished, in words -> their state, or `absent`.
        undeclared: Runs of the plan that are not in the grid, in words.
    """

    rows: list[str]
    columns: list[str]
    missing: dict[str, str]
    undeclared: list[str]


def compare_with_grid(plan: Plan, archive: Path) -> Declared:
    """Expand the grid of an archive and compare its runs with those of the plan.

    Runs that are not applicable are not declared.

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
    there = {describe_run(entry.planned): entry for entry in plan.runs}
    done = [entry.planned for entry in plan.runs if entry.state == "done"]
    rows, columns = {run.pretraining.row for run in done}, {run.column for run in done}
    declared = {describe_run(run): run for run in found}
    states = {name: there[name].state if name in there else "absent" for name in declared}
    lacking = {name: run for name, run in declared.items() if states[name] != "done"}
    return Declared(
        rows=_unique(run.pretraining.row for run in lacking.values()
                     if run.pretraining.row not in rows),
        columns=_unique(column_name(run.column) for run in lacking.values()
                        if run.column not in columns),
        missing={name: states[name] for name, run in lacking.items()
                 if run.pretraining.row in rows and run.column in columns},
        undeclared=[name for name in there if name not in declared],
    )  # fmt: skip


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _methods(plan: Plan, archive: Path) -> dict[str, MethodInfo]:
    """Return the facts of methods: ours, but for a method of another version those of the plan."""
    ours = own_names()
    here = describe([name for name in plan.methods if name in ours], archive)
    same = {name: one for name, one in here.items() if one.version == plan.methods[name].version}
    return plan.methods | same
