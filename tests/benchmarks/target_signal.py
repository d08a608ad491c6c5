"""Measure how much of a target can be predicted: do neighbouring patches resemble each other?

    python tests/benchmarks/target_signal.py GRID --data DIR

For each masked method of a grid whose target needs no network: the correlation of the values of
patches side by side, in the whole chip and in its central 6 x 6 patches. If neighbours do not
correlate, the target is mostly noise, and a network that sees the other patches can do little
better than the mean.
Chips: every tenth training chip of MSTAR SOC.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sarbench.bench.augmentation.resample import resize
from sarbench.bench.data.prepare import prepare
from sarbench.bench.grid.expand import PlannedPretraining, pretrainings
from sarbench.bench.grid.schema import grid_file, read_grid
from sarbench.bench.identity import from_json
from sarbench.bench.method_facts.method_info import describe
from sarbench.bench.seeding import torch_stream
from sarbench.methods import _registry
from sarbench.methods._encoders import encoder_named
from sarbench.methods._masked import MaskedPrediction

CENTRE = 6  # patches
DRAWS = 4  # of the mask; a draw may show some patches only


def target_of(start: PlannedPretraining, chips: Tensor) -> Tensor:
    """Return the target of each patch (B, H, W, P) over some draws of the mask; NaN if unseen."""
    kind = _registry.get(start.method)
    size = encoder_named(start.encoder["name"])
    method = kind(from_json(kind.Config, start.config), size, torch_stream(0, "target_signal"))
    rng = torch_stream(1, "target_signal")
    rows, columns = size.patch_grid
    found = None
    for _ in range(DRAWS):
        made = method.predict(chips, rng)
        if found is None:
            found = torch.full((len(chips), rows * columns, made.target.shape[2]), torch.nan)
        found[made.images[:, None].expand_as(made.patches), made.patches] = made.target
    return found.reshape(len(chips), rows, columns, -1).double()


def correlation(target: Tensor) -> float:
    """Return the correlation of the values of patches side by side."""
    left, right = target[:, :, :-1], target[:, :, 1:]
    seen = left.isfinite() & right.isfinite()
    left, right = left[seen], right[seen]
    return float((left * right).mean() / (left.square().mean() * right.square().mean()).sqrt())


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser()
    parser.add_argument("grid", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    grid = read_grid(grid_file(asked.grid))
    known = describe(grid.method_names(), asked.data)
    print(f"{'method':56}{'chip':>8}{'centre':>11}")
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        found = prepare("mstar_soc", asked.data, Path(folder)).chips
        pixels = torch.from_numpy(found.stack(np.flatnonzero(~found.is_test)[::10]))
        for start in pretrainings(grid, known, lambda name: None):
            kind = _registry.get(start.method)
            masked = issubclass(kind, MaskedPrediction) and kind.target_kind != "features"
            if start.seed != 0 or not masked:
                continue
            target = target_of(start, resize(pixels, start.encoder["input_px"]))
            target -= target.nanmean((0, 1, 2))
            first = (target.shape[1] - CENTRE) // 2
            middle = target[:, first : first + CENTRE, first : first + CENTRE]
            print(f"{start.row[:55]:56}{correlation(target):8.2f}{correlation(middle):11.2f}")


if __name__ == "__main__":
    main()
