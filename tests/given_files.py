"""Small files of weights for grids with `encoders`."""

from pathlib import Path

import torch

from parity.encoders.drawn import published

EVALUATE = """
[evaluate]
datasets = ["synthetic"]
[evaluate.protocols]
knn = ["all"]
"""


def write_weights(path: Path, name: str = "mae_1", added: float = 0.0) -> Path:
    """Write the checkpoint of a fixture, with a number added to the bias of its last norm."""
    content = published(name)
    weights = content.get("model", content)
    if added:
        weights["norm.bias"] = weights["norm.bias"] + added
    torch.save(content, path)
    return path


def grid_text(encoders: str, more: str = "", evaluate: str = EVALUATE) -> str:
    """Return a grid with given encoders; `more` stands at its top."""
    return f'name = "given"\nencoders = [{encoders}]\n{more}\n{evaluate}'
