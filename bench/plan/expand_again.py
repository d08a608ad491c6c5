"""The grid of an archive expanded again, compared with the plan of the archive."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ...methods._registry import BrokenMethodError, own_names
from ...methods._registry import names as method_names
from ...results.scores import column_name
from ..grid.applicable import NotApplicable, applicable, unmeasured
from ..grid.expand import PlannedPretraining, PlannedRun, pretrainings, runs
from ..grid.given_rows import given_rows
from ..grid.schema import GridError
from ..method_facts.method_info import MethodInfo, describe
from ..store.archive import ArchivedStore
from ..store.records import Store
from .budget import with_budget
from .given_files import find_given, remember
from .plan import Plan, describe_run
from .tuning import Trial, waiting_for, with_choices


class NotExpandableError(ValueError):
    """A grid that the present version cannot expand."""


@dataclass(frozen=True)
class Expanded:
    """Everything that a grid declares, expanded by this version.

    Attributes:
        starts: Its pretrainings, also those without an applicable run.
        runs: Its applicable runs.
        not_applicable: Rows with what they cannot do, and the reason, as in a plan.
        unmeasured: Rows that no protocol of the grid measures, as in a plan.
        methods: The facts of its methods: ours, but for a method of another version those of the
            plan.
    """

    starts: list[PlannedPretraining]
    runs: list[PlannedRun]
    not_applicable: list[NotApplicable]
    unmeasured: list[NotApplicable]
    methods: dict[str, MethodInfo]


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


def expand_again(plan: Plan, store: ArchivedStore) -> Expanded:
    """Expand the grid of an archive.

    Recipes that `[tune]` has chosen, and facts about given weights, are those of the plan: neither
    the trials nor the files are in the archive.

    Raises:
        NotExpandableError: A protocol or a method of the grid does not exist in this version.
    """
    grid, archive = plan.grid, store.path
    # Without the times of steps, facts are cached in the user's folder.
    timed = store if grid.pretrain.budget == "core_seconds" else Store(archive)
    with TemporaryDirectory(prefix="sarbench-") as folder:
        starts = [entry.planned for entry in plan.pretrain]
        try:
            methods = _methods(plan, archive)
            remember(grid, methods, starts, archive, Path(folder))
            given = find_given(grid, methods, Store(Path(folder)))
            if grid.tune:
                chosen = {one.label: one.tuned for one in starts if one.tuned}
                trials = [Trial(label, one, "done", {}, True) for label, one in chosen.items()]
                grid = with_choices(grid, trials, methods)
            else:
                trials = None
            planned = pretrainings(grid, methods, plan.data.get, given)
            planned = planned if trials is None else waiting_for(trials, planned)
            planned = with_budget(grid, planned, timed).planned + given_rows(grid, given, methods)
            every = runs(grid, planned, methods, plan.data.get)
            found, refused = applicable(every, archive)
        except (GridError, LookupError) as error:
            raise NotExpandableError(str(error)) from error
    lacking = unmeasured(grid, planned, methods, list(grid.evaluate.protocols))
    return Expanded(planned, found, refused, lacking, methods)


def compare_with_grid(plan: Plan, expanded: Expanded) -> Declared:
    """Compare the runs that a grid declares with those of the plan.

    Runs that are not applicable are not declared.
    """
    there = {describe_run(entry.planned): entry for entry in plan.runs}
    done = [entry.planned for entry in plan.runs if entry.state == "done"]
    rows, columns = {run.pretraining.row for run in done}, {run.column for run in done}
    declared = {describe_run(run): run for run in expanded.runs}
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
    ours, installed = own_names(), method_names()
    here = describe([name for name in plan.methods if name in ours], archive)
    for name in plan.methods:
        if name in installed and name not in ours:
            with suppress(BrokenMethodError):  # its contract reports it
                here |= describe([name], archive)
    same = {name: one for name, one in here.items() if one.version == plan.methods[name].version}
    return plan.methods | same
