"""A plan as text and as JSON, for the commands that show one."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.table import Table

from ..grid.expand import PlannedPretraining, PlannedRun
from ..plan.entry import Entry
from ..plan.plan import Plan, counted, describe_pretraining
from .app import out


def print_states(made: Plan, reasons: str) -> None:
    """Print every pretraining with the states of its runs; `reasons` heads the last column."""
    table = Table("pretraining", "state", "runs", reasons, box=None, pad_edge=False)
    for start, runs in made.grouped():
        states = counted(Counter(entry.state for entry in runs))
        row = (describe_pretraining(start.planned), start.state, states, start.reason)
        table.add_row(*row)
    out.print(table)
    sizes = f"{len(made.pretrain)} pretrainings, {len(made.runs)} runs"
    out.print(f"\n{sizes}: {counted(made.counts())}")


def pretrain_json(entry: Entry[PlannedPretraining]) -> dict[str, Any]:
    """Return a pretraining as JSON values."""
    planned = entry.planned
    return {
        "key": entry.key, "method": planned.method, "label": planned.label, "seed": planned.seed,
        "axes": planned.axes, "recipe": planned.recipe_name, "state": entry.state,
        "cause": entry.cause, "reason": entry.reason,
        "identity": planned.identity.to_json() if planned.identity else None,
        "given": asdict(planned.given) if planned.given else None,
    }  # fmt: skip


def run_json(entry: Entry[PlannedRun]) -> dict[str, Any]:
    """Return a run as JSON values."""
    planned = entry.planned
    start = planned.pretraining
    return {
        "key": entry.key, "method": start.method, "label": start.label, "axes": start.axes,
        "pretrain_seed": start.seed, "dataset": planned.dataset, "protocol": planned.protocol,
        "shots": planned.shots, "condition": planned.condition, "settings": planned.swept,
        "seed": planned.seed, "state": entry.state,
        "cause": entry.cause, "reason": entry.reason,
        "identity": planned.identity.to_json() if planned.identity else None,
    }  # fmt: skip
