"""Measured core-seconds of a training step per chip, one file per method and settings.

A budget in core-seconds solves for the epochs of each method from them. They are part of the store
and are written once, so that the keys of its pretrainings stay the same.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ...results.record import Strict, digest_json
from ..identity import Pretraining
from .atomic import read_file, write_atomic, write_once
from .records import Store

FOLDER = "core_seconds"
STEP_FIELDS = ("method", "method_version", "config", "encoder", "precision", "init")


class StepTime(Strict):
    """The time of a training step, from the batch to the moved weights."""

    step: dict[str, Any] = Field(description="the fields of the identity that it depends on")
    seconds: float = Field(ge=1e-9, le=1e6, description="of one chip, on one core")
    chips: int = Field(ge=2, description="in the measured batches")
    host: str
    processor: str
    time: str = Field(description="ISO 8601, UTC")


def step_fields(identity: Pretraining) -> dict[str, Any]:
    """Return the fields of an identity that the time of a step depends on."""
    found = {name: getattr(identity, name) for name in STEP_FIELDS}
    recipe = identity.recipe or {}
    kept = {name: recipe.get(name) for name in ("batch", "optimizer")}
    return found | kept | {"classes": sum(one.get("classes", 0) for one in identity.pool)}


def step_time_file(store: Store, identity: Pretraining) -> Path:
    """Return the file of a step's time; it need not exist."""
    return store.root / FOLDER / f"{digest_json(step_fields(identity))[:16]}.json"


def read_step_time(store: Store, identity: Pretraining) -> StepTime | None:
    """Return the stored time of a step; None if it was not measured, or its file is damaged."""
    try:
        found = StepTime.model_validate_json(read_file(step_time_file(store, identity)))
    except (OSError, ValidationError):
        return None
    return found if found.step == step_fields(identity) else None


def write_step_time(store: Store, identity: Pretraining, measured: StepTime) -> None:
    """Store the time of a step, unless another process was first; replace a damaged file."""
    path, content = step_time_file(store, identity), measured.model_dump_json(indent=1).encode()
    if not write_once(path, content) and read_step_time(store, identity) is None:
        write_atomic(path, content)
