"""A profile: how the jobs of a site are asked for; a TOML file, strictly read.

Nothing in it changes a number: it is execution only and enters no key.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..identity import Resources
from ..suggest import unknown
from ..toml_file import Section, parse, read_toml
from .commands import Site

Stage = Literal["pretrain", "evaluate"]


class ProfileError(ValueError):
    """A profile that cannot be used as it is written, or not at this site."""


class Allocation(Section):
    """What one job is given; what a stage leaves out is taken from the profile's top level."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: list[str] | None = Field(default=None, description="nodes never to be used")
    nodes: int | None = Field(default=None, ge=1)
    gpus: int | None = Field(
        default=None, ge=0, description="per node; a pretraining uses them all"
    )
    processes: int | None = Field(
        default=None, ge=1, description="per node, of one pretraining; default: one per GPU"
    )
    cpus: int | None = Field(default=None, ge=1, description="per process")
    memory_gb: float | None = Field(default=None, gt=0, description="per node")
    time_min: int | None = Field(default=None, ge=1, description="the time limit of one job")
    setup: list[str] | None = Field(default=None, description="shell lines before the job")
    throttle: int | None = Field(
        default=None, ge=1, description="jobs of one array that run at once"
    )


DEFAULTS = Allocation(nodes=1, gpus=1, cpus=4, memory_gb=16, setup=[], throttle=64)
TIME_MIN: dict[Stage, int] = {"pretrain": 24 * 60, "evaluate": 4 * 60}


class Profile(Allocation):
    """A whole profile file."""

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: the GPU where one is asked for
    threads: int = Field(
        default=1, ge=1, description="of one process; set by us, so that sums agree"
    )
    signal_s: int = Field(default=120, ge=10, description="how long before its limit a job is told")
    requeues: int = Field(
        default=20, ge=0, description="restarts of one job before it counts as failed"
    )
    pack_min: float = Field(
        default=30.0, gt=0, description="estimated minutes of the runs of one job"
    )
    checkpoint_s: float = Field(default=120.0, gt=0, description="seconds between two checkpoints")
    pretrain: Allocation = Allocation()
    evaluate: Allocation = Allocation()

    def allocation(self, stage: Stage) -> Allocation:
        """Return what a job of this stage is given, nothing left out but what the site decides."""
        asked = {**DEFAULTS.model_dump(), "time_min": TIME_MIN[stage]}
        own: Allocation = getattr(self, stage)
        for level in (self, own):
            for name in Allocation.model_fields:
                if (value := getattr(level, name)) is not None:
                    asked[name] = value
        if stage == "evaluate":
            asked |= {"nodes": 1, "processes": 1, "gpus": min(asked["gpus"], own.gpus or 1)}
        asked["processes"] = asked["processes"] or max(1, asked["gpus"])
        return Allocation(**asked)

    def resources(self, stage: Stage) -> Resources:
        """Return the resources of one process of this stage."""
        gpus = self.allocation(stage).gpus
        device = ("cuda" if gpus else "cpu") if self.device == "auto" else self.device
        index = ":0" if device == "cuda" else ""
        return Resources(device + index, threads=self.threads, checkpoint_s=self.checkpoint_s)


def read_profile(path: Path) -> Profile:
    """Read a profile file.

    Raises:
        ProfileError: Not there, not TOML, an unknown key, a wrong value; every problem is listed.
    """
    try:
        return read_toml(path, Profile, ProfileError)
    except FileNotFoundError:
        raise ProfileError(f"no profile {path}; bench/README.md shows examples") from None


def parse_profile(data: dict[str, Any], where: str) -> Profile:
    """Return the profile of JSON values; `where` names their file in messages."""
    return parse(data, Profile, ProfileError, where)


def check_site(profile: Profile, site: Site) -> None:
    """Refuse a profile that the site would refuse, or let wait for ever.

    Raises:
        ProfileError: An unknown partition, or a time limit above the partition's.
    """
    for stage in ("pretrain", "evaluate"):
        asked = profile.allocation(stage)
        names = str(asked.partition or site.default_partition)
        for name in names.split(","):  # SLURM takes the first of them that is free
            if name not in site.partitions:
                raise ProfileError(
                    f"{stage}: " + unknown("partition of this site", name, site.partitions)
                )
        allowed = max(site.partitions[name].max_time_min for name in names.split(","))
        if (asked.time_min or 0) > allowed:
            raise ProfileError(
                f"{stage}: time_min = {asked.time_min}, partition {names} allows at most "
                f"{allowed:.0f} minutes; jobs save and are requeued, so a shorter limit loses "
                "nothing"
            )
