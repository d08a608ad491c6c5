"""Submission of job arrays to SLURM through submitit, recorded in the ledger."""

import shlex
import sys
import time
from collections.abc import Callable

import submitit
from submitit.core.utils import FailedJobError

from ..identity import Job, Kind
from ..plan.plan import Plan
from ..store.records import Store
from . import ledger
from .code_snapshot import running_digest, take_snapshot
from .commands import ControllerDownError, SlurmError
from .job_arrays import JobArray
from .job_main import Task, run_task
from .ledger import Array, Element, Submission
from .profile import Profile

CONTROLLER_S = 90.0  # time to wait for a controller that does not answer


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
                    jobs[job.pretraining.key] = str(array.job(index))
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
        place = ledger.folder(self.store) / self.submission.id / name
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
