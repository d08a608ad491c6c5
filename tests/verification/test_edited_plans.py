"""No edit of a field of a plan in an archive passes the check and changes a table."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sarbench.bench.plan.archived import read_plan
from sarbench.bench.plan.differences_from_grid import differences_from_grid
from sarbench.bench.plan.expand_again import compare_with_grid, expand_again
from sarbench.bench.plan.filters import Filters
from sarbench.bench.plan.plan import Plan
from sarbench.bench.reporting.leaderboard import leaderboard
from sarbench.bench.store.archive import PLAN, ArchiveError, unpacked
from sarbench.bench.verification import submission

STUDY = Path(__file__).parents[2] / "results" / "archive" / "study_pools.zip"
UNKNOWN_WITHOUT_DATA = {
    "train", "vehicles", "vehicle_chips", "depressions_deg", "test_depressions_deg", "copied",
}  # fmt: skip
Place = tuple[str | int, ...]


def fields_of(node: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield each list and each single value of a plan with its place."""
    if not isinstance(node, dict):
        yield place, node
    inner = (
        node if isinstance(node, dict) else dict(enumerate(node if isinstance(node, list) else ()))
    )
    for name, one in inner.items():
        yield from fields_of(one, (*place, name))


def others(value: Any, alike: list[Any]) -> list[Any]:
    """Return other values for a field: one that the plan has in another entry, and a new one."""
    found = [one for one in alike if one != value][:1]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [*found, value + 1]
    if isinstance(value, list) and value:
        return [value[1:], value[::-1], [*value, value[0]]]
    return [*found, f"{value}x" if isinstance(value, str) else 1 if value is None else ["x"]]


def edits(plan: dict[str, Any]) -> Iterator[tuple[Place, Any]]:
    """Yield each field of a plan, once for all entries of a list, with another value."""
    fields: dict[Place, list[tuple[Place, Any]]] = {}
    for place, value in fields_of(plan):
        name = tuple("*" if isinstance(one, int) else one for one in place)
        name = ("methods", "*", *name[2:]) if name[0] == "methods" else name
        fields.setdefault(name, []).append((place, value))
    for found in fields.values():
        place, value = found[-1]
        for other in others(value, [one for _, one in found]):
            yield place, other


def put(plan: dict[str, Any], place: Place, value: Any) -> Any:
    """Replace a value; return the one before."""
    node: Any = plan
    for name in place[:-1]:
        node = node[name]
    before, node[place[-1]] = node[place[-1]], value
    return before


def shown(plan: Plan) -> dict[str, Any]:
    return asdict(leaderboard(plan, "accuracy"))


@pytest.mark.slow
def test_no_edit_passes_and_changes_a_table():
    with unpacked(STUDY) as store:
        path, whole = store.root / PLAN, read_plan(store, Filters())
        expanded, board, passing = expand_again(whole, store), shown(whole), list[list[str]]()
        content = json.loads(path.read_bytes())
        for place, value in list(edits(content)):
            before = put(content, place, value)
            path.write_text(json.dumps(content))
            put(content, place, before)
            try:
                plan = read_plan(store, Filters())
            except ArchiveError:
                continue
            found = compare_with_grid(plan, expanded)
            if [*differences_from_grid(plan, expanded), *found.undeclared, *found.missing]:
                continue
            found_elsewhere = plan.failing - whole.failing or [*submission._pools(plan)]
            if found_elsewhere or shown(plan) == board:
                continue
            passing.append([one for one in place if isinstance(one, str)])
    assert {place[0] for place in passing} <= {"sharing", "seen"}, passing
    assert {name for *_, name in passing} <= UNKNOWN_WITHOUT_DATA, passing
