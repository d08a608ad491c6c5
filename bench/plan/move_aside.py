"""Move results aside that a plan is about to compute again."""

from collections.abc import Callable, Sequence
from typing import Any

from ..identity import GIVEN, Kind
from ..store.records import Store
from ..suggest import RequestError
from .entry import Cause, Entry
from .plan import Plan


def check_files(plan: Plan) -> None:
    """Refuse to repeat the import of a file that is missing.

    Raises:
        RequestError: It names the rows.
    """
    given = [one.planned for one in plan.pretrain if one.planned.method == GIVEN]
    rows = [one.row for one in given if one.given and one.given.missing]
    if rows:
        raise RequestError(
            f"--force imports files of weights again, but those of {'; '.join(rows)} are missing; "
            "put them back, or leave these rows out with -m"
        )


def move_aside(
    plan: Plan, store: Store, report: Callable[[str], None], *, finished: bool = False
) -> None:
    """Move damaged results aside and report them; the `finished` ones too if wanted."""
    parts: tuple[tuple[Kind, Sequence[Entry[Any]]], ...]
    parts = ("pretrain", plan.pretrain), ("evaluate", plan.runs)
    for kind, entries in parts:
        for entry in entries:
            damaged = entry.cause == Cause.DAMAGED
            if entry.key and (damaged or (finished and entry.state == "done")):
                aside = store.move_aside(kind, entry.key)
                if aside and damaged:
                    report(f"{entry.reason}; moved to {aside.name}, will be rerun")
