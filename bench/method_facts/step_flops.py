"""Operations of a training step per chip, cached in the store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...methods import _registry
from ...results.record import digest_json
from ..identity import Pretraining
from .method_info import cache_folder, code_digest, keep, read_cached


@dataclass(frozen=True)
class StepFlops:
    """GFLOP of one chip in one step, forward and backward."""

    gflop: float


def step_gflop(identity: Pretraining, folder: Path) -> float:
    """Return the GFLOP of one chip in one training step, as in the record of a pretraining.

    `folder` is the store, which caches it. That of a plug-in is counted in each process.
    """
    path = cache_folder(folder) / f"step-flops-{code_digest()}.json"
    known = read_cached(path, StepFlops)
    key = digest_json(_counted(identity))[:16]
    if key not in known:
        from .architecture import architecture_of  # imports torch

        found = architecture_of(identity).step_gflop or 0.0
        if identity.method not in _registry.own_names():
            return found
        keep(path, known, {key: StepFlops(found)})
        return found
    return known[key].gflop


def _counted(identity: Pretraining) -> list[Any]:
    """Return what the count depends on."""
    batch = (identity.recipe or {}).get("batch")
    classes = sum(member.get("classes", 0) for member in identity.pool)
    return [identity.method, identity.config, identity.encoder, batch, classes]
