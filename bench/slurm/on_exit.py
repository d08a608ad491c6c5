"""The end of a job whose processes failed: requeue it, or record the failure.

The batch script calls `python -m sarbench.bench.slurm.on_exit FOLDER EXIT_STATUS STATE` after the
processes of the job have ended, and requeues the job if it ends with status AGAIN. If the
controller refuses, it is called once more, with the answer as a fourth word. No command of SLURM is
called here: with a launcher this runs in a container.
"""

import json
import logging
import os
import signal
import sys
from collections import deque
from pathlib import Path

from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.slurm.slurm import SlurmJobEnvironment

from ..store.attempts import make_attempt
from ..store.records import Store
from .job_main import AGAIN, ENDED, FAILED, Task, record_failures, started_path, write_log

EARLY = {  # a signal that came before our handler was installed
    128 + signal.SIGUSR2: AGAIN,
    128 + signal.SIGTERM: ENDED,
}
RESTARTS_AFTER_KILL = 1  # restarts after a process was killed, for the same work
TAIL = 20  # lines of the log that are stored with a failure
OOM_SIGNS = (
    "oom-kill", "oom_kill", "Out Of Memory", "out-of-memory handler", "exceeded memory limit",
)  # fmt: skip

log = logging.getLogger("sarbench")


def requeue_or_record(folder: Path, status: int, state: str, refused: str | None = None) -> bool:
    """Record the failure of a job whose processes ended, or return True to requeue it.

    A job that saved its state is requeued. A killed job is requeued once. If it is killed at the
    same work again, or if it ran out of memory, that work is recorded as failed, and the job is
    requeued for the rest.

    Args:
        folder: The folder of submitit's files.
        status: Exit status of the processes.
        state: State of the job in the queue.
        refused: Answer of a controller that refused to requeue the job.
    """
    os.environ["SUBMITIT_FOLDER"] = str(folder)
    paths = SlurmJobEnvironment().paths
    task: Task = DelayedSubmission.load(paths.submitted_pickle).args[0]
    store = Store(Path(task.root))
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    again = restarts < task.requeues and refused is None
    tail = _tail(paths)
    status = EARLY.get(status, status)
    if status == FAILED or not task.missing(store):
        return False  # every failure is recorded
    if status == ENDED and state.strip() != "RUNNING":  # SIGTERM, and not by a preemption
        log.info("the job was cancelled; its state is saved")
        return False
    if status in (AGAIN, ENDED) or refused is not None:
        if not again:
            message = _not_again(task, restarts, refused)
            record_failures(
                task, store, task.missing(store), make_attempt("time_out", message, tail)
            )
        return again
    starts = {job.pretraining.key for job in task.work}
    keys = _started_last() or task.missing(store)
    made = len(keys) == 1 and keys[0] in starts and store.read("pretrain", keys[0])
    if task.kind == "evaluate" and made:
        keys = task.missing(store)  # it ended between the pretraining and the runs
    failure, message = "exception", f"the process ended with exit status {status}"
    if any(sign in line for line in tail for sign in OOM_SIGNS):
        failure, message = "out_of_memory", "SLURM killed a process that ran out of memory"
    elif status >= 128:
        number = signal.Signals(status - 128).name
        failure, message = "killed", f"the process ended by {number}"
        if _times_killed(paths, keys) <= RESTARTS_AFTER_KILL and again:
            log.warning("%s; the job is started again", message)
            return True
    record_failures(task, store, keys, make_attempt(failure, message, tail))
    return bool(task.missing(store)) and again


def _not_again(task: Task, restarts: int, refused: str | None) -> str:
    """Return the reason why a job that is not finished does not start again."""
    if refused is not None:
        return (
            f"the job is not finished and could not be requeued ({refused}); its state is saved. "
            "Submit the grid again; if the site forbids to requeue, set requeue = false in the "
            "profile"
        )
    if task.requeues == 0:
        return (
            "the job is not finished, and the profile allows no requeue; its state is saved. "
            "Submit the grid again to resume it"
        )
    return f"the job was started {restarts + 1} times and is not finished; its state is saved"


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
    again = requeue_or_record(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5])
    sys.exit(AGAIN if again else 0)
