"""Steps before the work of a plan: its data are prepared, damaged results are moved aside."""

from collections.abc import Callable, Sequence
from typing import Any

from ..data.find_set import describe_set
from ..identity import Kind
from ..store.records import Store
from .entry import Cause, Entry
from .plan import Plan


def prepare_missing(
    plan: Plan, store: Store, prepare: Callable[[list[str]], object], make_again: Callable[[], Plan]
) -> Plan:
    """Prepare the data of the missing work; return the plan made afterwards.

    Args:
        plan: The plan before.
        store: Gets the descriptions of the sets.
        prepare: Prepares the sets with these names.
        make_again: Makes the plan again; called if a set was prepared.
    """
    if names := [*plan.to_prepare(), *plan.uncompared]:
        prepare(names)
        plan = make_again()
    for name, summary in plan.data.items():
        describe_set(name, summary, store.root)
    return plan


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
