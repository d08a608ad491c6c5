"""Commands that show a grid on the cluster: status, logs."""

import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..grid.applicable import sentences
from ..plan.entry import Entry
from ..plan.failure_class import RETRY_ONLY
from ..plan.plan import Plan, counted, describe_entry
from ..slurm import ledger
from ..slurm.job_states import JobStates, update_from_queue
from ..slurm.overview import last_lines, own_failures, running_jobs, tail
from ..suggest import RequestError
from .app import out, print_error, print_json, print_status, warn
from .grid_arguments import Request, grid_command
from .options import Json
from .plan_output import pretrain_json, print_states, run_json

LISTED = 10  # failures or logs that are shown
WATCH_S = 10.0
NICE = 10  # of the process of the live page
PORT_HELP = "port of the live page; default: 8765; 0: any free one"


@grid_command
def status(
    request: Request,
    watch: Annotated[bool, typer.Option("--watch", help="repeat until no job is left")] = False,
    page: Annotated[
        bool, typer.Option("--page", help="serve a live page on this machine until Ctrl-C")
    ] = False,
    port: Annotated[int | None, typer.Option("--port", help=PORT_HELP)] = None,
    as_json: Json = False,
) -> None:
    """Show jobs, states and failures of a grid on the cluster.

    Each failure is shown with its class, its reason and the command that submits it again. --page
    shows the same in a browser, with the losses of running pretrainings, also for `sarbench run`.
    """
    if page:
        _serve(request, port, [("--watch", watch), ("--json", as_json)])
        return
    if port is not None:
        raise RequestError("--port is the port of the live page; give it together with --page")
    while True:
        made = request.plan()
        seen = update_from_queue(request.store, made, warn)
        if as_json:
            print_json(_status_json(made))
        else:
            _print_status(request, made, seen)
        alive = any(e.state in ("queued", "running") for e in made.entries)
        if not (watch and alive):
            break
        time.sleep(WATCH_S)
        if not as_json:
            out.rule(time.strftime("%H:%M:%S"))
    failed = any(e.state == "failed" for e in made.entries)
    raise typer.Exit(1 if failed else 0)


def _serve(request: Request, port: int | None, others: list[tuple[str, bool]]) -> None:
    """Serve the live page of a grid until Ctrl-C.

    Raises:
        RequestError: The port is in use, or the options name another form of output too.
    """
    from ..live.server import PORT, LiveServer
    from ..live.watcher import Watcher

    if given := [name for name, value in others if value]:
        raise RequestError(f"--page takes no {' or '.join(given)}; leave one of the two out")
    request.plan()  # a wrong grid is an error here, not on the page
    with suppress(OSError):
        os.nice(NICE)  # the work comes first
    server = LiveServer(Watcher(request.plan, request.store), PORT if port is None else port)
    out.print(f"live page of {request.grid.name}: {server.address}")
    print_status("it only reads the store; Ctrl-C ends it and touches no job")
    server.run()
    print_status("the page has ended")


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
    for line in sentences(made.not_applicable):
        out.print(f"n/a: {line}")
    _print_jobs(made, states)
    failed = [e for e in made.entries if e.state == "failed"]
    own = own_failures(made)
    for entry in own[:LISTED]:
        out.print(f"\nfailed ({entry.failure_class}): {describe_entry(entry)}", style="red")
        out.print(f"  {entry.reason}")
        for line in last_lines(entry, states):
            out.print(f"  | {line}", style="dim")
    if len(own) > LISTED:
        classes = Counter(str(e.failure_class) for e in own[LISTED:])
        out.print(f"\nand {len(own) - LISTED} more: {counted(classes)}")
    if failed:
        if count := sum(entry.failure_class not in RETRY_ONLY for entry in failed):
            out.print(f"\n{request.command('submit')} --profile ... submits {count} of these again")
        out.print("")
        out.print(f"{request.command('retry')}   submits everything that failed again")


def _print_jobs(made: Plan, states: JobStates) -> None:
    """Print the running jobs and the number of waiting ones."""
    running, waiting = running_jobs(made, states)
    if running:
        table = Table("job", "work", "node", "elapsed", box=None, pad_edge=False)
        for one in running[:40]:
            table.add_row(one.job, one.work, one.node, one.elapsed)
        out.print("")
        out.print(table)
    if running or waiting:
        out.print(f"{len(running)} jobs run, {waiting} wait")


@grid_command
def logs(
    request: Request,
    lines: Annotated[int, typer.Option("-n", "--lines", help="number of lines of each log")] = 20,
) -> None:
    """Print the paths and the last lines of a grid's job logs."""
    store, made = request.store, request.plan()
    keys = {entry.key for entry in made.entries}
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
        out.print(f"== {label}: {path}", style="bold")
        for line in tail(path, lines):
            out.print(line)
    if len(found) > LISTED:
        out.print(f"{len(found) - LISTED} older logs are not shown; narrow with -m -d -p -k -s")
