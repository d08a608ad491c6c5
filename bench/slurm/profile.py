"""A profile: a TOML file with the resources and options of jobs at a site.

It is about execution only. Nothing in it changes a number or a key.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ..identity import KINDS, Kind, Resources
from ..suggest import unknown
from ..toml_file import Section, parse, read_toml
from .commands import Site


class ProfileError(ValueError):
    """A profile that is wrong, or that this site would refuse."""


class Allocation(Section):
    """The resources of one job; fields that a stage does not give are those of the top level."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: list[str] | None = Field(default=None, description="nodes never to be used")
    nodes: int | None = Field(default=None, ge=1)
    gpus: int | None = Field(
        default=None, ge=0, description="per node; a pretraining uses all of them"
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
TIME_MIN: dict[Kind, int] = {"pretrain": 24 * 60, "evaluate": 4 * 60}


class Profile(Allocation):
    """A whole profile file."""

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: the GPU if `gpus` is 1 or more
    threads: int = Field(default=1, ge=1, description="per process")
    signal_s: int = Field(
        default=120, ge=10, description="seconds before the time limit at which a job saves"
    )
    requeues: int = Field(
        default=20, ge=0, description="restarts of a job before it counts as failed"
    )
    pack_min: float = Field(
        default=30.0, gt=0, description="estimated minutes of the runs in a job"
    )
    checkpoint_s: float = Field(default=120.0, gt=0, description="seconds between two checkpoints")
    pretrain: Allocation = Allocation()
    evaluate: Allocation = Allocation()

    def allocation(self, stage: Kind) -> Allocation:
        """Return the resources of a job of this stage; None where the site decides."""
        merged = {**DEFAULTS.model_dump(), "time_min": TIME_MIN[stage]}
        own: Allocation = getattr(self, stage)
        for level in (self, own):
            for name in Allocation.model_fields:
                if (value := getattr(level, name)) is not None:
                    merged[name] = value
        if stage == "evaluate":
            merged |= {"nodes": 1, "processes": 1, "gpus": min(merged["gpus"], own.gpus or 1)}
        merged["processes"] = merged["processes"] or max(1, merged["gpus"])
        return Allocation(**merged)

    def resources(self, stage: Kind) -> Resources:
        """Return the resources of one process of this stage."""
        gpus = self.allocation(stage).gpus
        device = ("cuda" if gpus else "cpu") if self.device == "auto" else self.device
        index = ":0" if device == "cuda" else ""
        return Resources(device + index, threads=self.threads, checkpoint_s=self.checkpoint_s)


def read_profile(path: Path) -> Profile:
    """Read a profile file.

    Raises:
        ProfileError: The file is missing, is not TOML, or has unknown keys or wrong values; the
            message lists every problem.
    """
    try:
        return read_toml(path, Profile, ProfileError)
    except FileNotFoundError:
        raise ProfileError(
            f"the profile {path} does not exist; bench/README.md has examples"
        ) from None


def parse_profile(data: dict[str, Any], where: str) -> Profile:
    """Check values against a profile; `where` names their file in messages."""
    return parse(data, Profile, ProfileError, where)


def check_site(profile: Profile, site: Site) -> None:
    """Check a profile against the limits of a site.

    Raises:
        ProfileError: The partition is unknown, or its time limit is shorter than `time_min`.
    """
    for stage in KINDS:
        allocation = profile.allocation(stage)
        names = str(allocation.partition or site.default_partition)
        for name in names.split(","):  # SLURM uses the first one that is free
            if name not in site.partitions:
                raise ProfileError(
                    f"{stage}: " + unknown("partition of this site", name, site.partitions)
                )
        allowed = max(site.partitions[name].max_time_min for name in names.split(","))
        if (allocation.time_min or 0) > allowed:
            raise ProfileError(
                f"{stage}: time_min = {allocation.time_min}, but the partition {names} allows at "
                f"most {allowed:.0f} minutes. Give a shorter time: jobs save their state and are "
                "requeued"
            )
