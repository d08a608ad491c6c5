"""Classes of failures, and those that `submit` retries by itself."""

from ...results.record import Attempt

NAMED = {
    "OutOfMemoryError": "out_of_memory", "MemoryError": "out_of_memory",
    "DatasetNotFoundError": "data", "DatasetMismatchError": "data", "NotPreparedError": "data",
    "StaleDataError": "data", "UnreadableImageError": "data",
    "WrongCodeError": "code",
}  # fmt: skip
OF_SLURM = {
    "TIMEOUT": "time_out", "DEADLINE": "time_out", "NODE_FAIL": "node_failure",
    "BOOT_FAIL": "node_failure", "OUT_OF_MEMORY": "out_of_memory", "CANCELLED": "cancelled",
    "PREEMPTED": "preempted", "REVOKED": "cancelled",
}  # fmt: skip
LOST = "lost"  # a job that ended, and nobody knows why
CLASSES = (
    "exception", "out_of_memory", "time_out", "preempted", "node_failure", "killed", "cancelled",
    "data", "disk", "code", LOST,
)  # fmt: skip
ONLY_IF_ASKED = ("exception", "out_of_memory")  # would most likely fail the same way


def failure_class(attempt: Attempt) -> str:
    """Return the class of a stored failure."""
    if attempt.failure in CLASSES:
        return attempt.failure
    if "No space left on device" in attempt.message or "Disk quota" in attempt.message:
        return "disk"
    if "can't allocate memory" in attempt.message or "out of memory" in attempt.message:
        return "out_of_memory"
    return NAMED.get(attempt.failure, "exception")
