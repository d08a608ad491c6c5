"""Progress of a pretraining, readable from another process or machine."""

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from ..identity import Pretraining
from .atomic import write_atomic
from .provenance import host

PROGRESS_FILE = "progress.json"
LEASE = "running.lease"  # its holder renews it every few seconds (`leases.py`)
FRESH_S = 120.0  # the largest age of a progress file of a running process
CHECKPOINT = re.compile(r"checkpoint-(\d+)-([0-9a-f]{16})\.pt")


@dataclass(frozen=True)
class Progress:
    """Steps, loss and speed of a pretraining.

    Attributes:
        step: Number of finished steps.
        steps: Number of all steps.
        batch: Chips per step.
        loss: Loss of the last step.
        images_per_s: Speed since this process started; 0 before its first step.
        collapsed: The first step at which the features had collapsed; None if they have not.
    """

    step: int
    steps: int
    batch: int
    loss: float = 0.0
    images_per_s: float = 0.0
    collapsed: int | None = None

    def __str__(self) -> str:
        """Return the step in words, and a collapse."""
        collapse = f", features collapsed at step {self.collapsed}" if self.collapsed else ""
        return f"step {self.step} of {self.steps}{collapse}"

    @property
    def left_s(self) -> float:
        """Remaining seconds at the present speed."""
        return (self.steps - self.step) * self.batch / max(self.images_per_s, 1e-9)


@dataclass(frozen=True)
class Running:
    """A pretraining that a process is training."""

    progress: Progress
    host: str


def write_progress(folder: Path, progress: Progress) -> None:
    """Write the progress of this process."""
    value = vars(progress) | {"host": host(), "pid": os.getpid()}
    write_atomic(folder / PROGRESS_FILE, json.dumps(value))


def read_progress(folder: Path) -> Running | None:
    """Return the progress of a pretraining, or None if no process is training it.

    The file is read once, because another process may replace or remove it at any moment.
    """
    try:
        with (folder / PROGRESS_FILE).open() as file:
            age_s = time.time() - os.fstat(file.fileno()).st_mtime
            value = json.load(file)
        known = {name: value[name] for name in Progress.__dataclass_fields__ if name in value}
        running = Running(Progress(**known), value["host"])
        here = running.host == host() and "pid" in value
        alive = age_s < FRESH_S and (not here or _is_alive(value["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return running if alive else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        pass
    return True


def last_checkpoint(folder: Path) -> int:
    """Return the step of the newest checkpoint, 0 if there is none."""
    found = [CHECKPOINT.fullmatch(path.name) for path in folder.glob("checkpoint-*.pt")]
    return max((int(match[1]) for match in found if match), default=0)


def steps_of(identity: Pretraining) -> int:
    """Return the number of steps of a pretraining, 0 for a method that learns nothing."""
    if identity.recipe is None:
        return 0
    every = round(identity.pool_count // identity.recipe["batch"] * identity.recipe["epochs"])
    return steps_at(identity.at, every)


def steps_at(at: float | None, every: int) -> int:
    """Return the number of steps after which a training of `every` steps ends."""
    return every if at is None else round(at * every)
