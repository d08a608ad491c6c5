"""Results of the references in files, and their differences from ours."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from parity.inputs import chips, sample, weight
from parity.our_joint import VIEWS, joint_outcome, views
from parity.our_methods import IMAGES, Draw, Outcome, build, outcome

FOLDER = Path(__file__).parent / "methods"
# The largest differences allowed, relative to the largest absolute value.
LIMITS = {
    "tokens": 1e-5,
    "predictions": 1e-5,
    "targets": 1e-5,
    "targets in float32": 2e-5,  # SAR-JEPA's code sums up to 630 pixels of a window in float32
    "losses": 1e-5,
    "weights": 1e-5,
    # Its norm, relative to that of the change. AdamW divides a gradient by its own size, so that
    # rounding errors of small gradients grow: SimMIM's change by 1e-6 or 1e-4, as the products are
    # those of our linear layer or torch's.
    "change of weights": 2e-4,
}


def inputs_digest(name: str) -> int:
    """Return a checksum of the chips and the first weights of a method."""
    images = views(name) if name in VIEWS else [chips(IMAGES)]
    digest = 0
    for image in images:
        digest = zlib.crc32(image.numpy().tobytes(), digest)
    for values in build(name)[1].values():
        digest = zlib.crc32(values.detach().numpy().tobytes(), digest)
    return digest


def save(name: str, draws: list[Draw], found: Outcome, folder: Path) -> Path:
    """Write masks and results of a reference; return the file."""
    arrays = {f"masks/{step}/{n}": v for step, draw in enumerate(draws) for n, v in draw.items()}
    arrays |= {f"{kind}/{n}": v for kind, values in found.items() for n, v in values.items()}
    path = folder / f"{name}.npz"
    np.savez_compressed(path, inputs=np.int64(inputs_digest(name)), **arrays)
    return path


def load(path: Path) -> tuple[list[Draw], Outcome, int]:
    """Return the masks of each step, the results, and the checksum of the inputs."""
    draws: dict[int, Draw] = {}
    found: Outcome = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            kind, _, name = key.partition("/")
            if kind == "masks":
                step, _, name = name.partition("/")
                draws.setdefault(int(step), {})[name] = arrays[key]
            elif kind != "inputs":
                found.setdefault(kind, {})[name] = arrays[key]
        return [draws[step] for step in sorted(draws)], found, int(arrays["inputs"])


def largest(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> float:
    """Return the largest difference of all arrays, relative to their largest absolute value.

    Raises:
        ValueError: The two have other names or shapes.
    """
    if {n: v.shape for n, v in ours.items()} != {n: v.shape for n, v in theirs.items()}:
        raise ValueError(f"{sorted(ours)} and {sorted(theirs)} have other names or shapes")
    scale = max(np.abs(values).max(initial=0) for values in theirs.values())
    differ = (np.abs(ours[name] - theirs[name]).max(initial=0) for name in theirs)
    return float(max(differ) / scale)


def trained(name: str, values: np.ndarray) -> np.ndarray:
    """Return the part of a weight with a gradient.

    A bias of keys adds the same number to all logits of a query, so its gradient is 0. AdamW
    divides it by its own size, and the rounding error decides where it goes. The last biases of
    HPM's loss predictor add the same number to all patches, whose differences count.
    """
    if name.endswith(("attn.k.bias", "norm_losspred.bias", "pred_losspred.bias")):
        return values[:0]
    if not name.endswith("qkv.bias"):
        return values
    query, _, value = np.split(values, 3)
    return np.concatenate([query, value])


def differences(name: str, path: Path | None = None) -> dict[str, float]:
    """Return our largest difference from the results in a file for each quantity."""
    draws, theirs, _ = load(path or FOLDER / f"{name}.npz")
    ours = joint_outcome(name, draws) if name in VIEWS else outcome(name, draws)
    for quantity in set(theirs) - set(ours):  # targets in float32
        ours[quantity] = {quantity: ours["targets"]["targets"]}
    for one in (ours, theirs):
        one["weights"] = {n: trained(n, values) for n, values in one["weights"].items()}
    shapes = {n: tuple(value.shape) for n, value in build(name)[1].items()}
    first = {n: trained(n, sample(weight(n.removeprefix("target_"), shapes[n]))) for n in shapes}
    moved, wanted = (
        np.concatenate([values - first[n] for n, values in sorted(one["weights"].items())])
        for one in (ours, theirs)
    )
    found = {quantity: largest(ours[quantity], theirs[quantity]) for quantity in theirs}
    norm = np.linalg.norm
    return found | {"change of weights": float(norm(moved - wanted) / norm(wanted))}
