"""Calls of SLURM's commands for the queue, the accounting and the limits of a site."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from shutil import which

ANSWER_S = 60.0  # time limit of one command


class SlurmError(OSError):
    """SLURM is missing, does not answer, or refuses; the message quotes it."""

    exit_status = 1


class ControllerDownError(SlurmError):
    """The controller does not answer."""


class NoSlurmError(SlurmError):
    """This machine has no commands of SLURM."""


@dataclass(frozen=True)
class QueuedJob:
    """A job of the queue; each element of an array is a job."""

    job: str  # `17` or `17_3`
    state: str
    reason: str
    node: str
    elapsed: str
    comment: str

    @property
    def live(self) -> bool:
        """True if it runs or may still run."""
        return self.state in LIVE and self.reason != "DependencyNeverSatisfied"

    @property
    def runs(self) -> bool:
        """True if it runs now."""
        return self.state in RUNNING


RUNNING = {
    "RUNNING", "COMPLETING", "CONFIGURING", "STOPPED", "SUSPENDED", "SIGNALING", "STAGE_OUT",
}  # fmt: skip
LIVE = RUNNING | {
    "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT",
    "RESIZING",
}  # fmt: skip


@dataclass(frozen=True)
class Partition:
    """A partition, its time limit and the memory of its largest node."""

    name: str
    max_time_min: float  # infinity without a limit
    memory_gb: float | None = None  # None: unknown


@dataclass(frozen=True)
class Site:
    """The limits of a site."""

    max_array: int
    partitions: dict[str, Partition]
    default_partition: str | None
    accounting: bool
    nodes: set[str] = field(default_factory=set)


# The limits of a machine without SLURM, for `submit --dry-run`; the array is that of a new SLURM.
NO_SITE = Site(max_array=1000, partitions={}, default_partition=None, accounting=False)


def command(
    *words: str,
    wait_s: float = 0.0,
    report: Callable[[str], None] | None = None,
    timeout_s: float = ANSWER_S,
) -> str:
    """Run a SLURM command and return its output.

    While the controller does not answer, the command is repeated for `wait_s`. One call may take
    `timeout_s`.

    Raises:
        ControllerDownError: The controller did not answer in that time.
        SlurmError: The command does not exist or failed.
    """
    end = time.monotonic() + wait_s
    environment = os.environ | {"SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "standard"}
    while True:
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, env=environment, check=False,
                timeout=timeout_s,
            )  # fmt: skip
        except FileNotFoundError:
            raise _missing(words[0]) from None
        except subprocess.TimeoutExpired:
            failed = f"no answer in {timeout_s:g} s"
        else:
            if done.returncode == 0:
                return done.stdout
            failed = (done.stderr or done.stdout).strip()
            if not _is_down(failed):
                raise SlurmError(f"{words[0]} failed: {failed}")
        if time.monotonic() >= end:
            raise ControllerDownError(
                f"SLURM's controller does not answer ({failed.splitlines()[-1]}). Nothing is lost; "
                "run the command again later"
            )
        if report:
            report("SLURM's controller does not answer; waiting")
        time.sleep(min(5.0, max(0.1, end - time.monotonic())))


def _missing(name: str) -> NoSlurmError:
    return NoSlurmError(
        f"the command {name!r} is not on PATH, so this machine cannot use SLURM. Use a login node "
        "of the cluster, or `sarbench run`, which needs no SLURM"
    )


def _is_down(message: str) -> bool:
    signs = (
        "Unable to contact slurm controller", "Connection refused", "Socket timed out",
        "Transport endpoint", "Zero Bytes were transmitted", "Connection timed out",
    )  # fmt: skip
    return any(sign in message for sign in signs)


def queue(jobs: Iterable[str] | None) -> dict[str, QueuedJob]:
    """Return the jobs of the queue by id, in one query: the given ones, or all.

    SLURM lists finished jobs for some minutes, in their last state.
    """
    words = ["squeue", "--noheader", "--array", "--states=all", "-o", "%i|%T|%r|%N|%M|%k"]
    if jobs is not None:
        ids = sorted({job.split("_")[0] for job in jobs})
        if not ids:
            return {}
        if len(ids) == 1:
            ids.append("1")  # squeue fails for a single unknown id, and skips one among several
        words.append("--jobs=" + ",".join(ids))
    try:
        text = command(*words)
    except SlurmError as error:
        if "Invalid job id" in str(error):
            return {}
        raise
    found = {}
    for line in text.splitlines():
        fields = line.split("|", 5)
        found[fields[0]] = QueuedJob(*fields, *[""] * (6 - len(fields)))
    return found


def accounted(jobs: Iterable[str]) -> dict[str, QueuedJob]:
    """Return the last state of jobs that left the queue; empty without accounting."""
    ids = sorted({job.split("_")[0] for job in jobs})
    if not ids:
        return {}
    words = ["sacct", "--noheader", "--parsable2", "--allocations", "--array",
             "--format=JobID,State,NodeList,Elapsed", "--jobs=" + ",".join(ids)]  # fmt: skip
    try:
        text = command(*words)
    except SlurmError:
        return {}
    found = {}
    for line in text.splitlines():
        job, state, node, elapsed = line.split("|")[:4]
        found[job] = QueuedJob(job, state.split()[0] if state else "", "", node, elapsed, "")
    return found


def count_submitted() -> int:
    """Return the number of jobs of this user in the queue; each element of an array is a job."""
    words = "squeue", "--noheader", "--array", f"--user={os.getuid()}", "-o", "%i"
    return len(command(*words, wait_s=30.0).split())


def read_site(
    report: Callable[[str], None] | None = None, wait_s: float = 90.0, timeout_s: float = ANSWER_S
) -> Site:
    """Return the limits of this site.

    Args:
        report: Called with a message while the controller does not answer.
        wait_s: Time to repeat a command while the controller does not answer.
        timeout_s: Time limit of one command.

    Raises:
        SlurmError: SLURM is missing, or its controller does not answer.
    """
    for name in ("sbatch", "srun"):  # submitit calls them
        if which(name) is None:
            raise _missing(name)

    def ask(*words: str) -> str:
        return command(*words, wait_s=wait_s, report=report, timeout_s=timeout_s)

    config = ask("scontrol", "show", "config")
    settings = dict(re.findall(r"^(\S+)\s*=\s*(.*?)\s*$", config, re.MULTILINE))
    nodes, memory = set[str](), dict[str, float]()
    for line in ask("sinfo", "--noheader", "--Node", "-o", "%N|%R|%m").splitlines():
        node, partition, megabytes = line.split("|")
        nodes.add(node)
        memory[partition] = max(memory.get(partition, 0.0), float(megabytes.rstrip("+")) / 1024)
    partitions, default = {}, None
    for name, values in partition_values(ask).items():
        limit = minutes(values.get("MaxTime", "UNLIMITED"))
        partitions[name] = Partition(name, limit, memory.get(name))
        default = name if values.get("Default") == "YES" else default
    return Site(
        max_array=max(1, int(settings.get("MaxArraySize", "1001")) - 1),
        partitions=partitions,
        default_partition=default,
        accounting="slurmdbd" in settings.get("AccountingStorageType", ""),
        nodes=nodes,
    )


def partition_values(ask: Callable[..., str]) -> dict[str, dict[str, str]]:
    """Return what `scontrol` says of each partition, by name; `ask` is `command`."""
    lines = ask("scontrol", "show", "partition", "--oneliner").splitlines()
    found = (dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines)
    return {values["PartitionName"]: values for values in found if "PartitionName" in values}


def minutes(text: str) -> float:
    """Convert a time of SLURM, `[days-]hours:minutes:seconds`, to minutes."""
    if text in ("UNLIMITED", "INFINITE", "NONE", "Partition_Limit"):
        return float("inf")
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minute, second = ([0] * (3 - len(parts)) + parts)[:3]
    return int(days or 0) * 1440 + hours * 60 + minute + second / 60


def cancel(jobs: Iterable[str]) -> None:
    """Cancel jobs in one call."""
    if ids := sorted(set(jobs)):
        command("scancel", *ids, wait_s=30.0)
