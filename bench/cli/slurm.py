"""Commands that act on the cluster: submit, retry, cancel."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..contract.plugins import check_contracts
from ..grid.claim_warning import claim_warning
from ..grid.schema import GridError
from ..plan.comparability import code_warnings
from ..plan.entry import Entry
from ..plan.failure_class import CLASSES
from ..plan.plan import Plan, counted
from ..slurm import ledger
from ..slurm.commands import cancel as cancel_jobs
from ..slurm.commands import read_site
from ..slurm.job_arrays import jobs_in, limits_of
from ..slurm.job_states import JobStates, update_from_queue
from ..slurm.ledger import Asked
from ..slurm.more_resources import more_resources
from ..slurm.profile import Profile, check_batches, check_site, parse_profile, read_profile
from ..slurm.selection import accepted_by_retry, accepted_by_submit, batches_to_do
from ..store.records import Store
from ..suggest import RequestError, unknown
from .app import out, print_status, warn
from .data import prepare_missing
from .dry_run import TRIALS_FIRST, describe_array, print_dry_run
from .grid_arguments import Request, grid_command

if TYPE_CHECKING:
    from ..slurm.submit import Submitted

ProfileFile = Annotated[Path, typer.Option("--profile", help="profile of the site (TOML)")]


@grid_command
def submit(
    request: Request,
    profile: ProfileFile,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only print the jobs and the first batch script")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="with --dry-run: the work of each job, every batch script")
    ] = False,
) -> None:
    """Submit what is missing of a grid to SLURM; returns at once.

    Queued work is skipped. Work that failed with an exception or out of memory is left to `retry`.
    --dry-run needs no SLURM.
    """
    if every and not dry_run:
        raise RequestError("--all is for --dry-run: add --dry-run, or leave out --all")
    given = read_profile(profile)
    if dry_run:
        print_dry_run(request, given, accepted_by_submit, every=every)
    else:
        submit_work(request, given, accepted_by_submit)


def submit_work(
    request: Request,
    profile: Profile,
    accept: Callable[[Entry], bool],
    more: bool = False,
) -> None:
    """Submit the missing entries that `accept` accepts and that are not queued.

    With `more`, work that ran out of memory or time gets more of it.
    """
    from ..slurm.submit import submit_missing

    store = request.store
    made = request.plan()
    if made.tuning and made.open_trials:
        submit_work(request.trials(made.tuning), profile, accept, more)
        print_status(TRIALS_FIRST)
        return
    if claim := claim_warning(request.grid):
        warn(claim)
    site = read_site(print_status)
    check_site(profile, site)
    check_batches(profile, batches_to_do(made, accept))
    limits = limits_of(profile, site)
    store.check_writable()
    made = prepare_missing(request, made)
    methods = [entry.planned.method for entry in made.pretrain]
    check_contracts(store, methods, warn, print_status)
    for line in code_warnings(made):
        warn(line)

    def ask(plan: Plan, states: JobStates, wanted: set[str]) -> dict[str, Asked]:
        asked, reasons = more_resources(plan, states, wanted, profile, site)
        for reason in reasons:
            out.print(reason)
        return asked

    submitted = submit_missing(
        request.plan, store, profile, limits, accept,
        on_array=lambda array, job: out.print(describe_array(array, job)),
        report=print_status, warn=warn, **({"ask": ask} if more else {}),
    )  # fmt: skip
    _print_summary(request, profile, submitted)


def _print_summary(request: Request, profile: Profile, submitted: "Submitted") -> None:
    made, states, arrays = submitted.plan, submitted.states, submitted.arrays
    local = {
        id(e.planned) for e in made.pretrain if e.state == "running" and not states.live(e.key)
    }
    counts = Counter(
        "done" if e.state == "done" else "submitted" if e.key in submitted.wanted
        else "left for later" if e.key in submitted.later
        else "queued or running" if states.live(e.key)
        else "left out, running in another process" if id(e.planned.pretraining) in local
        else "left out, failed"
        for e in made.runs
    )  # fmt: skip
    out.print(
        f"{len(made.runs)} runs: {counted(counts)}; {jobs_in(arrays)} jobs in {len(arrays)} arrays"
    )
    if submitted.later_jobs:
        out.print(
            f"{submitted.later_jobs} jobs are left for later: max_submitted = "
            f"{profile.max_submitted} jobs of yours may be in the queue. When some have ended, "
            "run the same command again"
        )
    if counts["left out, failed"]:
        out.print(f"to submit the failed runs again: {request.command('retry')}")
    out.print(f"to see their state: {request.command('status')}")


@grid_command
def retry(
    request: Request,
    profile: Annotated[
        Path | None,
        typer.Option("--profile", help="profile of the site; default: that of the last submission"),
    ] = None,
    failed: Annotated[
        list[str] | None,
        typer.Option("--failed", help=f"only this class (repeatable): {', '.join(CLASSES)}"),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="node not to use (repeatable)")
    ] = None,
) -> None:
    """Submit the failed work of a grid again, with the runs that wait for it.

    Work that ran out of memory or time gets `retry_factor` times as much of it.
    """
    for name in failed or []:
        if name not in CLASSES:
            raise GridError(unknown("failure class", name, CLASSES))
    given = read_profile(profile) if profile else _last_profile(request.store, request.grid.name)
    if exclude:
        nodes = sorted({*(given.exclude or []), *exclude})
        given = given.model_copy(update={"exclude": nodes})
    submit_work(request, given, accepted_by_retry(set(failed or CLASSES)), more=True)


def _last_profile(store: Store, grid: str) -> Profile:
    for submission in reversed(ledger.read(store, warn) if store.root.exists() else []):
        if submission.grid == grid and submission.profile:
            return parse_profile(submission.profile, f"the profile of {submission.id}")
    raise GridError(f"this store has no submission of the grid {grid!r}; give --profile")


@grid_command
def cancel(request: Request) -> None:
    """Cancel the SLURM jobs of a grid.

    A running pretraining saves a checkpoint first; `submit` resumes it.
    """
    made = request.plan()
    states = update_from_queue(request.store, made, warn)
    selected = {e.key for e in made.entries if states.live(e.key)}
    runs = {e.key for e in made.runs}
    jobs, kept = set(), set()
    for key in selected:
        assignment = states.assigned[str(key)]
        element = assignment.array.elements[assignment.index]
        others = set(element.runs or [element.pretraining]) - selected
        open_others = [k for k in others if k in states.assigned or k not in runs]
        (kept if open_others else jobs).add(str(assignment.job))
    cancel_jobs(jobs)
    out.print(f"{len(jobs)} jobs cancelled" + (": " + " ".join(sorted(jobs)) if jobs else ""))
    if kept:
        out.print(
            f"not cancelled, because they hold runs outside the filters: {' '.join(sorted(kept))}"
        )
