"""Checkpoints that cannot lie: whole or absent, loaded strictly, damaged ones skipped by name.

A file's name holds the step and the start of its own SHA-256, so a torn or edited file is known
before it is read; it is put in place by rename, and the last two are kept.
"""

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from .progress import CHECKPOINT
from .run import Pretraining
from .store import write_atomic

KEPT = 2


class CheckpointMismatchError(ValueError):
    """Weights that do not belong to what is asked for."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the state after `step` steps and remove all but the last two checkpoints."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    path = folder / f"checkpoint-{step:09d}-{sha256(content).hexdigest()[:16]}.pt"
    write_atomic(path, content)
    for old in _checkpoints(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """Return the newest whole checkpoint, or None; a damaged one is skipped and `warn` told."""
    damaged = False
    for path in _checkpoints(folder):
        content = path.read_bytes()
        match = CHECKPOINT.fullmatch(path.name)
        if match and sha256(content).hexdigest()[:16] == match[2]:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        warn(f"{path} is damaged (its checksum is wrong); it is left out")
        damaged = True
    if damaged:
        warn(f"no checkpoint in {folder} is whole; the pretraining starts from the beginning")
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove every checkpoint, once the record is written."""
    for path in _checkpoints(folder):
        path.unlink(missing_ok=True)


def _checkpoints(folder: Path) -> list[Path]:
    found = (path for path in folder.glob("checkpoint-*.pt") if CHECKPOINT.fullmatch(path.name))
    return sorted(found)[::-1]


def save_encoder(path: Path, encoder: nn.Module, identity: Pretraining) -> str:
    """Write the encoder's weights with what they are; return the SHA-256 of the file."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in encoder.state_dict().items()}
    content = save(
        tensors, metadata={"pretraining": json.dumps(identity.to_json(), sort_keys=True)}
    )
    write_atomic(path, content)
    return sha256(content).hexdigest()


def load_encoder(path: Path, encoder: nn.Module, identity: Pretraining) -> None:
    """Load every weight of an encoder, or none.

    Raises:
        CheckpointMismatchError: The file is torn, holds another pretraining, or its weights do
            not fit the encoder one to one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            saved = (file.metadata() or {}).get("pretraining", "{}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointMismatchError(f"{path} cannot be read: {error}") from error
    if json.loads(saved) != json.loads(json.dumps(identity.to_json())):
        raise CheckpointMismatchError(f"{path} holds {saved}, not pretraining {identity.key[:12]}")
    try:
        encoder.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise CheckpointMismatchError(f"{path}: {error}") from error
