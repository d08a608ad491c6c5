"""The batch script of an array of jobs: options, environment, command, and the end of a job.

Everything of SLURM is called here, outside of the launcher, since a container may have neither its
commands nor its keys.
"""

import os
import shlex
import sys
from pathlib import Path

import submitit

from ...methods._folders import VARIABLE
from ..identity import Kind
from .code_snapshot import copied_methods
from .job_main import AGAIN
from .profile import Allocation, Profile
from .sbatch_options import flags

REQUEUE_S = 900  # time to wait for a controller that does not answer
ENDED_S = 600  # time to wait for the end of the batch script, after its job was requeued
# `requeue_job` returns 0 if the controller accepted; else its answer is in $said.
REQUEUE = """\
requeue_job() {
  until said=$(scontrol requeue "$SLURM_JOB_ID" 2>&1); do
    [[ "$said" =~ contact|onnection|timed|Transport|Zero ]] && [ "$SECONDS" -lt "$1" ] || return 1
    sleep 5
  done
}"""


class Executor(submitit.SlurmExecutor):
    """submitit's executor, which also writes its batch script on a machine without SLURM."""

    @classmethod
    def affinity(cls) -> int:
        """Return that it can be used; `read_site` looks for the commands of SLURM."""
        return 2

    def text(self, jobs: int) -> str:
        """Return the batch script of an array."""
        if jobs > 1:
            self.parameters["map_count"] = jobs
        return self._make_submission_file_text(self._submitit_command_str, "")


def make_executor(
    profile: Profile,
    allocation: Allocation,
    place: Path,
    code: Path,
    *,
    name: str,
    comment: str = "",
    throttle: int = 1,
    after: str | None = None,
) -> Executor:
    """Return an executor with the options of a profile.

    Args:
        profile: The profile.
        allocation: The resources of each job.
        place: Folder for logs and the files of submitit.
        code: Folder of the code that the jobs run.
        name: Name of the jobs.
        comment: Comment of the jobs, by which they are found.
        throttle: Number of jobs that run at once.
        after: Job that they depend on.
    """
    python = profile.command(sys.executable)
    executor = Executor(place, python=python)
    more = flags(allocation.sbatch or {})
    more |= {"requeue": True} if profile.requeue else {"no-requeue": True}
    if after:
        more |= {"dependency": f"afterok:{after}", "kill-on-invalid-dep": "yes"}
    threads = profile.threads
    executor.update_parameters(
        job_name=name, comment=comment or None, wckey=None,
        partition=allocation.partition, account=allocation.account, qos=allocation.qos,
        constraint=allocation.constraint,
        exclude=",".join(allocation.exclude) if allocation.exclude else None,
        nodes=allocation.nodes, ntasks_per_node=allocation.processes,
        cpus_per_task=allocation.cpus, gpus_per_node=allocation.gpus_per_node,
        mem=allocation.memory, time=allocation.time_min, signal_delay_s=profile.signal_s,
        array_parallelism=throttle, stderr_to_stdout=True,
        srun_args=["--cpus-per-task", str(allocation.cpus), "--kill-on-bad-exit=1"],
        setup=[
            *(allocation.setup or []),
            "unset SLURM_EXPORT_ENV",  # --export=NONE would keep the variables below from the job
            f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}",
            "export PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1",
            *_export_methods(code),
            f"export OMP_NUM_THREADS={threads} MKL_NUM_THREADS={threads} "
            f"OPENBLAS_NUM_THREADS={threads}",
        ],
        teardown=_teardown(python, place),
        additional_parameters=more,
    )  # fmt: skip
    return executor


def _export_methods(code: Path) -> list[str]:
    """Return the line that names the copies of the user's folders of methods."""
    found = os.pathsep.join(map(str, copied_methods(code)))
    return [f"export {VARIABLE}={shlex.quote(found)}"] if found else []


def _teardown(python: str, place: Path) -> list[str]:
    """Return the shell lines that requeue a job or record its failure."""
    on_exit = f'{python} -m sarbench.bench.slurm.on_exit {shlex.quote(str(place))} "$status"'
    return [
        "status=$?",
        REQUEUE,
        'if [ "$status" -ne 0 ]; then',
        '  state=$(squeue --noheader -o %T --jobs "$SLURM_JOB_ID" 2>&1)',
        f'  {on_exit} "$state"',
        f"  if [ $? -eq {AGAIN} ]; then",
        f"    if requeue_job $((SECONDS + {REQUEUE_S})); then",
        f"      sleep {ENDED_S}",
        "      exit 0",  # the controller is slow: the job is requeued, so nothing has failed
        "    fi",
        f'    {on_exit} "$state" "$said"',
        "  fi",
        "fi",
        'exit "$status"',
    ]


def stage_name(grid: str, stage: Kind) -> str:
    """Return the name of the jobs of a stage."""
    return f"{grid}-{stage}"
