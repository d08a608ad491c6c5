"""Commands that take a grid: plan, run, demo."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..contract.plugins import check_contracts
from ..data.lookup import remember_set
from ..grid.applicable import sentence
from ..grid.expand import PlannedPretraining, PlannedRun
from ..grid.schema import claim_warning
from ..plan.comparability import recipe_lines
from ..plan.cost_estimate import Costs
from ..plan.entry import Cause, Entry
from ..plan.plan import Filters, Plan, counted, describe_pretraining, describe_run
from ..slurm.status import update_from_queue
from ..store.atomic import write_atomic
from ..store.records import Kind, Store
from .app import (
    DATA,
    RUNS,
    Json,
    Request,
    RunsDir,
    app,
    bar,
    complain,
    err,
    grid_command,
    out,
    print_json,
    warn,
)
from .data import prepare_all

Force = Annotated[
    bool, typer.Option("--force", help="repeat what is asked for; old results are moved aside")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Workers = Annotated[int | None, typer.Option(min=1, help="processes; default: one per GPU or core")]
Threads = Annotated[int, typer.Option(min=1, help="threads of one process")]


@grid_command
def plan(
    asked: Request,
    as_json: Json = False,
) -> None:
    """Show every pretraining and run of a grid: new, running, done, failed or stale, and why."""
    made = asked.plan()
    update_from_queue(asked.store, made, warn)
    if claim := claim_warning(asked.grid):
        warn(claim)
    if as_json:
        print_json({
            "pretrain": [pretrain_json(entry) for entry in made.pretrain],
            "runs": [run_json(entry) for entry in made.runs],
            "not_applicable": [
                {"row": row, "what": what, "reason": why} for row, what, why in made.not_applicable
            ],
        })  # fmt: skip
        return
    print_states(made, "reason")
    for entry in [entry for entry in made.runs if entry.state in ("failed", "stale")][:10]:
        out.print(f"  {entry.state}: {describe(entry)}: {entry.reason}", markup=False)
    for line in recipe_lines(made):
        out.print(line, markup=False)
    if names := made.to_prepare():
        out.print(f"not prepared: {' '.join(names)} (`sarbench run` or `sarbench data prepare`)")
    for name in made.uncompared:
        out.print(
            f"{name}: the states above are of pixels {made.data[name].data_digest[:12]} in the "
            f"store; the files in {asked.data} are compared with them by `sarbench run` or "
            f"`sarbench data prepare {name}`"
        )
    if any(entry.state != "done" for entry in (*made.pretrain, *made.runs)):
        out.print(str(Costs(made).missing(made)))
    for entry in made.not_applicable:
        out.print(f"n/a: {sentence(entry)}", markup=False)
    for line in made.overlaps:
        out.print(f"overlap allowed by the grid: {line}", markup=False)


def print_states(made: Plan, last: str) -> None:
    """Print every pretraining with the states of its runs; `last` heads the reasons."""
    table = Table("pretraining", "state", "runs", last, box=None, pad_edge=False)
    for start, runs in made.grouped():
        states = counted(Counter(entry.state for entry in runs))
        table.add_row(describe_pretraining(start.planned), start.state, states, start.reason)
    out.print(table)
    sizes = f"{len(made.pretrain)} pretrainings, {len(made.runs)} runs"
    out.print(f"\n{sizes}: {counted(made.counts())}")


def pretrain_json(entry: Entry[PlannedPretraining]) -> dict[str, Any]:
    """Return a pretraining for machines."""
    planned = entry.planned
    return {
        "key": entry.key, "method": planned.method, "label": planned.label, "seed": planned.seed,
        "axes": planned.axes, "recipe": planned.recipe_name, "state": entry.state,
        "cause": entry.cause, "reason": entry.reason,
        "identity": planned.identity.to_json() if planned.identity else None,
    }  # fmt: skip


def run_json(entry: Entry[PlannedRun]) -> dict[str, Any]:
    """Return a run for machines."""
    planned = entry.planned
    start = planned.pretraining
    return {
        "key": entry.key, "method": start.method, "label": start.label, "axes": start.axes,
        "pretrain_seed": start.seed, "dataset": planned.dataset, "protocol": planned.protocol,
        "shots": planned.shots, "seed": planned.seed, "state": entry.state,
        "cause": entry.cause, "reason": entry.reason,
        "identity": planned.identity.to_json() if planned.identity else None,
    }  # fmt: skip


def describe(entry: Entry) -> str:
    """Return what an entry is, in words."""
    planned = entry.planned
    if isinstance(planned, PlannedPretraining):
        return describe_pretraining(planned)
    return describe_run(planned)


@grid_command
def run(
    asked: Request,
    device: Device = "auto",
    workers: Workers = None,
    threads: Threads = 1,
    force: Force = False,
) -> None:
    """Do here what is missing of a grid, as many jobs at once as there are devices.

    Another process may run the same grid: each pretraining is trained by one of them. The exit
    status is 0 if nothing failed, even if something is left to another process.
    """
    failed = run_grid(asked, device, workers, threads, force)
    out.print(f"records: {asked.store.root}\nleaderboard: {asked.command('table')}")
    raise typer.Exit(1 if failed else 0)


def run_grid(
    asked: Request,
    device: str = "auto",
    workers: int | None = None,
    threads: int = 1,
    force: bool = False,
) -> int:
    """Prepare, plan, execute; show progress; return how many runs and pretrainings failed."""
    made = asked.plan()  # refuses a wrong grid before anything is written
    for entry in made.not_applicable:
        err.print(f"n/a: {sentence(entry)}", markup=False)
    asked.store.check_writable()
    check_contracts(asked.store, [entry.planned.method for entry in made.pretrain], warn)
    made = prepare_missing(asked, made)
    resources = []
    if force or made.jobs():  # a device that is not there is refused before anything is moved aside
        from ..execution.local_pool import local_resources

        resources = local_resources(device, workers, threads)
    clear(made, asked.store, force)
    if force:
        made = asked.plan()
    jobs = made.jobs()
    if jobs and (claim := claim_warning(asked.grid)):
        warn(claim)
    total = sum(len(job.runs) for job in jobs)
    done = made.counts().get("done", 0)
    err.print(f"{len(made.runs)} runs: {done} done before, {total} to do in {len(jobs)} jobs")
    elsewhere = {str(entry.key) for entry in made.pretrain if entry.state == "running"}
    if not jobs:
        _say_elsewhere(made, elsewhere)
        return 0
    from ..execution.local_pool import run_jobs

    failures: list[str] = []
    with bar("runs") as progress:
        overall = progress.add_task(asked.grid.name, total=total)
        tasks: dict[str, Any] = {}
        for event in run_jobs(jobs, asked.store, resources):
            if event.kind == "progress" and event.progress:
                now = event.progress
                task = tasks.get(event.keys[0])
                if task is None:
                    task = tasks[event.keys[0]] = progress.add_task("", total=now.steps)
                text = f"  {event.text}: {now.images_per_s:.0f} images/s, loss {now.loss:.4f}"
                progress.update(task, completed=now.step, description=text)
            elif event.kind == "done" and event.what == "evaluate":
                progress.advance(overall)
            elif event.kind == "done" and event.keys[0] in tasks:
                progress.remove_task(tasks.pop(event.keys[0]))
            elif event.kind == "failed":
                failures += event.keys
                complain(event.text)
            elif event.kind == "elsewhere":
                elsewhere |= set(event.keys)
            elif event.kind == "warning":
                err.print(f"warning: {event.text}", markup=False, style="yellow")
    after = asked.plan()
    left = _say_elsewhere(after, elsewhere)
    missing = [
        entry
        for entry in (*after.pretrain, *after.runs)
        if entry.state != "done" and str(entry.key) not in left
    ]
    for entry in missing[:10]:
        err.print(f"  {entry.state}: {describe(entry)}: {entry.reason}", markup=False)
    if len(missing) > 10:
        err.print(f"  and {len(missing) - 10} more: {asked.command('plan')}")
    err.print(f"{after.counts().get('done', 0)} of {len(after.runs)} runs done")
    return len(missing)


def prepare_missing(asked: Request, made: Plan) -> Plan:
    """Pack and describe what the missing work reads; return the plan that then holds."""
    names = [*made.to_prepare(), *made.uncompared]
    if names:
        prepare_all(names, asked.data, asked.store)
        made = asked.plan()
    for name, known in made.data.items():
        remember_set(name, known, asked.store.root)
    return made


def _say_elsewhere(made: Plan, pretrainings: set[str]) -> set[str]:
    """Say what is left to another process; return the keys of it that have not failed."""
    left: list[str] = []
    runs = 0
    for start, own in made.grouped():
        if str(start.key) not in pretrainings or start.state == "failed":
            continue
        open_runs = [str(entry.key) for entry in own if entry.state not in ("done", "failed")]
        if open_runs or start.state != "done":
            left += [str(start.key), *open_runs]
            runs += len(open_runs)
    if left:
        err.print(
            f"{len(left) - runs} pretrainings ({runs} runs) are running in another process; "
            "run the command again when it has finished"
        )
    return set(left)


def clear(made: Plan, store: Store, force: bool) -> None:
    """Move damaged results aside, and those that are to be repeated."""
    both: tuple[tuple[Kind, Sequence[Entry[Any]]], ...]
    both = ("pretrain", made.pretrain), ("evaluate", made.runs)
    for kind, entries in both:
        for entry in entries:
            damaged = entry.cause == Cause.DAMAGED
            if entry.key and (damaged or (force and entry.state == "done")):
                aside = store.move_aside(kind, entry.key)
                if aside and damaged:
                    err.print(f"{entry.reason}; moved to {aside.name} and run again", markup=False)


@app.command()
def demo(runs: RunsDir = RUNS, device: Device = "auto", workers: Workers = None) -> None:
    """Run the embedded benchmark end to end on this machine and show its leaderboard."""
    from ...results.tables.render import render
    from ..reporting.leaderboard import leaderboard, outcomes_of

    path = Path(__file__).parent.parent / "grids" / "demo.toml"
    asked = Request(path, runs, DATA, Filters())
    err.print("pretrains every method on simulated chips, measures and ranks them: some minutes")
    failed = run_grid(asked, device, workers)
    made = asked.plan()
    board = leaderboard(made, outcomes=outcomes_of(made, asked.store))
    folder = asked.store.root / "tables"
    for style, ending in (("text", "txt"), ("markdown", "md"), ("csv", "csv"), ("json", "json")):
        write_atomic(folder / f"demo.{ending}", render(board, style))
    out.file.write(render(board, "text"))
    out.print(f"\nleaderboard: {folder}/demo.txt (.md, .csv, .json)\nrecords: {asked.store.root}")
    raise typer.Exit(1 if failed else 0)
