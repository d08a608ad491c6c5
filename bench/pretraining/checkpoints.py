"""Checkpoints to resume from: whole or absent, loaded strictly, skipped where damaged.

A file's name holds the step and the start of its own SHA-256, which shows a torn or edited file.
Files are renamed into place, and the last two are kept.
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
    """Return the newest whole checkpoint, or None; `warn` gets a message for each damaged one."""
    damaged = False
    for path in _checkpoints(folder):
        content = path.read_bytes()
        match = CHECKPOINT.fullmatch(path.name)
        if match and sha256(content).hexdigest()[:16] == match[2]:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        warn(f"{path} is damaged (its checksum is wrong) and skipped")
        damaged = True
    if damaged:
        warn(f"every checkpoint in {folder} is damaged; the pretraining starts from the beginning")
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove every checkpoint, after the record was written."""
    for path in _checkpoints(folder):
        path.unlink(missing_ok=True)


def _checkpoints(folder: Path) -> list[Path]:
    found = (path for path in folder.glob("checkpoint-*.pt") if CHECKPOINT.fullmatch(path.name))
    return sorted(found)[::-1]
