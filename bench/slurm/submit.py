"""Submission of job arrays to SLURM through submitit, recorded in the ledger."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import submitit
from submitit.core.utils import FailedJobError

from ...methods import _folders
from ..identity import Job, Kind
from ..plan.before_work import move_aside
from ..plan.entry import Entry
from ..plan.plan import Plan
from ..store.records import Store
from . import ledger
from .code_snapshot import running_digest, take_snapshot
from .commands import ControllerDownError, SlurmError
from .job_arrays import JobArray, Limits, make_arrays
from .job_main import Task, run_task
from .job_states import JobStates, update_from_queue
from .ledger import Array, Element, Submission
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
    """

    plan: Plan
    states: JobStates
    arrays: list[JobArray]
    wanted: set[str]


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
        arrays = make_arrays(plan, wanted, waiting, limits)
        queued = {key: str(states.assigned[key].job) for key in waiting}
        if arrays:
            Submitter(plan, store, profile).submit(arrays, queued, on_array, warn)
    return Submitted(plan, states, arrays, wanted)


def batch_scripts(
    plan: Plan,
    store: Store,
    profile: Profile,
    limits: Limits,
    accept: Callable[[Entry], bool],
    warn: Callable[[str], None],
) -> Iterator[tuple[JobArray, str]]:
    """Yield each array that `submit_missing` would submit, with its batch script."""
    states = update_from_queue(store, plan, warn)
    submitter = Submitter(plan, store, profile, dry=True)
    for number, array in enumerate(make_arrays(plan, *select(plan, states, accept), limits)):
        after = f"<the job of pretraining {array.after[:12]}>" if array.after else None
        yield array, submitter.text(number, array, after)


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
        executor = self._executor(self._name(number, array), array, after)
        if len(array.jobs) > 1:
            executor.parameters["map_count"] = len(array.jobs)
        return executor._make_submission_file_text(executor._submitit_command_str, "")

    def submit(
        self,
        arrays: list[JobArray],
        queued: dict[str, str],
        report: Callable[[JobArray, str], None] = lambda array, job: None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> Submission:
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
                name=name, stage=each.stage, after=after, job_id=None,
                elements=[
                    Element(
                        label=job.label, pretraining=job.pretraining.key,
                        runs=[run.key for run in job.runs],
                        earlier=[one.key for one in job.earlier],
                    )
                    for job in each.jobs
                ],
            )  # fmt: skip
            self.submission.arrays.append(array)
            ledger.write(self.store, self.submission)
            array.job_id = self._send(self._executor(name, each, after), each, warn)
            ledger.write(self.store, self.submission)
            if each.stage == "pretrain":
                for index, job in enumerate(each.jobs):
                    jobs |= {one.key: str(array.job(index)) for one in job.pretrainings}
            report(each, array.job_id)
        return self.submission

    def _name(self, number: int, array: JobArray) -> str:
        return f"{number:03d}-{array.stage}"

    def _send(
        self, executor: submitit.SlurmExecutor, array: JobArray, warn: Callable[[str], None]
    ) -> str:
        tasks = [self._task(array.stage, job) for job in array.jobs]
        end = time.monotonic() + CONTROLLER_S
        while True:
            try:
                jobs = executor.map_array(run_task, tasks)
            except FailedJobError as error:
                problem = str(error).strip()
                if "ontact slurm controller" not in problem:
                    raise SlurmError(f"sbatch refuses the job: {problem}") from error
                if time.monotonic() >= end:
                    raise ControllerDownError(
                        f"{problem}. The ledger lists the submitted jobs; run the same command "
                        "again to submit the rest"
                    ) from error
                warn("SLURM's controller does not answer; waiting")
                time.sleep(5)
            else:
                return jobs[0].job_id.split("_")[0]

    def _task(self, stage: Kind, job: Job) -> Task:
        profile = self.profile
        return Task(
            stage=stage, job=job, root=str(self.store.root),
            resources=profile.resources(stage), code=self.submission.code,
            requeues=profile.requeues, signal_s=profile.signal_s, submitted=self.submission.time,
        )  # fmt: skip

    def _executor(self, name: str, array: JobArray, after: str | None) -> submitit.SlurmExecutor:
        """Return submitit's executor with the options of the profile."""
        allocation, profile = self.profile.allocation(array.stage), self.profile
        place = self.submission.array_folder(self.store, name)
        executor = submitit.SlurmExecutor(place)
        labels = ", ".join(dict.fromkeys(job.label for job in array.jobs))
        runs = sum(len(job.runs) for job in array.jobs)
        inside = f"{runs} runs of {labels}" if runs else f"pretraining {labels}"
        python = shlex.quote(sys.executable)
        more: dict[str, object] = {"requeue": True}
        if after:
            more |= {"dependency": f"afterok:{after}", "kill-on-invalid-dep": "yes"}
        executor.update_parameters(
            job_name=f"{self.plan.grid.name}-{array.stage}",
            comment=f"sarbench {self.submission.id}/{name}: {inside}"[:250],
            partition=allocation.partition, account=allocation.account, qos=allocation.qos,
            constraint=allocation.constraint,
            exclude=",".join(allocation.exclude) if allocation.exclude else None,
            nodes=allocation.nodes, ntasks_per_node=allocation.processes,
            cpus_per_task=allocation.cpus, gpus_per_node=allocation.gpus or None,
            mem=f"{int((allocation.memory_gb or 1) * 1024)}MB",
            time=allocation.time_min, signal_delay_s=profile.signal_s,
            array_parallelism=array.throttle, stderr_to_stdout=True,
            srun_args=["--cpus-per-task", str(allocation.cpus), "--kill-on-bad-exit=1"],
            setup=[
                *(allocation.setup or []),
                f"export PYTHONPATH={shlex.quote(str(self.code))}${{PYTHONPATH:+:$PYTHONPATH}}",
                "export PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1",
                *_export_methods(),
                f"export OMP_NUM_THREADS={profile.threads} MKL_NUM_THREADS={profile.threads} "
                f"OPENBLAS_NUM_THREADS={profile.threads}",
            ],
            teardown=[
                "status=$?",
                'if [ "$status" -ne 0 ]; then',
                f"  {python} -m sarbench.bench.slurm.on_exit {shlex.quote(str(place))} "
                '"$status"',
                "fi",
                'exit "$status"',
            ],
            additional_parameters=more,
        )  # fmt: skip
        return executor


def _export_methods() -> list[str]:
    """Return the line that names the user's folders of methods, for sites that clear variables."""
    found = os.pathsep.join(map(str, _folders.folders()))
    return [f"export {_folders.VARIABLE}={shlex.quote(found)}"] if found else []
