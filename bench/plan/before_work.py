"""Move results aside that a plan is about to compute again."""

from collections.abc import Callable, Sequence
from typing import Any

from ..identity import Kind
from ..store.records import Store
from .entry import Cause, Entry
from .plan import Plan


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
