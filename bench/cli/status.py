"""Commands that show a grid on the cluster: status, logs."""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..plan.entry import Cause, Entry
from ..plan.failure_class import RETRY_ONLY
from ..plan.plan import Plan
from ..slurm import ledger
from ..slurm.job_states import JobStates, update_from_queue
from .app import out, print_error, print_json, warn
from .grid_arguments import Request, grid_command
from .options import Json
from .plan_output import describe, pretrain_json, print_states, run_json

TAIL = 5  # log lines of a failure
LISTED = 10  # failures or logs that are shown
WATCH_S = 10.0


@grid_command
def status(
    request: Request,
    watch: Annotated[bool, typer.Option("--watch", help="repeat until no job is left")] = False,
    as_json: Json = False,
) -> None:
    """Show jobs, states and failures of a grid on the cluster.

    Each failure is shown with its class, its reason and the command that submits it again.
    """
    while True:
        made = request.plan()
        seen = update_from_queue(request.store, made, warn)
        if as_json:
            print_json(_status_json(made))
        else:
            _print_status(request, made, seen)
        alive = any(e.state in ("queued", "running") for e in (*made.pretrain, *made.runs))
        if not (watch and alive):
            break
        time.sleep(WATCH_S)
        out.rule(time.strftime("%H:%M:%S"))
    failed = any(e.state == "failed" for e in (*made.pretrain, *made.runs))
    raise typer.Exit(1 if failed else 0)


def _status_json(made: Plan) -> dict[str, Any]:
    def more(entry: Entry) -> dict[str, Any]:
        return {"job": entry.job, "failure": entry.failure_class}

    return {
        "pretrain": [pretrain_json(entry) | more(entry) for entry in made.pretrain],
        "runs": [run_json(entry) | more(entry) for entry in made.runs],
        "counts": made.counts(),
    }


def _print_status(request: Request, made: Plan, states: JobStates) -> None:
    print_states(made, "where")
    _print_jobs(made, states)
    failed = [e for e in (*made.pretrain, *made.runs) if e.state == "failed"]
    own = [e for e in failed if e.cause != Cause.PRETRAINING_FAILED]
    for entry in own[:LISTED]:
        out.print(f"\nfailed ({entry.failure_class}): {describe(entry)}", markup=False, style="red")
        out.print(f"  {entry.reason}", markup=False)
        for line in _last_lines(entry, states):
            out.print(f"  | {line}", markup=False, style="dim")
    if len(own) > LISTED:
        classes = Counter(str(e.failure_class) for e in own)
        out.print(f"\nand {len(own) - LISTED} more: {dict(classes)}")
    if failed:
        if count := sum(entry.failure_class not in RETRY_ONLY for entry in failed):
            out.print(f"\n{request.command('submit')} --profile ... submits {count} of these again")
        out.print("")
        out.print(f"{request.command('retry')}   submits everything that failed again")


def _print_jobs(made: Plan, states: JobStates) -> None:
    """Print the running jobs and the number of waiting ones."""
    running, waiting = {}, set()
    for entry in (*made.pretrain, *made.runs):
        assignment = states.assigned.get(entry.key or "")
        if assignment and assignment.job and entry.state == "running" and assignment.seen:
            running[assignment.job] = assignment
        elif assignment and assignment.job and entry.state == "queued":
            waiting.add(assignment.job)
    if running:
        table = Table("job", "work", "node", "elapsed", box=None, pad_edge=False)
        for job, assignment in sorted(running.items())[:40]:
            element = assignment.array.elements[assignment.index]
            work = f"{len(element.runs)} runs of" if element.runs else "pretraining"
            seen = assignment.seen
            table.add_row(
                job, escape(f"{work} {element.label}"), seen.node if seen else "",
                seen.elapsed if seen else "",
            )  # fmt: skip
        out.print("")
        out.print(table)
    if running or waiting:
        out.print(f"{len(running)} jobs run, {len(waiting)} wait")


def _last_lines(entry: Entry, states: JobStates) -> list[str]:
    """Return the end of a failure's traceback, or of its log."""
    if entry.attempt and entry.attempt.traceback:
        return entry.attempt.traceback.strip().splitlines()[-TAIL:]
    if entry.attempt and entry.attempt.log_tail:
        return entry.attempt.log_tail[-TAIL:]
    assignment = states.assigned.get(entry.key or "")
    path = states.log(assignment) if assignment else None
    return tail(path, TAIL) if path else []


def tail(path: Path, count: int) -> list[str]:
    """Return the last lines of a file; only its end is read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 400 * count))
        return file.read().decode(errors="replace").splitlines()[-count:]


@grid_command
def logs(
    request: Request,
    lines: Annotated[int, typer.Option("-n", "--lines", help="number of lines of each log")] = 20,
) -> None:
    """Print the paths and the last lines of a grid's job logs."""
    store, made = request.store, request.plan()
    keys = {entry.key for entry in (*made.pretrain, *made.runs)}
    found: dict[Path, str] = {}
    for submission in ledger.read(store, warn):
        for key, array, index in submission.places():
            if key in keys:
                for path in submission.logs(store, array, index):
                    found[path] = array.elements[index].label
    if not found:
        print_error("none of these jobs has written a log yet")
        raise typer.Exit(1)
    for path, label in list(found.items())[-LISTED:]:
        out.print(f"== {label}: {path}", markup=False, style="bold")
        for line in tail(path, lines):
            out.print(line, markup=False)
    if len(found) > LISTED:
        out.print(f"{len(found) - LISTED} older logs are not shown; narrow with -m -d -p -k -s")
