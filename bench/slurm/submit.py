"""Submission of job arrays to SLURM through submitit, recorded in the ledger."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from submitit.core.utils import FailedJobError

from ..identity import Job, Kind, labels_of
from ..plan.entry import Entry
from ..plan.move_aside import move_aside
from ..plan.plan import Plan
from ..store.records import Store
from . import ledger
from .batch_script import Executor, make_executor, stage_name
from .code_snapshot import running_digest, take_snapshot
from .commands import ControllerDownError, SlurmError, count_submitted
from .job_arrays import JobArray, Limits, first_jobs, jobs_in, make_arrays, with_asked
from .job_main import Task, run_task
from .job_states import JobStates, update_from_queue
from .ledger import Array, Asked, Element
from .profile import Profile
from .selection import select

CONTROLLER_S = 90.0  # time to wait for a controller that does not answer


@dataclass(frozen=True)
class Submitted:
    """The outcome of one submission.

    Attributes:
        plan: The plan, with the states of its jobs before the submission.
        states: The jobs before the submission.
        arrays: The submitted arrays.
        wanted: Keys of the submitted pretrainings and runs.
        later: Keys of those that do not fit into `max_submitted`.
        later_jobs: Number of their jobs.
    """

    plan: Plan
    states: JobStates
    arrays: list[JobArray]
    wanted: set[str]
    later: set[str]
    later_jobs: int


def submit_missing(
    make_plan: Callable[[], Plan],
    store: Store,
    profile: Profile,
    limits: Limits,
    accept: Callable[[Entry], bool],
    *,
    on_array: Callable[[JobArray, str], None],
    report: Callable[[str], None],
    warn: Callable[[str], None],
    ask: Callable[[Plan, JobStates, set[str]], dict[str, Asked]] = lambda plan, states, wanted: {},
) -> Submitted:
    """Submit the missing work that `accept` accepts and that is not queued.

    The plan is made and compared with the queue while no other process submits into the store.

    Args:
        make_plan: Compares the grid with the store as it is now.
        store: The store.
        profile: The profile of the site.
        limits: Of the profile and the site.
        accept: Returns True for an entry to submit.
        on_array: Called with each submitted array and its job.
        report: Called with messages about damaged results and about waiting for another process.
        warn: Called with warnings.
        ask: Returns by key what the profile gives too little of, from the plan, its jobs and the
            keys to submit.

    Raises:
        LedgerError: Another process is submitting into the store.
        SlurmError: SLURM refuses an array.
    """
    with ledger.submitting(store, report):
        plan = make_plan()
        move_aside(plan, store, report)
        states = update_from_queue(store, plan, warn)
        states.write_recovered()
        wanted, waiting = select(plan, states, accept)
        every = with_asked(make_arrays(plan, wanted, waiting, limits), ask(plan, states, wanted))
        arrays = first_jobs(every, _room(limits))
        queued = {key: str(states.assigned[key].job) for key in waiting}
        if arrays:
            Submitter(plan, store, profile).submit(arrays, queued, on_array, warn)
    later = {key for one in every for key in one.keys} - {key for one in arrays for key in one.keys}
    left = jobs_in(every) - jobs_in(arrays)
    return Submitted(plan, states, arrays, wanted - later, later, left)


def _room(limits: Limits) -> int | None:
    """Return the number of jobs that `max_submitted` still allows; None without a limit."""
    return None if limits.max_submitted is None else limits.max_submitted - count_submitted()


def batch_scripts(
    plan: Plan,
    store: Store,
    profile: Profile,
    limits: Limits,
    accept: Callable[[Entry], bool],
    warn: Callable[[str], None],
    *,
    counted: bool,
) -> Iterator[tuple[JobArray, str]]:
    """Yield each array that `submit_missing` would submit, with its batch script.

    `counted` says that the jobs in the queue can be counted; else they are taken as none.
    """
    states = update_from_queue(store, plan, warn)
    submitter = Submitter(plan, store, profile, dry=True)
    every = make_arrays(plan, *select(plan, states, accept), limits)
    arrays = first_jobs(every, _room(limits) if counted else limits.max_submitted)
    if left := jobs_in(every) - jobs_in(arrays):
        warn(f"{left} more jobs do not fit into max_submitted = {limits.max_submitted}")
    for number, array in enumerate(arrays):
        after = f"<the job of pretraining {labels_of(array.jobs[0])}>" if array.after else None
        yield array, submitter.text(number, array, after)


def _refused(problem: str) -> str:
    """Return the message for a job that sbatch refuses."""
    text = f"sbatch refuses the job: {problem}"
    if "MaxSubmit" in problem or "job submit limit" in problem:
        return (
            f"{text}. A user may have only so many jobs in the queue: set max_submitted in the "
            "profile to that number, and submit again when some have ended"
        )
    return f"{text}. Correct the profile; `submit --dry-run` prints the batch scripts"


class Submitter:
    """The submission of a grid's job arrays, with one file of the ledger."""

    def __init__(self, plan: Plan, store: Store, profile: Profile, *, dry: bool = False) -> None:
        self.plan, self.store, self.profile = plan, store, profile
        home = ledger.folder(store)
        if dry:
            digest = running_digest()
            self.code = home / f"code-{digest}"
        else:
            self.code, digest = take_snapshot(home)
        self.submission = ledger.new_submission(
            plan.grid.name, digest, profile.model_dump(exclude_none=True)
        )

    def text(self, number: int, array: JobArray, after: str | None) -> str:
        """Return the batch script of an array."""
        return self._executor(self._name(number, array), array, after).text(len(array.jobs))

    def submit(
        self,
        arrays: list[JobArray],
        queued: dict[str, str],
        report: Callable[[JobArray, str], None],
        warn: Callable[[str], None],
    ) -> None:
        """Submit every array.

        The ledger lists an array before it is submitted, so that its jobs can be found even if
        this process is killed.

        Args:
            arrays: Arrays of jobs, pretrainings before their runs.
            queued: Key of each pretraining submitted before -> its job.
            report: Called with each submitted array and its job.
            warn: Called with a message while the controller does not answer.

        Raises:
            SlurmError: sbatch refuses an array; the message quotes it.
        """
        jobs = dict(queued)
        for number, each in enumerate(arrays):
            name = self._name(number, each)
            after = jobs[each.after] if each.after else None
            array = Array(
                name=name, stage=each.stage, after=after, job_id=None, asked=each.asked,
                elements=[Element.of(work) for work in each.jobs],
            )  # fmt: skip
            self.submission.arrays.append(array)
            ledger.write(self.store, self.submission)
            array.job_id = self._send(self._executor(name, each, after), each, warn)
            ledger.write(self.store, self.submission)
            if each.stage == "pretrain":
                for index, work in enumerate(each.jobs):
                    jobs |= {key: str(array.job(index)) for job in work for key in job.keys}
            report(each, array.job_id)

    def _name(self, number: int, array: JobArray) -> str:
        return f"{number:03d}-{array.stage}"

    def _send(self, executor: Executor, array: JobArray, warn: Callable[[str], None]) -> str:
        tasks = [self._task(array.stage, work) for work in array.jobs]
        end = time.monotonic() + CONTROLLER_S
        while True:
            try:
                jobs = executor.map_array(run_task, tasks)
            except FailedJobError as error:
                problem = str(error).strip()
                if "ontact slurm controller" not in problem:
                    raise SlurmError(_refused(problem)) from error
                if time.monotonic() >= end:
                    raise ControllerDownError(
                        f"{problem}. The ledger lists the submitted jobs; run the same command "
                        "again to submit the rest"
                    ) from error
                warn("SLURM's controller does not answer; waiting")
                time.sleep(5)
            else:
                return jobs[0].job_id.split("_")[0]

    def _task(self, stage: Kind, work: tuple[Job, ...]) -> Task:
        profile = self.profile
        return Task(
            stage=stage, work=work, root=str(self.store.root),
            resources=profile.resources(stage), code=self.submission.code,
            requeues=profile.requeues if profile.requeue else 0, signal_s=profile.signal_s,
            submitted=self.submission.time,
            gpus=profile.allocation(stage).gpus or 0, workers=profile.workers(stage),
        )  # fmt: skip

    def _executor(self, name: str, array: JobArray, after: str | None) -> Executor:
        """Return submitit's executor with the options of the profile."""
        every = [job for work in array.jobs for job in work]
        labels, runs = labels_of(every), sum(len(job.runs) for job in every)
        inside = f"{runs} runs of {labels}" if runs else f"pretraining {labels}"
        return make_executor(
            self.profile,
            array.asked.of(self.profile.allocation(array.stage)),
            self.submission.array_folder(self.store, name),
            self.code,
            name=stage_name(self.plan.grid.name, array.stage),
            comment=f"sarbench {self.submission.id}/{name}: {inside}"[:250],
            throttle=array.throttle,
            after=after,
        )
