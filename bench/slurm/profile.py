"""A profile: a TOML file with the resources and options of jobs at a site.

It is about execution only. Nothing in it changes a number or a key.
"""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ..identity import KINDS, Kind, Resources
from ..pretraining.batch_share import batch_share
from ..suggest import unknown
from ..toml_file import Section, parse, read_toml
from .commands import Site
from .sbatch_options import checked, gpus_in_gres


class ProfileError(ValueError):
    """A profile that is wrong, or that this site would refuse."""


def _joined(value: Any) -> Any:
    """Return the names of partitions as sbatch takes them, with commas."""
    names = value if isinstance(value, list) else [value]
    if names and all(isinstance(one, str) and one.strip() for one in names):
        return ",".join(names) if isinstance(value, list) else value
    raise ValueError("give the name of a partition or a list of names")


def _shell_words(text: str) -> str:
    """Check that a shell can read a text as words."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"a shell cannot read it ({error}); give a command in one line") from None
    if not words or "\n" in text:
        raise ValueError("give a command in one line, such as 'apptainer exec --nv image.sif'")
    return text


class Allocation(Section):
    """The resources of one job; fields that a stage does not give are those of the top level."""

    partition: Annotated[str, BeforeValidator(_joined)] | None = Field(
        default=None, description="a name, or a list of names of which SLURM takes the first free"
    )
    account: str | None = Field(default=None, description="as in sbatch")
    qos: str | None = Field(default=None, description="as in sbatch")
    constraint: str | None = Field(default=None, description="as in sbatch: features of nodes")
    exclude: list[str] | None = Field(default=None, description="nodes never to be used")
    nodes: int | None = Field(
        default=None,
        ge=1,
        description="nodes of one pretraining, which share its batches; a job of runs has one node",
    )
    gpus: int | None = Field(
        default=None,
        ge=0,
        description="per node; a pretraining uses all of them, a job of runs one, unless "
        "[evaluate] gives gpus",
    )
    gpu: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="the name of a type of GPU, as `sinfo -o %G` shows it (a100)",
    )
    processes: int | None = Field(
        default=None, ge=1, description="per node, of one pretraining; default: one per GPU"
    )
    cpus: int | None = Field(default=None, ge=1, description="per process")
    memory_gb: float | None = Field(default=None, ge=0, description="per node; 0: all of it")
    time_min: int | None = Field(default=None, ge=1, description="the time limit of one job")
    setup: list[str] | None = Field(
        default=None, description="shell lines before the job; they must not change PYTHONPATH"
    )
    throttle: int | None = Field(
        default=None, ge=1, description="jobs of one array that run at once"
    )
    sbatch: Annotated[dict[str, Any], BeforeValidator(checked)] | None = Field(
        default=None,
        description='further options of sbatch by their long names: {reservation = "sar"}',
    )

    @property
    def memory(self) -> str:
        """The memory as sbatch and srun take it."""
        return f"{int((self.memory_gb or 0) * 1024)}MB" if self.memory_gb else "0"

    @property
    def gpus_per_node(self) -> str | None:
        """The GPUs as sbatch and srun take them; None without, or if `gres` asks for them."""
        if not self.gpus or gpus_in_gres(self.sbatch or {}) is not None:
            return None
        return f"{self.gpu}:{self.gpus}" if self.gpu else str(self.gpus)


DEFAULTS = Allocation(nodes=1, gpus=1, cpus=4, memory_gb=16, setup=[], throttle=64)
TIME_MIN: dict[Kind, int] = {"pretrain": 24 * 60, "evaluate": 4 * 60}


class Profile(Allocation):
    """A whole profile file."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: the GPU if `gpus` is 1 or more"
    )
    threads: int = Field(
        default=1,
        ge=1,
        description="CPU threads of torch in each process; more than `cpus` only slows it down",
    )
    signal_s: int = Field(
        default=120, ge=10, description="seconds before the time limit at which a job saves"
    )
    launcher: Annotated[str, AfterValidator(_shell_words)] | None = Field(
        default=None,
        description="words of a shell before the python of a job: apptainer exec --nv image.sif",
    )
    python: str | None = Field(
        default=None,
        min_length=1,
        description="the interpreter that a job runs, with `launcher` that of the image; default: "
        "the one that runs `submit`",
    )
    requeue: bool = Field(
        default=True,
        description="false: the site does not requeue jobs; a job that must stop saves and ends, "
        "and `submit` resumes it",
    )
    requeues: int = Field(
        default=20, ge=0, description="restarts of a job before it counts as failed"
    )
    max_submitted: int | None = Field(
        default=None,
        ge=1,
        description="jobs that a user may have in the queue, each element of an array counted; the "
        "next `submit` takes those that do not fit",
    )
    retry_factor: float = Field(
        default=1.5, gt=1, description="`retry` asks for so many times the memory or time"
    )
    max_memory_gb: float | None = Field(
        default=None, gt=0, description="per node, for `retry`; default: the nodes of the partition"
    )
    max_time_min: int | None = Field(
        default=None, ge=1, description="for `retry`; default: the limit of the partition"
    )
    pack_min: float = Field(
        default=30.0, gt=0, description="estimated minutes of the runs in a job"
    )
    runs_per_gpu: int = Field(
        default=1, ge=1, description="runs at once on each GPU of a job, or on its CPUs without one"
    )
    checkpoint_s: float = Field(default=120.0, gt=0, description="seconds between two checkpoints")
    pretrain: Allocation = Allocation()
    evaluate: Allocation = Allocation()

    def command(self, python: str) -> str:
        """Return the shell words that start the python of a job; `python` is the default."""
        own = shlex.quote(self.python or python)
        return f"{self.launcher} {own}" if self.launcher else own

    def allocation(self, stage: Kind) -> Allocation:
        """Return the resources of a job of this stage; None where the site decides."""
        merged = {**DEFAULTS.model_dump(), "time_min": TIME_MIN[stage]}
        own: Allocation = getattr(self, stage)
        for level in (self, own):
            for name in Allocation.model_fields:
                if (value := getattr(level, name)) is not None:
                    merged[name] = value
        merged["sbatch"] = {**(self.sbatch or {}), **(own.sbatch or {})}
        if stage == "evaluate":
            gpus = min(merged["gpus"], own.gpus or 1)
            cpus = merged["cpus"] * max(1, gpus) * self.runs_per_gpu
            merged |= {"nodes": 1, "processes": 1, "gpus": gpus, "cpus": cpus}
        merged["processes"] = merged["processes"] or max(1, merged["gpus"])
        return Allocation(**merged)

    def workers(self, stage: Kind) -> int:
        """Return the number of runs that a job does at once; a pretraining is one."""
        gpus = self.allocation(stage).gpus or 1
        return gpus * self.runs_per_gpu if stage == "evaluate" else 1

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
        return _with_equal_gpus(read_toml(path, Profile, ProfileError), str(path))
    except FileNotFoundError:
        raise ProfileError(
            f"the profile {path} does not exist; docs/cluster.md has examples"
        ) from None


def parse_profile(data: dict[str, Any], where: str) -> Profile:
    """Check values against a profile; `where` names their file in messages."""
    return _with_equal_gpus(parse(data, Profile, ProfileError, where), where)


def _with_equal_gpus(profile: Profile, where: str) -> Profile:
    """Check that `gres` and `gpus` ask for the same number of GPUs."""
    for stage in KINDS:
        allocation = profile.allocation(stage)
        asked = gpus_in_gres(allocation.sbatch or {})
        if asked not in (None, allocation.gpus):
            raise ProfileError(
                f"{where}: {stage}: sbatch.gres asks for {asked} GPUs per node, but gpus is "
                f"{allocation.gpus} (a job of runs has one, unless [evaluate] gives gpus); make "
                f"them equal, with gres under [{stage}.sbatch] or gpus under [{stage}]"
            )
    return profile


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


def check_batches(profile: Profile, batches: Iterable[int]) -> None:
    """Check that the processes of a pretraining divide each of these batches evenly.

    Raises:
        BatchShareError: They do not.
    """
    allocation = profile.allocation("pretrain")
    for batch in batches:
        batch_share(batch, (allocation.nodes or 1) * (allocation.processes or 1))
