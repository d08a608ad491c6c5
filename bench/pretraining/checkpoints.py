"""Checkpoints that cannot lie: whole or absent, loaded strictly, damaged ones skipped by name.

A file's name holds the step and the start of its own SHA-256, so a torn or edited file is known
before it is read; it is put in place by rename, and the last two are kept.
"""

import io
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from ..store.atomic import write_atomic
from ..store.progress import CHECKPOINT

KEPT = 2


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
