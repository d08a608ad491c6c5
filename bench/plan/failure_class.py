"""Classes of failures, and the classes that `submit` skips."""

from ...results.record import Attempt

OF_SLURM = {
    "TIMEOUT": "time_out", "DEADLINE": "time_out", "NODE_FAIL": "node_failure",
    "BOOT_FAIL": "node_failure", "OUT_OF_MEMORY": "out_of_memory", "CANCELLED": "cancelled",
    "PREEMPTED": "preempted", "REVOKED": "cancelled",
}  # fmt: skip
LOST = "lost"  # a job that ended for an unknown reason
CLASSES = (
    "exception", "out_of_memory", "time_out", "preempted", "node_failure", "killed", "cancelled",
    "data", "disk", "code", LOST,
)  # fmt: skip
RETRY_ONLY = ("exception", "out_of_memory")  # most likely fail again, so `submit` skips them


def classify(attempt: Attempt) -> str:
    """Return the class of a stored failure."""
    if attempt.failure_class in CLASSES:
        return attempt.failure_class
    if attempt.failure in CLASSES:
        return attempt.failure
    if "No space left on device" in attempt.message or "Disk quota" in attempt.message:
        return "disk"
    if "can't allocate memory" in attempt.message or "out of memory" in attempt.message:
        return "out_of_memory"
    return "exception"
