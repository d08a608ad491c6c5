"""The end of a job whose processes failed: requeue it, or record the failure.

The batch script calls `python -m sarbench.bench.slurm.on_exit FOLDER EXIT_STATUS` after the
processes of the job have ended.
"""

import json
import logging
import os
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import NoReturn

from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.slurm.slurm import SlurmJobEnvironment

from ..store.attempts import make_attempt
from ..store.records import Store
from .commands import SlurmError, command
from .job_main import AGAIN, ENDED, FAILED, Task, record_failures, started_path, write_log

EARLY = {  # a signal that came before our handler was installed
    128 + signal.SIGUSR2: AGAIN,
    128 + signal.SIGTERM: ENDED,
}
RESTARTS_AFTER_KILL = 1  # restarts after a process was killed, for the same work
REQUEUE_S = 900.0  # time to wait for a controller that does not answer
ENDED_S = 600.0  # time to wait for the end of this process, after the job was requeued
TAIL = 20  # lines of the log that are stored with a failure
OOM_SIGNS = ("oom-kill", "oom_kill", "Out Of Memory", "out-of-memory handler")

log = logging.getLogger("sarbench")


def requeue_or_record(folder: Path, status: int) -> None:
    """Requeue a job whose processes ended with `status`, or record its failure.

    A job that saved its state is requeued. A killed job is requeued once. If it is killed at the
    same work again, or if it ran out of memory, that work is recorded as failed, and the job is
    requeued for the rest.
    """
    os.environ["SUBMITIT_FOLDER"] = str(folder)
    paths = SlurmJobEnvironment().paths
    task: Task = DelayedSubmission.load(paths.submitted_pickle).args[0]
    store = Store(Path(task.root))
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    tail = _tail(paths)
    status = EARLY.get(status, status)
    if status == FAILED or not task.missing(store):
        return  # every failure is recorded
    if status == ENDED and not _is_wanted():
        log.info("the job was cancelled; its state is saved")
        return
    if status in (AGAIN, ENDED):
        if restarts < task.requeues:
            _requeue()
        message = (
            f"the job was started {restarts + 1} times and is not finished; its state is saved"
        )
        record_failures(task, store, task.missing(store), make_attempt("time_out", message, tail))
        return
    start = task.job.pretraining.key
    keys = _started_last() or task.missing(store)
    if task.kind == "evaluate" and keys == [start] and store.read("pretrain", start) is not None:
        keys = task.missing(store)  # it ended between the pretraining and the runs
    failure, message = "exception", f"the process ended with exit status {status}"
    if any(sign in line for line in tail for sign in OOM_SIGNS):
        failure, message = "out_of_memory", "SLURM killed a process that ran out of memory"
    elif status >= 128:
        number = signal.Signals(status - 128).name
        failure, message = "killed", f"the process ended by {number}"
        if _times_killed(paths, keys) <= RESTARTS_AFTER_KILL and restarts < task.requeues:
            log.warning("%s; the job is started again", message)
            _requeue()
    record_failures(task, store, keys, make_attempt(failure, message, tail))
    if task.kind == "evaluate" and keys == [start]:
        return  # its runs cannot start
    if task.missing(store) and restarts < task.requeues:
        _requeue()


def _is_wanted() -> bool:
    """Return whether the controller still lists the job as running: SIGTERM was a preemption."""
    try:
        state = command("squeue", "--noheader", "-o", "%T", "--jobs", os.environ["SLURM_JOB_ID"])
    except SlurmError:
        return False
    return state.strip() == "RUNNING"


def _requeue() -> NoReturn:
    """Ask the controller to requeue this job, and wait until it ends this process."""
    command("scontrol", "requeue", os.environ["SLURM_JOB_ID"], wait_s=REQUEUE_S)
    time.sleep(ENDED_S)
    sys.exit(0)  # the controller is slow: the job is requeued, so no failure is recorded


def _started_last() -> list[str]:
    """Return the keys of the work that the job started last."""
    try:
        return json.loads(started_path().read_text())
    except (OSError, json.JSONDecodeError):
        return []


def _times_killed(paths: JobPaths, keys: list[str]) -> int:
    """Count the times that this job was killed at this work, this time included."""
    counts = paths.folder / f"{paths.job_id}_killed.json"
    try:
        before = json.loads(counts.read_text())
    except (OSError, json.JSONDecodeError):
        before = []
    counts.write_text(json.dumps([*before, keys[0] if keys else ""]))
    return sum(key in keys or not keys for key in before) + 1


def _tail(paths: JobPaths) -> list[str]:
    try:
        with paths.stdout.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, TAIL)]
    except OSError:
        return []


if __name__ == "__main__":
    write_log()
    requeue_or_record(Path(sys.argv[1]), int(sys.argv[2]))
