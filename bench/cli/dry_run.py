"""Jobs and batch scripts that `submit` would hand to SLURM, printed without SLURM too."""

import shlex
from collections.abc import Callable

from rich.table import Table

from ..data.names import set_of
from ..data.pools import published_count
from ..grid.claim_warning import claim_warning
from ..grid.schema import GridError
from ..identity import KINDS, Kind, labels_of
from ..plan.cost_estimate import Costs
from ..plan.entry import Cause, Entry
from ..plan.plan import Plan
from ..slurm.commands import NO_SITE, ControllerDownError, NoSlurmError, Site, read_site
from ..slurm.job_arrays import JobArray, jobs_in, limits_of
from ..slurm.profile import Allocation, Profile, check_batches, check_site
from ..slurm.selection import batches_to_do
from ..suggest import shortened
from .app import out, print_status, warn
from .grid_arguments import Request

QUICK_S = 2.0  # time for an answer of SLURM that is not necessary
TRIALS_FIRST = (
    "these are the trials of [tune]; when they have finished, run the same command again "
    "to submit the grid with the chosen recipes"
)
# Shown in the batch script only.
IN_SCRIPT = {"setup", "sbatch", "exclude", "throttle"}


def print_dry_run(
    request: Request, profile: Profile, accept: Callable[[Entry], bool], *, every: bool
) -> None:
    """Print the jobs that `submit` would submit; needs no SLURM.

    Args:
        request: The grid and the store.
        profile: The profile of the site.
        accept: Returns True for an entry to submit.
        every: Print the work of each job and every batch script, not only a summary.
    """
    from ..slurm.submit import batch_scripts

    made = request.plan(published=True)
    if made.tuning and made.open_trials:
        print_dry_run(request.trials(made.tuning), profile, accept, every=every)
        print_status(TRIALS_FIRST)
        return
    if claim := claim_warning(request.grid):
        warn(claim)
    site = _site_or_none()
    if site:
        check_site(profile, site)
    check_batches(profile, batches_to_do(made, accept))
    _refuse_unsized(made)
    if names := ", ".join(made.to_prepare()):
        print_status(f"not prepared: {names}; published sizes are used, and `submit` prepares them")
    limits = limits_of(profile, site or NO_SITE)
    counted = site is not None
    scripts = list(
        batch_scripts(made, request.store, profile, limits, accept, warn, counted=counted)
    )
    _print_summary([array for array, _ in scripts], profile)
    if not scripts:
        return
    out.print(str(Costs(made).missing(made)))
    for array, script in scripts if every else scripts[:1]:
        out.print(f"\n== {describe_array(array, '(not submitted)')}")
        if every:
            for index, work in enumerate(array.jobs):
                runs = sum(len(job.runs) for job in work)
                out.print(f"   {index}: {labels_of(work)}, {runs or 'no'} runs")
        out.file.write(script + "\n")
    if len(scripts) > 1 and not every:
        print_status(
            f"this is the first of {len(scripts)} batch scripts; --all prints each, with the work "
            "of every job"
        )


def _refuse_unsized(made: Plan) -> None:
    """Refuse pools that are neither prepared nor of a published size.

    Raises:
        GridError: The message says what to do.
    """
    pools = dict.fromkeys(
        name
        for entry in made.pretrain
        if entry.cause == Cause.NOT_PREPARED
        for name in entry.planned.pool
        if set_of(name) not in made.data and published_count([name]) is None
    )
    if pools:
        raise GridError(
            f"these pools have no published size and are not prepared: {', '.join(pools)}. Their "
            "jobs are known once they are prepared: run `sarbench data prepare "
            f"{shlex.join(made.to_prepare())}`"
        )


def describe_array(array: JobArray, job: str) -> str:
    """Return an array in one line, with the number of its jobs and their first rows."""
    pieces = [one for work in array.jobs for one in work]
    runs = sum(len(one.runs) for one in pieces)
    named = shortened(dict.fromkeys(one.label for one in pieces), 4)
    what = f"{runs} runs of {named}" if runs else f"pretraining of {named}"
    return f"job {job}: {len(array.jobs)} x {array.stage}: {what}"


def _site_or_none() -> Site | None:
    """Return the limits of this site, or None with a warning where SLURM does not answer."""
    try:
        return read_site(wait_s=0.0, timeout_s=QUICK_S)
    except NoSlurmError:
        why = "SLURM is not installed here"
    except ControllerDownError:
        why = f"SLURM's controller did not answer in {QUICK_S:.0f} s"
    warn(
        f"{why}: partitions, time limits and queued jobs are not compared with the site, and an "
        f"array has at most {NO_SITE.max_array} jobs"
    )
    return None


def _print_summary(arrays: list[JobArray], profile: Profile) -> None:
    """Print the number of jobs and the resources of each, by stage, in the words of a profile."""
    runs = sum(len(job.runs) for array in arrays for work in array.jobs for job in work)
    numbers = {"job": jobs_in(arrays), "array": len(arrays), "run": runs}
    jobs, packed, done = (f"{n} {word}{'' if n == 1 else 's'}" for word, n in numbers.items())
    out.print(f"{jobs} in {packed} for {done}; nothing is submitted")
    stages: list[Kind] = [kind for kind in KINDS if any(array.stage == kind for array in arrays)]
    given = {kind: profile.allocation(kind) for kind in stages}
    rows = {
        "jobs": [_jobs(arrays, kind) for kind in stages],
        "jobs at once": [_at_once(arrays, kind) for kind in stages],
    }
    for name in (one for one in Allocation.model_fields if one not in IN_SCRIPT):
        values = [getattr(given[kind], name) for kind in stages]
        if any(value is not None for value in values):
            rows[name] = ["-" if value is None else f"{value:g}" if isinstance(value, float)
                          else str(value) for value in values]  # fmt: skip
    table = Table("stage", *stages, box=None, pad_edge=False)
    for name, values in rows.items():
        table.add_row(name, *values)
    if stages:
        out.print(table)


def _jobs(arrays: list[JobArray], kind: Kind) -> str:
    """Return the number of jobs of a stage, and of its arrays by their size."""
    sizes = [len(array.jobs) for array in arrays if array.stage == kind]
    if len(sizes) == 1:
        return f"{sizes[0]} in 1 array"
    span = str(sizes[0]) if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
    return f"{sum(sizes)} in {len(sizes)} arrays of {span}"


def _at_once(arrays: list[JobArray], kind: Kind) -> str:
    """Return how many jobs of an array may run at once."""
    most = max(array.throttle for array in arrays if array.stage == kind)
    return f"at most {most} of an array"
