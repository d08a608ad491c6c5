"""Commands that take a grid: plan, run, table, demo."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ...results.leaderboard import METRICS
from ...results.render import FORMATS, render
from ..board import leaderboard
from ..costs import Costs
from ..dispatch.watch import look
from ..grid import Grid, read_grid
from ..plan import Entry, Filters, Plan, describe_pretraining, make_plan, needs
from ..spread import PlannedPretraining
from ..store import Store, write_atomic
from ._app import (
    DATA,
    RUNS,
    DataDir,
    Datasets,
    GridFile,
    Json,
    Methods,
    Protocols,
    RunsDir,
    Seeds,
    ShotsOf,
    app,
    bar,
    complain,
    err,
    filters,
    open_store,
    out,
    print_json,
)
from ._data import prepare_all

Force = Annotated[
    bool, typer.Option("--force", help="repeat what is asked for; old results are moved aside")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Workers = Annotated[int | None, typer.Option(min=1, help="processes; default: one per GPU or core")]
Threads = Annotated[int, typer.Option(min=1, help="threads of one process")]


@app.command()
def plan(
    grid: GridFile,
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    method: Methods = None,
    dataset: Datasets = None,
    protocol: Protocols = None,
    shots: ShotsOf = None,
    seed: Seeds = None,
    as_json: Json = False,
) -> None:
    """Show every pretraining and run of a grid: new, running, done, failed or stale, and why."""
    chosen = filters(method, dataset, protocol, shots, seed)
    store = open_store(runs)
    made = make_plan(read_grid(grid), store, data, chosen)
    look(store, made, lambda message: err.print(f"warning: {message}", markup=False))
    if as_json:
        print_json({
            "pretrain": [pretrain_json(entry) for entry in made.pretrain],
            "runs": [run_json(entry) for entry in made.runs],
        })  # fmt: skip
        return
    table = Table("pretraining", "state", "runs", "reason", box=None, pad_edge=False)
    for start in made.pretrain:
        states = Counter(e.state for e in made.runs if e.planned.pretraining is start.planned)
        listed = ", ".join(f"{count} {state}" for state, count in states.items())
        table.add_row(describe_pretraining(start.planned), start.state, listed, start.reason)
    out.print(table)
    total = ", ".join(f"{count} {state}" for state, count in made.counts().items())
    out.print(f"\n{len(made.pretrain)} pretrainings, {len(made.runs)} runs: {total}")
    for entry in [entry for entry in made.runs if entry.state in ("failed", "stale")][:10]:
        out.print(f"  {entry.state}: {describe(entry)}: {entry.reason}", markup=False)
    if made.unprepared:
        names = " ".join(made.unprepared)
        out.print(f"not prepared: {names} (`sarbench run` prepares, or `sarbench data prepare`)")
    if any(entry.state != "done" for entry in (*made.pretrain, *made.runs)):
        out.print(str(Costs(made).missing(made)))
    for name, count in made.overlaps.items():
        out.print(f"overlap allowed by the grid: the pool holds {count} test chips of {name}")


def pretrain_json(entry: Entry) -> dict[str, Any]:
    """Return a pretraining for machines."""
    planned = entry.planned
    return {
        "key": entry.key, "method": planned.method, "label": planned.label, "seed": planned.seed,
        "axes": planned.axes, "state": entry.state, "reason": entry.reason,
        "identity": planned.identity.to_json() if planned.identity else None,
    }  # fmt: skip


def run_json(entry: Entry) -> dict[str, Any]:
    """Return a run for machines."""
    planned = entry.planned
    start = planned.pretraining
    return {
        "key": entry.key, "method": start.method, "label": start.label, "axes": start.axes,
        "pretrain_seed": start.seed, "dataset": planned.dataset, "protocol": planned.protocol,
        "shots": planned.shots, "seed": planned.seed, "state": entry.state,
        "reason": entry.reason,
        "identity": planned.identity.to_json() if planned.identity else None,
    }  # fmt: skip


def describe(entry: Entry) -> str:
    """Return what an entry is, in words."""
    planned = entry.planned
    if isinstance(planned, PlannedPretraining):
        return describe_pretraining(planned)
    return (
        f"{describe_pretraining(planned.pretraining)}, {planned.dataset}, {planned.protocol}, "
        f"{planned.shots} shots, seed {planned.seed}"
    )


@app.command()
def run(
    grid: GridFile,
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    method: Methods = None,
    dataset: Datasets = None,
    protocol: Protocols = None,
    shots: ShotsOf = None,
    seed: Seeds = None,
    device: Device = "auto",
    workers: Workers = None,
    threads: Threads = 1,
    force: Force = False,
) -> None:
    """Do here what is missing of a grid, as many jobs at once as there are devices."""
    chosen = filters(method, dataset, protocol, shots, seed)
    store = open_store(runs)
    failed = run_grid(read_grid(grid), store, data, chosen, device, workers, threads, force)
    out.print(f"records: {store.root}\nleaderboard: sarbench table {grid} --runs {runs}")
    raise typer.Exit(1 if failed else 0)


def run_grid(
    grid: Grid,
    store: Store,
    data: Path,
    chosen: Filters,
    device: str = "auto",
    workers: int | None = None,
    threads: int = 1,
    force: bool = False,
) -> int:
    """Prepare, plan, execute; show progress; return how many runs and pretrainings failed."""
    made = make_plan(grid, store, data, chosen)  # refuses a wrong grid before anything is written
    store.check_writable()
    if made.unprepared:
        prepare_all(needs(grid), data, store)
        made = make_plan(grid, store, data, chosen)
    clear(made, store, force)
    if force:
        made = make_plan(grid, store, data, chosen)
    jobs = made.jobs()
    total = sum(len(job.runs) for job in jobs)
    done = len(made.runs) - total
    err.print(f"{len(made.runs)} runs: {done} done before, {total} to do in {len(jobs)} jobs")
    if not jobs:
        return 0
    from ..dispatch.local import local_resources, run_jobs

    resources = local_resources(device, workers, threads)
    failures: list[str] = []
    with bar("runs") as progress:
        overall = progress.add_task(grid.name, total=total)
        tasks: dict[str, Any] = {}
        for event in run_jobs(jobs, store, data, resources):
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
            elif event.kind == "warning":
                err.print(f"warning: {event.text}", markup=False, style="yellow")
    after = make_plan(grid, store, data, chosen)
    missing = [entry for entry in (*after.pretrain, *after.runs) if entry.state != "done"]
    for entry in missing[:10]:
        err.print(f"  {entry.state}: {describe(entry)}: {entry.reason}", markup=False)
    if len(missing) > 10:
        err.print(f"  and {len(missing) - 10} more: sarbench plan")
    err.print(
        f"{len(after.runs) - sum(e in after.runs for e in missing)} of {len(after.runs)} runs done"
    )
    return len(missing)


def clear(made: Plan, store: Store, force: bool) -> None:
    """Move damaged results aside, and those that are to be repeated."""
    for kind, entries in (("pretrain", made.pretrain), ("evaluate", made.runs)):
        for entry in entries:
            damaged = entry.state == "failed" and entry.reason.startswith("its record is damaged")
            if entry.key and (damaged or (force and entry.state == "done")):
                aside = store.move_aside(kind, entry.key)
                if aside and damaged:
                    err.print(f"{entry.reason}; moved to {aside.name} and run again", markup=False)


@app.command()
def table(
    grid: GridFile,
    runs: RunsDir = RUNS,
    data: DataDir = DATA,
    method: Methods = None,
    dataset: Datasets = None,
    protocol: Protocols = None,
    shots: ShotsOf = None,
    seed: Seeds = None,
    style: Annotated[str, typer.Option("--format", "-f", help=", ".join(FORMATS))] = "text",
    metric: Annotated[str, typer.Option(help=", ".join(METRICS))] = "accuracy",
    as_json: Json = False,
    path: Annotated[Path | None, typer.Option("--out", help="write to this file")] = None,
) -> None:
    """Print the leaderboard of a grid: mean, 95 % interval, n; missing and failed cells shown."""
    made = make_plan(
        read_grid(grid), open_store(runs), data, filters(method, dataset, protocol, shots, seed)
    )
    text = render(leaderboard(made, metric), "json" if as_json else style)
    if path:
        write_atomic(path, lambda temporary: temporary.write_text(text))
        err.print(f"written: {path}")
    else:
        out.file.write(text)


@app.command()
def demo(runs: RunsDir = RUNS, device: Device = "auto", workers: Workers = None) -> None:
    """Run the embedded benchmark end to end on this machine and show its leaderboard."""
    path = Path(__file__).parent.parent / "grids" / "demo.toml"
    grid, store = read_grid(path), open_store(runs)
    err.print("pretrains every method on simulated chips, measures and ranks them: some minutes")
    failed = run_grid(grid, store, DATA, Filters(), device, workers)
    board = leaderboard(make_plan(grid, store, DATA), "accuracy")
    folder = store.root / "tables"
    for style, ending in (("text", "txt"), ("markdown", "md"), ("csv", "csv"), ("json", "json")):
        content = render(board, style)
        write_atomic(folder / f"demo.{ending}", lambda t, content=content: t.write_text(content))
    out.file.write(render(board, "text"))
    out.print(f"\nleaderboard: {folder}/demo.txt (.md, .csv, .json)\nrecords: {store.root}")
    raise typer.Exit(1 if failed else 0)
