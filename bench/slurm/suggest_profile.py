"""A profile suggested for a site, from its partitions, its nodes and past jobs of a store."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from ..identity import KINDS, Kind
from ..store.provenance import host, now
from ..store.records import Store
from . import ledger
from .commands import SlurmError, command, minutes, partition_values
from .profile import DEFAULTS, TIME_MIN, ProfileError

MARGIN = 1.5  # times what past jobs used
ASK_S = 20.0  # time for an answer of the accounting
UP = re.compile(r"idle|mix|alloc|comp|resv|plnd|npc")  # states of nodes that take jobs
GPU = re.compile(r"gpu(?::([A-Za-z0-9_.-]*[A-Za-z][A-Za-z0-9_.-]*))?:(\d+)")


@dataclass
class Place:
    """A partition with its nodes that are up; sizes are those of the smallest."""

    name: str
    default: bool
    max_time_min: float
    exclusive: bool
    nodes: int = 0
    cpus: int = 0
    memory_gb: float = 0.0
    gpus: int = 0
    types: Counter[str] = field(default_factory=Counter)  # of GPUs

    def add(self, cpus: int, memory_gb: float, gres: str) -> None:
        """Count a node."""
        found = GPU.findall(gres)
        gpus = sum(int(count) for _, count in found)
        self.types.update({kind: int(count) for kind, count in found if kind})
        first = not self.nodes
        self.cpus = cpus if first else min(self.cpus, cpus)
        self.memory_gb = memory_gb if first else min(self.memory_gb, memory_gb)
        self.gpus = gpus if first else min(self.gpus, gpus)
        self.nodes += 1

    @property
    def limit(self) -> str:
        """The time limit in words."""
        unlimited = self.max_time_min == float("inf")
        return "no time limit" if unlimited else f"at most {self.max_time_min:.0f} minutes"

    def describe(self) -> str:
        """Return one line about the partition."""
        types = ", ".join(self.types)
        gpus = f", {self.gpus} GPUs{f' ({types})' if types else ''}" if self.gpus else ""
        return (
            f"{self.name}: {self.nodes} {'nodes' if self.nodes > 1 else 'node'} up, with "
            f"{self.cpus} cores, {self.memory_gb:.0f} GB{gpus}"
            f"{' or more' if self.nodes > 1 else ''}; {self.limit}"
            f"{'; whole nodes only' if self.exclusive else ''}"
        )


@dataclass(frozen=True)
class Used:
    """The most that finished jobs of a stage used."""

    jobs: int
    memory_gb: float
    time_min: float


def suggest_profile(path: Path, store: Store) -> str:
    """Write a suggested profile; return a line about it.

    Raises:
        ProfileError: The file exists, or no partition has a node that is up.
        SlurmError: SLURM is missing, or does not answer.
    """
    if path.exists():
        raise ProfileError(
            f"{path} exists, and a suggestion does not replace it; give the name of a new file"
        )
    places = [place for place in read_places() if place.nodes]
    if not places:
        raise ProfileError(
            "no partition of this site has a node that is up (sinfo); a profile is suggested from "
            "such nodes, so try again later or write one as in docs/cluster.md"
        )
    chosen = max(places, key=lambda place: (place.gpus > 0, place.default, place.nodes))
    lines = list(_lines(chosen, places, past_jobs(store), _association()))
    path.write_text("\n".join(lines) + "\n")
    return f"written to {path}, for partition {chosen.name}; read its comments"


def read_places() -> list[Place]:
    """Return the partitions that are up, with their nodes."""
    places = {
        name: Place(
            name, values.get("Default") == "YES", minutes(values.get("MaxTime", "UNLIMITED")),
            values.get("OverSubscribe") == "EXCLUSIVE",
        )
        for name, values in partition_values(command).items()
        if values.get("State", "UP") == "UP"
    }  # fmt: skip
    for line in command("sinfo", "--noheader", "--Node", "-o", "%R|%c|%m|%t|%G").splitlines():
        partition, cpus, megabytes, state, gres = line.split("|", 4)
        usable = UP.match(state) and not state.endswith("*")
        if usable and partition in places:
            places[partition].add(int(cpus.rstrip("+")), float(megabytes.rstrip("+")) / 1024, gres)
    return list(places.values())


def past_jobs(store: Store) -> dict[Kind, Used]:
    """Return what finished jobs of a store used, by stage; empty without an accounting."""
    stages: dict[str, Kind] = {}
    for submission in ledger.read(store, lambda _: None):
        stages |= {one.job_id: one.stage for one in submission.arrays if one.job_id}
    if not stages:
        return {}
    words = "--noheader", "--parsable2", "--units=M", "--format=JobID,State,ElapsedRaw,MaxRSS"
    try:
        text = command("sacct", *words, "--jobs=" + ",".join(stages), timeout_s=ASK_S)
    except SlurmError:
        return {}
    jobs, memory, time = Counter[Kind](), Counter[Kind](), Counter[Kind]()
    for line in text.splitlines():
        job, state, seconds, rss = line.split("|")[:4]
        stage = stages.get(re.split(r"[_.]", job)[0])
        if stage is None or state != "COMPLETED":
            continue
        jobs[stage] += "." not in job
        memory[stage] = max(memory[stage], ceil(float(rss.rstrip("M") or 0)))
        time[stage] = max(time[stage], int(seconds or 0))
    return {one: Used(jobs[one], memory[one] / 1024, time[one] / 60) for one in KINDS if jobs[one]}


def _association() -> dict[str, str]:
    """Return the account of this user and the limit of submitted jobs; empty if unknown."""
    user = os.environ.get("USER", str(os.getuid()))
    words = "sacctmgr", "--noheader", "--parsable2", "show", "user", "withassoc"
    try:
        text = command(
            *words, f"name={user}", "format=DefaultAccount,Account,MaxSubmitJobs", timeout_s=ASK_S
        )
    except SlurmError:
        return {}
    for line in text.splitlines():
        default, account, most = line.split("|")[:3]
        if account == default:
            return {"account": account, "max_submitted": most}
    return {}


def _lines(
    chosen: Place, places: list[Place], past: dict[Kind, Used], association: dict[str, str]
) -> Iterator[str]:
    yield f"# Suggested by `sarbench doctor --suggest-profile` on {host()}, {now()[:10]}."
    yield "# Each value says where it comes from. Add what the site asks for: qos, setup, launcher."
    yield "# Partitions that are up (scontrol show partition, sinfo):"
    yield from (f"#   {place.describe()}" for place in places)
    why = "GPUs" if chosen.gpus else "no partition has GPUs"
    default = ", the default" if chosen.default else ""
    yield f'partition = "{chosen.name}"  # {why}{default}'
    if account := association.get("account"):
        yield f'account = "{account}"  # sacctmgr: your default account'
    yield f"gpus = {min(1, chosen.gpus)}  # sinfo: {chosen.gpus} on each node"
    if len(chosen.types) > 1:
        common = chosen.types.most_common(1)[0][0]
        yield f'# gpu = "{common}"  # sinfo: the partition has {", ".join(chosen.types)}'
    share = chosen.cpus // chosen.gpus if chosen.gpus else 1
    cpus = max(1, min(DEFAULTS.cpus or 1, share))
    of_gpu = f"sinfo: a GPU's share of {chosen.cpus} cores, at most {DEFAULTS.cpus}"
    yield f"cpus = {cpus}  # {of_gpu if chosen.gpus else 'a job computes with one core'}"
    if (most := association.get("max_submitted", "")).isdigit():
        yield f"max_submitted = {most}  # sacctmgr: MaxSubmitJobs of your account"
    if chosen.exclusive:
        yield "# Jobs get whole nodes here; gpus under [pretrain] lets a pretraining use all GPUs."
    for stage in KINDS:
        yield ""
        yield f"[{stage}]"
        yield from _stage_lines(chosen, stage, past.get(stage))


def _stage_lines(chosen: Place, stage: Kind, used: Used | None) -> Iterator[str]:
    """Yield memory and time of a stage, each with its source."""
    of_past = f"sacct: {used.jobs} finished jobs used at most" if used else ""
    most_gb = chosen.memory_gb
    if used and used.memory_gb:
        wanted = max(2, ceil(MARGIN * used.memory_gb))
        source = f"{of_past} {used.memory_gb:.1f} GB, times {MARGIN:g}"
    else:
        share = chosen.memory_gb / chosen.gpus if chosen.gpus else chosen.memory_gb
        wanted, source = int(min(DEFAULTS.memory_gb or 16, share)), "our default"
        if wanted < (DEFAULTS.memory_gb or 16):
            part = "a GPU's share of the" if chosen.gpus else "the"
            source = f"sinfo: {part} {chosen.memory_gb:.0f} GB of a node"
    yield f"memory_gb = {max(1, min(wanted, int(most_gb)))}  # {source}"
    if used:
        time, source = 10 * ceil(MARGIN * used.time_min / 10), f"{of_past} {used.time_min:.0f} min"
        source = f"{source}, times {MARGIN:g}"
    else:
        time, source = TIME_MIN[stage], "our default"
    if time > chosen.max_time_min:
        time, source = int(chosen.max_time_min), "scontrol: the limit of the partition"
    yield f"time_min = {max(1, time)}  # {source}"
