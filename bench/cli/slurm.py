"""Commands that act on the cluster: submit, retry, cancel."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..contract.plugins import check_contracts
from ..grid.schema import GridError, claim_warning
from ..plan.entry import Entry
from ..plan.failure_class import CLASSES
from ..plan.plan import Plan, counted
from ..slurm import ledger
from ..slurm.commands import cancel as cancel_jobs
from ..slurm.commands import read_site
from ..slurm.job_arrays import JobArray, Limits, make_arrays
from ..slurm.profile import Profile, check_site, parse_profile, read_profile
from ..slurm.selection import select, taken_by_retry, taken_by_submit
from ..slurm.status import Watch, update_from_queue
from ..store.records import Store
from ..suggest import unknown
from .app import Request, err, grid_command, out, warn
from .grid import clear, prepare_missing

ProfileFile = Annotated[Path, typer.Option("--profile", help="how the site is asked (TOML)")]


@grid_command
def submit(
    asked: Request,
    profile: ProfileFile,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the jobs and their batch scripts, submit none")
    ] = False,
) -> None:
    """Hand what is missing of a grid, and not queued, to SLURM; returns at once."""
    hand_over(asked, read_profile(profile), taken_by_submit, dry_run)


def hand_over(
    asked: Request,
    profile: Profile,
    take: Callable[[Entry], bool],
    dry_run: bool = False,
) -> None:
    """Plan, look at the queue, submit what is missing and taken; or print what would be."""
    from ..slurm.submit import Submitter

    store = asked.store
    made = asked.plan()
    if claim := claim_warning(asked.grid):
        warn(claim)
    check_site(profile, site := read_site(lambda m: err.print(m)))
    if dry_run and (names := " ".join(made.to_prepare())):
        raise GridError(f"not prepared: {names}; `sarbench data prepare {names}` first")
    if not dry_run:
        store.check_writable()
        prepare_missing(asked, made)
    limits = Limits(
        site.max_array,
        {stage: profile.allocation(stage).throttle or 1 for stage in ("pretrain", "evaluate")},
        60 * min(profile.pack_min, 0.7 * (profile.allocation("evaluate").time_min or 60)),
    )
    if dry_run:
        watch = update_from_queue(store, made, warn)
        submitter = Submitter(made, store, profile, dry=True)
        for number, each in enumerate(make_arrays(made, *select(made, watch, take), limits)):
            _print_dry(number, each, submitter)
        return
    check_contracts(store, [entry.planned.method for entry in made.pretrain], warn)
    with ledger.submitting(store, lambda message: err.print(message, markup=False)):
        made = asked.plan()
        clear(made, store, force=False)
        watch = update_from_queue(store, made, warn)
        watch.note_adopted()
        wanted, waiting = select(made, watch, take)
        arrays = make_arrays(made, wanted, waiting, limits)
        queued = {key: str(watch.held[key].job) for key in waiting}
        if arrays:
            Submitter(made, store, profile).submit(
                arrays, queued, lambda array, job: out.print(_describe_array(array, job)), warn
            )
    _summary(asked, made, watch, arrays, wanted)


def _describe_array(array: JobArray, job: str) -> str:
    runs = sum(len(each.runs) for each in array.jobs)
    labels = list(dict.fromkeys(each.label for each in array.jobs))
    named = ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")
    what = f"{runs} runs of {named}" if runs else f"pretraining of {named}"
    return f"job {job}: {len(array.jobs)} x {array.stage}: {what}"


def _print_dry(number: int, array: JobArray, submitter: Any) -> None:
    out.print(f"== {_describe_array(array, '(not submitted)')}", markup=False)
    for index, job in enumerate(array.jobs):
        out.print(f"   {index}: {job.label}, {len(job.runs) or 'no'} runs", markup=False)
    after = f"<the job of pretraining {array.after[:12]}>" if array.after else None
    out.file.write(submitter.text(number, array, after) + "\n")


def _summary(
    asked: Request, made: Plan, watch: Watch, arrays: list[JobArray], wanted: set[str]
) -> None:
    local = {id(e.planned) for e in made.pretrain if e.state == "running" and not watch.live(e.key)}
    counts = Counter(
        "done" if e.state == "done" else "submitted" if e.key in wanted
        else "queued or running" if watch.live(e.key)
        else "left out, running in another process" if id(e.planned.pretraining) in local
        else "left out, failed"
        for e in made.runs
    )  # fmt: skip
    jobs = sum(len(array.jobs) for array in arrays)
    out.print(f"{len(made.runs)} runs: {counted(counts)}; {jobs} jobs in {len(arrays)} arrays")
    if counts["left out, failed"]:
        out.print(f"what failed is submitted again by: {asked.command('retry')}")
    out.print(f"watch: {asked.command('status')}")


@grid_command
def retry(
    asked: Request,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="default: that of the last submission")
    ] = None,
    failed: Annotated[
        list[str] | None, typer.Option("--failed", help=f"only this class: {', '.join(CLASSES)}")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="a node that is not to be used")
    ] = None,
) -> None:
    """Submit again what failed, and the runs that waited for it."""
    for name in failed or []:
        if name not in CLASSES:
            raise GridError(unknown("failure class", name, CLASSES))
    given = read_profile(profile) if profile else _last_profile(asked.store, asked.grid.name)
    if exclude:
        nodes = sorted({*(given.exclude or []), *exclude})
        given = given.model_copy(update={"exclude": nodes})
    hand_over(asked, given, taken_by_retry(set(failed or CLASSES)))


def _last_profile(store: Store, grid: str) -> Profile:
    for submission in reversed(ledger.read(store, warn) if store.root.exists() else []):
        if submission.grid == grid and submission.profile:
            return parse_profile(submission.profile, f"the profile of {submission.id}")
    raise GridError(f"nothing of the grid {grid!r} was submitted from here; give --profile")


@grid_command
def cancel(
    asked: Request,
) -> None:
    """Cancel the jobs of a grid; a running pretraining saves first. `submit` goes on from there."""
    made = asked.plan()
    watch = update_from_queue(asked.store, made, warn)
    selected = {e.key for e in (*made.pretrain, *made.runs) if watch.live(e.key)}
    runs = {e.key for e in made.runs}
    jobs, kept = set(), set()
    for key in selected:
        held = watch.held[str(key)]
        element = held.array.elements[held.index]
        others = set(element.runs or [element.pretraining]) - selected
        open_others = [k for k in others if k in watch.held or k not in runs]
        (kept if open_others else jobs).add(str(held.job))
    cancel_jobs(jobs)
    out.print(f"{len(jobs)} jobs cancelled" + (": " + " ".join(sorted(jobs)) if jobs else ""))
    if kept:
        out.print(f"left alone, since they hold runs that were not asked for: {sorted(kept)}")
