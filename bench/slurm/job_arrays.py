"""Job arrays for a plan: one for all pretrainings, and packs of runs."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..grid.expand import PlannedRun
from ..identity import KINDS, Job, Kind, Run
from ..plan.cost_estimate import START_S, Costs
from ..plan.entry import Entry
from ..plan.plan import Plan
from .commands import Site
from .ledger import Asked
from .profile import Profile

AS_GIVEN = Asked()


@dataclass(frozen=True)
class JobArray:
    """Jobs of SLURM that are submitted together.

    Attributes:
        jobs: The work of each; several pieces are done by one process, one after another.
        after: Key of the submitted or queued pretraining that the jobs depend on.
        throttle: Number of jobs that may run at once.
        asked: Resources of the jobs that differ from the profile.
    """

    stage: Kind
    jobs: list[tuple[Job, ...]]
    after: str | None
    throttle: int
    asked: Asked = AS_GIVEN

    @property
    def keys(self) -> set[str]:
        """The keys of the pretrainings and runs that the jobs do."""
        return {key for work in self.jobs for key in _keys(work)}


@dataclass(frozen=True)
class Limits:
    """Limits on the size of arrays and jobs."""

    max_array: int  # most jobs in one array, set by the site
    throttle: dict[Kind, int]
    pack_s: float  # estimated seconds of one job of runs
    max_submitted: int | None = None  # most jobs of the user in the queue


class Pack(NamedTuple):
    """Work for one job, with its estimated seconds."""

    work: tuple[Job, ...]
    seconds: float


def limits_of(profile: Profile, site: Site) -> Limits:
    """Return the limits that a profile and a site set."""
    time_min = profile.allocation("evaluate").time_min or 60
    return Limits(
        site.max_array,
        {kind: profile.allocation(kind).throttle or 1 for kind in KINDS},
        60 * min(profile.pack_min, 0.7 * time_min) * profile.workers("evaluate"),
        profile.max_submitted,
    )


def make_arrays(plan: Plan, wanted: set[str], waiting: set[str], limits: Limits) -> list[JobArray]:
    """Return the arrays of jobs for the `wanted` keys, pretrainings first.

    Args:
        plan: The plan of the grid.
        wanted: Keys of pretrainings and runs to submit.
        waiting: Keys of pretrainings that are queued or running already.
        limits: Limits of the site and the profile.
    """
    costs = Costs(plan)
    trained: list[Job] = []
    dependent: list[tuple[str, list[Pack]]] = []
    free: list[Pack] = []
    controls: list[tuple[Job, ...]] = []  # without runs to do
    for training in plan.trainings():
        learning = [
            start.planned
            for start, _ in training
            if start.learns and start.state != "done" and start.key in wanted
        ]
        if learning:
            trained.append(plan.job(learning, []))
    for start, own in plan.grouped():
        identity = start.planned.identity
        if identity is None:
            continue
        job = plan.job([start.planned], [])
        packs = _packs(job, [e for e in own if e.key in wanted], costs, limits.pack_s)
        learns = start.learns and start.state != "done"
        if learns and identity.key in wanted | waiting:
            dependent.append((identity.key, packs))
        elif not learns:  # finished, or a control that the first pack of its runs makes
            free += packs
            if identity.key in wanted and all(entry.state == "done" for entry in own):
                controls.append((job,))
    arrays = _chunks("pretrain", [(job,) for job in trained], None, limits)
    arrays += _chunks("evaluate", controls + _together(free, limits.pack_s), None, limits)
    for key, packs in dependent:
        arrays += _chunks("evaluate", [pack.work for pack in packs], key, limits)
    return arrays


def first_jobs(arrays: list[JobArray], room: int | None) -> list[JobArray]:
    """Return the arrays with their first `room` jobs; all jobs if it is None.

    Pretrainings are first, so no array is left without the jobs that it depends on.
    """
    if room is None:
        return arrays
    fitting = []
    for array in arrays:
        jobs = array.jobs[: max(0, room)]
        room -= len(jobs)
        if jobs:
            fitting.append(replace(array, jobs=jobs))
    return fitting


def jobs_in(arrays: list[JobArray]) -> int:
    """Return the number of jobs."""
    return sum(len(array.jobs) for array in arrays)


def with_asked(arrays: list[JobArray], asked: dict[str, Asked]) -> list[JobArray]:
    """Split arrays into those of jobs that ask for the same; `asked` is by key."""
    found = []
    for array in arrays:
        parts: dict[Asked, list[tuple[Job, ...]]] = {}
        for work in array.jobs:
            most = Asked.most(asked[key] for key in _keys(work) if key in asked)
            parts.setdefault(most, []).append(work)
        each = max(1, array.throttle // max(1, len(parts)))
        found += [
            replace(array, jobs=jobs, throttle=each, asked=one) for one, jobs in parts.items()
        ]
    return found


def _keys(work: Iterable[Job]) -> set[str]:
    return {key for job in work for key in job.keys}


def _packs(job: Job, entries: list[Entry[PlannedRun]], costs: Costs, pack_s: float) -> list[Pack]:
    """Return packs of about `pack_s` each, sorted by data set and protocol.

    Runs that differ only in their condition are in one job, because they share a head.
    """
    heads: dict[str, list[tuple[Run, float]]] = {}
    for entry in entries:
        if run := entry.planned.identity:
            seconds = costs.run_s(entry.planned)[0]
            heads.setdefault(replace(run, condition=None).key, []).append((run, seconds))
    packs: list[list[Run]] = []
    filled: list[float] = []
    for head in sorted(heads.values(), key=lambda head: (head[0][0].dataset, head[0][0].protocol)):
        needed = sum(seconds for _, seconds in head)
        if not packs or filled[-1] + needed > pack_s - START_S:
            packs.append([])
            filled.append(0.0)
        packs[-1] += [run for run, _ in head]
        filled[-1] += needed
    return [
        Pack((replace(job, runs=pack),), seconds)
        for pack, seconds in zip(packs, filled, strict=True)
    ]


def _together(packs: list[Pack], pack_s: float) -> list[tuple[Job, ...]]:
    """Return the work of jobs of about `pack_s` each, from packs of different encoders."""
    joined: list[Pack] = []
    for pack in packs:
        if joined and joined[-1].seconds + pack.seconds <= pack_s - START_S:
            last = joined.pop()
            pack = Pack(last.work + pack.work, last.seconds + pack.seconds)
        joined.append(pack)
    return [pack.work for pack in joined]


def _chunks(
    stage: Kind, jobs: list[tuple[Job, ...]], after: str | None, limits: Limits
) -> list[JobArray]:
    """Split an array at the limit of the site; the parts share the throttle."""
    size = limits.max_array
    parts = [jobs[first : first + size] for first in range(0, len(jobs), size)]
    each = max(1, limits.throttle[stage] // max(1, len(parts)))
    return [JobArray(stage, part, after, each) for part in parts]
