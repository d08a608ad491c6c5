"""Findings about the plan of an archive, compared with its grid."""

from collections.abc import Iterator

from ..plan.differences_from_grid import differences_from_grid
from ..plan.expand_again import Expanded, NotExpandableError, compare_with_grid, expand_again
from ..plan.plan import Plan
from ..store.archive import PLAN, ArchivedStore
from ..suggest import shortened
from .check import Finding

AGAIN = "make the archive again"


def expand_or_find(plan: Plan, store: ArchivedStore) -> Expanded | Finding:
    """Expand the grid of an archive, or return a finding if this version cannot do that."""
    try:
        return expand_again(plan, store)
    except NotExpandableError as error:
        return Finding("grid", store.path.name, (
            f"this version cannot expand its grid ({error}); check it with the version that wrote "
            "it, and submit it to a version that has its methods and protocols"
        ))  # fmt: skip


def check_against_grid(plan: Plan, store: ArchivedStore) -> list[Finding]:
    """Return what the plan of an archive, or a part of it, says otherwise than the grid."""
    expanded = expand_or_find(plan, store)
    if isinstance(expanded, Finding):
        return [expanded]
    undeclared = compare_with_grid(plan, expanded).undeclared
    return [*edits(plan, expanded, store), *undeclared_runs(undeclared, store)]


def edits(plan: Plan, expanded: Expanded, store: ArchivedStore) -> Iterator[Finding]:
    """Yield a finding for each difference between a plan and its grid."""
    for text in differences_from_grid(plan, expanded):
        yield Finding("plan", store.path.name, (
            f"{text}; {PLAN} was edited, or another version wrote it: {AGAIN}, or check it with "
            "that version"
        ))  # fmt: skip


def undeclared_runs(runs: list[str], store: ArchivedStore) -> Iterator[Finding]:
    """Yield a finding if a plan has runs that its grid does not declare."""
    if runs:
        yield Finding("runs", store.path.name, (
            f"{len(runs)} runs are not declared by its grid: {shortened(runs)}; {AGAIN} of the "
            "grid that it was run with"
        ))  # fmt: skip
