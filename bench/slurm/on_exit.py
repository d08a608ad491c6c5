"""Runs in a job's batch script where its processes ended badly: requeue, or record the failure.

`python -m sarbench.bench.slurm.on_exit FOLDER EXIT_STATUS`. It runs when the processes of the
job have ended, however they did.
"""

import json
import logging
import os
import signal
import sys
import time
from collections import deque
from pathlib import Path

from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.slurm.slurm import SlurmJobEnvironment

from ..store.records import Store
from .commands import SlurmError, command
from .job_main import AGAIN, ENDED, FAILED, Task, at_path, record_failures, write_log

EARLY = {  # a signal that came before our handler was there
    128 + signal.SIGUSR2: AGAIN,
    128 + signal.SIGTERM: ENDED,
}
KILLED_AGAIN = 1  # how often a process killed outright is started again at the same work
REQUEUE_S = 900.0  # how long a controller that is down is asked
TAIL = 20  # lines of the log that a failure keeps
OOM_SIGNS = ("oom-kill", "oom_kill", "Out Of Memory", "out-of-memory handler")

log = logging.getLogger("sarbench")


def after(folder: Path, status: int) -> None:
    """Requeue a job whose processes ended with `status`, or record why it failed.

    A job that saved its state is requeued. One that was killed is requeued once; if it is killed
    at the same work again, or ran out of memory, that work is recorded as failed and the rest
    goes on.
    """
    os.environ["SUBMITIT_FOLDER"] = str(folder)
    paths = SlurmJobEnvironment().paths
    task: Task = DelayedSubmission.load(paths.submitted_pickle).args[0]
    store = Store(Path(task.root))
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    tail = _tail(paths)
    status = EARLY.get(status, status)
    if status == FAILED or not task.missing(store):
        return  # what failed is recorded
    if status == ENDED and not _is_wanted():
        log.info("the job was cancelled; its state is saved")
        return
    if status in (AGAIN, ENDED):
        if restarts < task.requeues:
            _requeue()
        message = f"the job was started {restarts + 1} times and is not done; its state is saved"
        record_failures(task, store, task.missing(store), "time_out", message, tail)
        return
    start = task.job.pretraining.key
    at = _at() or task.missing(store)
    if task.kind == "evaluate" and at == [start] and store.read("pretrain", start) is not None:
        at = task.missing(store)  # it ended between the pretraining and the runs
    failure, message = "exception", f"the process ended with exit status {status}"
    if any(sign in line for line in tail for sign in OOM_SIGNS):
        failure, message = "out_of_memory", "SLURM killed a process that ran out of memory"
    elif status >= 128:
        number = signal.Signals(status - 128).name
        failure, message = "killed", f"the process ended by {number}"
        if _times_killed(paths, at) <= KILLED_AGAIN and restarts < task.requeues:
            log.warning("%s; the job is started again", message)
            _requeue()
    record_failures(task, store, at, failure, message, tail)
    if task.kind == "evaluate" and at == [start]:
        return  # its runs cannot start
    if task.missing(store) and restarts < task.requeues:
        _requeue()


def _is_wanted() -> bool:
    """Return whether the controller holds the job for running: then SIGTERM meant preemption."""
    try:
        state = command("squeue", "--noheader", "-o", "%T", "--jobs", os.environ["SLURM_JOB_ID"])
    except SlurmError:
        return False
    return state.strip() == "RUNNING"


def _requeue() -> None:
    """Ask the controller to start this job again, and wait to be ended by it."""
    command("scontrol", "requeue", os.environ["SLURM_JOB_ID"], wait_s=REQUEUE_S)
    time.sleep(600)


def _at() -> list[str]:
    """Return the keys of the piece that the job started last."""
    try:
        return json.loads(at_path().read_text())
    except (OSError, json.JSONDecodeError):
        return []


def _times_killed(paths: JobPaths, at: list[str]) -> int:
    """Count how often this job was killed at this work, this time included."""
    counts = paths.folder / f"{paths.job_id}_killed.json"
    try:
        before = json.loads(counts.read_text())
    except (OSError, json.JSONDecodeError):
        before = []
    counts.write_text(json.dumps([*before, at[0] if at else ""]))
    return sum(key in at or not at for key in before) + 1


def _tail(paths: JobPaths) -> list[str]:
    try:
        with paths.stdout.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, TAIL)]
    except OSError:
        return []


if __name__ == "__main__":
    write_log()
    after(Path(sys.argv[1]), int(sys.argv[2]))
