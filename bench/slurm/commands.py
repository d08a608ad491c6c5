"""What is asked of SLURM's own commands: the queue, the accounting, the site's limits."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from shutil import which

ANSWER_S = 60.0  # how long one command may take


class SlurmError(OSError):
    """SLURM is not here, does not answer, or refuses; with its own words."""

    exit_status = 1


class ControllerDownError(SlurmError):
    """The controller does not answer at present."""


@dataclass(frozen=True)
class QueuedJob:
    """One job of the queue, an array element by itself."""

    job: str  # `17` or `17_3`
    state: str
    reason: str
    node: str
    elapsed: str
    comment: str

    @property
    def live(self) -> bool:
        """Whether it runs, or may still run."""
        waits_for_ever = self.reason == "DependencyNeverSatisfied"
        return self.state in LIVE and not waits_for_ever

    @property
    def runs(self) -> bool:
        """Whether it runs now."""
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
    """What a site allows in a partition."""

    name: str
    max_time_min: float  # infinite where there is no limit


@dataclass(frozen=True)
class Site:
    """The limits that a submission has to keep."""

    max_array: int
    partitions: dict[str, Partition]
    default_partition: str | None
    accounting: bool
    nodes: set[str] = field(default_factory=set)


def command(
    *words: str,
    wait_s: float = 0.0,
    tell: Callable[[str], None] | None = None,
    patience_s: float = ANSWER_S,
) -> str:
    """Return what a SLURM command prints; ask again for `wait_s` while the controller is down.

    One call of the command may take `patience_s`.

    Raises:
        ControllerDownError: It did not answer in that time.
        SlurmError: The command is not there, or failed otherwise.
    """
    end = time.monotonic() + wait_s
    environment = os.environ | {"SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "standard"}
    while True:
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, env=environment, check=False,
                timeout=patience_s,
            )  # fmt: skip
        except FileNotFoundError:
            raise _not_here(words[0]) from None
        except subprocess.TimeoutExpired:
            failed = f"no answer in {patience_s:.0f} s"
        else:
            if done.returncode == 0:
                return done.stdout
            failed = (done.stderr or done.stdout).strip()
            if not _is_down(failed):
                raise SlurmError(f"{words[0]} failed: {failed}")
        if time.monotonic() >= end:
            raise ControllerDownError(
                f"SLURM's controller does not answer ({failed.splitlines()[-1]}); "
                "nothing is lost, try again later"
            )
        if tell:
            tell("SLURM's controller does not answer; waiting")
        time.sleep(min(5.0, max(0.1, end - time.monotonic())))


def _not_here(name: str) -> SlurmError:
    return SlurmError(
        f"the command {name!r} is not on PATH: this machine cannot submit to SLURM; "
        "`sarbench run` works without"
    )


def _is_down(message: str) -> bool:
    signs = (
        "Unable to contact slurm controller", "Connection refused", "Socket timed out",
        "Transport endpoint", "Zero Bytes were transmitted", "Connection timed out",
    )  # fmt: skip
    return any(sign in message for sign in signs)


def queue(jobs: Iterable[str] | None = None) -> dict[str, QueuedJob]:
    """Return the jobs of the queue by id, in one query; `jobs` are those of interest, None all.

    Finished jobs are in it for some minutes, in their last state.
    """
    words = ["squeue", "--noheader", "--array", "--states=all", "-o", "%i|%T|%r|%N|%M|%k"]
    if jobs is not None:
        ids = sorted({job.split("_")[0] for job in jobs})
        if not ids:
            return {}
        # a single unknown id is an error, one of several is left out
        words.append("--jobs=" + ",".join([*ids, *(["1"] if len(ids) == 1 else [])]))
    try:
        text = command(*words)
    except ControllerDownError:
        raise
    except SlurmError as error:
        if "Invalid job id" in str(error):
            return {}
        raise
    found = {}
    for line in text.splitlines():
        job, state, reason, node, elapsed, comment = (line.split("|", 5) + [""] * 6)[:6]
        found[job] = QueuedJob(job, state, reason, node, elapsed, comment)
    return found


def accounted(jobs: Iterable[str]) -> dict[str, QueuedJob]:
    """Return the last state of jobs that left the queue; nothing where there is no accounting."""
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


def read_site(tell: Callable[[str], None] | None = None, wait_s: float = 90.0) -> Site:
    """Return the limits of this site.

    Raises:
        SlurmError: There is no SLURM, or its controller does not answer.
    """
    for name in ("sbatch", "srun"):  # which submitit calls
        if which(name) is None:
            raise _not_here(name)
    config = command("scontrol", "show", "config", wait_s=wait_s, tell=tell)
    settings = dict(re.findall(r"^(\S+)\s*=\s*(.*?)\s*$", config, re.MULTILINE))
    listing = command("scontrol", "show", "partition", "--oneliner", wait_s=wait_s, tell=tell)
    partitions, default = {}, None
    for line in listing.splitlines():
        values = dict(part.split("=", 1) for part in line.split() if "=" in part)
        if "PartitionName" in values:
            name = values["PartitionName"]
            partitions[name] = Partition(name, minutes(values.get("MaxTime", "UNLIMITED")))
            default = name if values.get("Default") == "YES" else default
    storage = settings.get("AccountingStorageType", "")
    return Site(
        max_array=max(1, int(settings.get("MaxArraySize", "1001")) - 1),
        partitions=partitions,
        default_partition=default,
        accounting="slurmdbd" in storage,
        nodes=set(command("sinfo", "--noheader", "--Node", "-o", "%N").split()),
    )


def minutes(text: str) -> float:
    """Return a time of SLURM, `[days-]hours:minutes:seconds`, in minutes."""
    if text in ("UNLIMITED", "INFINITE", "NONE", "Partition_Limit"):
        return float("inf")
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minute, second = ([0] * (3 - len(parts)) + parts)[:3]
    return int(days or 0) * 1440 + hours * 60 + minute + second / 60


def cancel(jobs: Iterable[str]) -> None:
    """Cancel jobs, in one call."""
    if ids := sorted(set(jobs)):
        command("scancel", *ids, wait_s=30.0)
