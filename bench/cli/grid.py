"""Commands that take a grid: plan, run, demo."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ..contract.plugins import check_contracts
from ..grid.applicable import sentences
from ..grid.claim_warning import claim_warning
from ..grid.schema import bundled_grids
from ..grid.seen_names import seen_lines
from ..plan.comparability import code_warnings, recipe_lines
from ..plan.cost_estimate import Costs
from ..plan.entry import Cause
from ..plan.given_warnings import given_warnings
from ..plan.move_aside import check_files, move_aside
from ..plan.plan import Plan, describe_entry
from ..slurm.job_states import update_from_queue
from ..store.atomic import write_atomic
from .app import app, err, out, print_json, print_status, text_width, warn
from .data import changed_sets, prepare_missing
from .grid_arguments import Request, grid_command
from .options import DATA, RUNS, Json, RunsDir
from .plan_output import pretrain_json, print_states, run_json
from .progress import Bar, progress

Force = Annotated[
    bool, typer.Option("--force", help="rerun finished work too; old results are moved aside")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="number of processes; default: one per GPU or core")
]
Threads = Annotated[int, typer.Option(min=1, help="threads of each process")]


@grid_command
def plan(request: Request, as_json: Json = False) -> None:
    """Show the state of every pretraining and run of a grid, and why.

    States: new, queued, running, done, failed, stale (stored with other code, data or settings).
    """
    made = request.plan()
    if not request.of_archive:
        update_from_queue(request.store, made, warn)
        for line in (*given_warnings(made, request.store.root), *code_warnings(made)):
            warn(line)
    if claim := claim_warning(request.grid):
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
    explained = [
        entry
        for entry in made.runs
        if entry.state in ("failed", "stale") or entry.cause == Cause.NO_WEIGHTS
    ]
    for entry in explained[:10]:
        out.print(f"  {entry.state}: {describe_entry(entry)}: {entry.reason}")
    for line in (*recipe_lines(made), *seen_lines(made.grid)):
        out.print(line)
    if made.moved:
        out.print(f"archived results of other versions: {'; '.join(made.moved)}")
    if names := made.to_prepare():
        out.print(f"not prepared: {shlex.join(names)} (`sarbench run` or `sarbench data prepare`)")
    for name in made.uncompared:
        out.print(
            f"{name}: the states above are of pixels {made.data[name].data_digest[:12]} in the "
            f"store; the files in {request.data} are compared with them by `sarbench run` or "
            f"`sarbench data prepare {shlex.quote(name)}`"
        )
    if not request.of_archive:
        for name in changed_sets(made, request):
            warn(
                f"files of {name} have changed since they were packed: `sarbench run` packs them "
                "again, and if their chips differ, their runs are new"
            )
    if any(entry.state != "done" for entry in made.entries):
        estimate = Costs(made).missing(made)
        out.print(str(estimate))
        if estimate.assumption:
            out.print(estimate.assumption)
    if made.tuning and made.open_trials:
        command = request.trials(made.tuning).command("plan")
        out.print(f"trials of [tune] are missing: {command}")
    for line in sentences(made.not_applicable):
        out.print(f"n/a: {line}")
    for line in made.overlaps:
        out.print(f"overlap allowed by the grid: {line}")


@grid_command
def run(
    request: Request,
    device: Device = "auto",
    workers: Workers = None,
    threads: Threads = 1,
    force: Force = False,
) -> None:
    """Run what is missing of a grid on this machine.

    Several processes may run the same grid: each pretraining is trained by one of them. The exit
    status is 0 if nothing failed, even if another process still works on a part.
    """
    failed = run_grid(request, device, workers, threads, force)
    out.print(f"records: {request.store.root}\nleaderboard: {request.command('table')}")
    raise typer.Exit(1 if failed else 0)


def run_grid(
    request: Request,
    device: str = "auto",
    workers: int | None = None,
    threads: int = 1,
    force: bool = False,
) -> int:
    """Prepare, plan and execute a grid with progress; return the number of failures."""
    made = request.plan()  # refuses a wrong grid before anything is written
    for line in sentences(made.not_applicable):
        print_status(f"n/a: {line}")
    request.store.check_writable()
    methods = [entry.planned.method for entry in made.pretrain]
    check_contracts(request.store, methods, warn, print_status)
    failed = 0
    if made.tuning and made.open_trials:
        print_status("tuning: the trials of every method come first")
        failed = run_grid(request.trials(made.tuning), device, workers, threads)
        made = request.plan()
    made = prepare_missing(request, made)
    for line in (*given_warnings(made, request.store.root), *code_warnings(made)):
        warn(line)
    resources = []
    if force or made.jobs():  # a missing device is an error before anything is moved aside
        from ..execution.local_pool import local_resources

        resources = local_resources(device, workers, threads)
    if force:
        check_files(made)
    move_aside(made, request.store, print_status, finished=force)
    if force:
        made = request.plan()
    jobs = made.jobs()
    if jobs and (claim := claim_warning(request.grid)):
        warn(claim)
    total = sum(len(job.runs) for job in jobs)
    done = made.counts().get("done", 0)
    err.print(f"{len(made.runs)} runs: {done} done before, {total} to do in {len(jobs)} jobs")
    elsewhere = {str(entry.key) for entry in made.pretrain if entry.state == "running"}
    if not jobs:
        left = _report_elsewhere(made, elsewhere)
        return failed + _report_missing(request, made, left)
    from ..execution.local_pool import run_jobs
    from .job_progress import JobProgress

    with stopping_on_sigterm(), progress() as shown:
        watched = JobProgress(shown, Bar(request.grid.name, total, "runs"))
        watched.follow(jobs, run_jobs(jobs, request.store, resources))
    after = request.plan()
    left = _report_elsewhere(after, elsewhere | watched.elsewhere)
    missing = _report_missing(request, after, left)
    err.print(f"{after.counts().get('done', 0)} of {len(after.runs)} runs done")
    return failed + missing


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, by which a system or `kill` ends a process, stop the work as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _report_missing(request: Request, made: Plan, elsewhere: set[str]) -> int:
    """Report the first missing entries, without those of other processes; return their number."""
    missing = [
        entry for entry in made.entries if entry.state != "done" and str(entry.key) not in elsewhere
    ]
    for entry in missing[:10]:
        print_status(f"  {entry.state}: {describe_entry(entry)}: {entry.reason}")
    if len(missing) > 10:
        err.print(f"  and {len(missing) - 10} more: {request.command('plan')}")
    return len(missing)


def _report_elsewhere(made: Plan, pretrainings: set[str]) -> set[str]:
    """Report the work of other processes; return the keys of it that have not failed."""
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


@app.command()
def demo(runs: RunsDir = RUNS, device: Device = "auto", workers: Workers = None) -> None:
    """Run the bundled demo grid on this machine and print its leaderboard."""
    from ...results.tables.render import SUFFIXES, render
    from ..reporting.leaderboard import leaderboard, predictions_of

    request = Request(bundled_grids()["demo"], runs, DATA)
    err.print("pretrains, evaluates and ranks every method on simulated chips; takes some minutes")
    failed = run_grid(request, device, workers)
    made = request.plan()
    board = leaderboard(made, predictions=predictions_of(made, request.store), gain=True)
    folder = request.store.root / "tables"
    for suffix in (".txt", ".md", ".csv", ".json"):
        path = folder / f"demo{suffix}"
        write_atomic(path, render(board, SUFFIXES[suffix], width=text_width(path)))
    out.file.write(render(board, "text", width=text_width()))
    out.print(f"\n{request.grid.about.strip()}")
    out.print(f"\nleaderboard: {folder}/demo.txt (.md, .csv, .json)\nrecords: {request.store.root}")
    raise typer.Exit(1 if failed else 0)
