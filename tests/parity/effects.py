"""Measure the effect on scores of what other evaluations do to chips, and ours does not.

cd tests && SARBENCH_DATA=FOLDER python -m parity.effects STORE [METHOD ...]

The store holds pretrainings of `vit_nano`, the data folder MSTAR. Training and test chips change
alike. The rows are printed in Markdown for docs/papers.md.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling
from scipy.stats import t
from torch import Tensor, nn

from sarbench.bench.augmentation.resample import resize
from sarbench.bench.data.files import open_source
from sarbench.bench.data.images import centre_crop
from sarbench.bench.data.listing import list_chips
from sarbench.bench.data.packing import pack_entry
from sarbench.bench.data.registry import card
from sarbench.bench.identity import Pretraining, from_json
from sarbench.bench.seeding import torch_stream
from sarbench.bench.store.records import Store
from sarbench.bench.store.weights import load_encoder
from sarbench.methods import get
from sarbench.methods._encoders import encoder_from_json
from sarbench.protocols import knn, linear
from sarbench.protocols._settings import KNN, Linear
from sarbench.protocols._support_sets import support_set
from sarbench.protocols._types import Features, read_out

DATASET, SHOTS, SEEDS = "mstar_soc", 40, 10
CROP_PX = 128
READOUTS = ("patch_mean", "class")  # of knn and of linear
MEAN, DEVIATION = 0.449, 0.226  # ImageNet's, averaged over its three channels
Change = Callable[[np.ndarray, int], Tensor]  # image (H, W) of 8 bit, side -> input (C, px, px)


def by_pillow(image: np.ndarray, px: int, how: Resampling = Resampling.BICUBIC) -> Tensor:
    """Resize as torchvision does with an image of Pillow.

    Rows, then columns are resized, and each result is rounded and clipped to 8 bit.
    """
    resized = Image.fromarray(image).resize((px, px), how)
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255)[None]


def ours(image: np.ndarray, px: int) -> Tensor:
    """Crop to 128 px, divide by 255, resize."""
    chip = torch.from_numpy(centre_crop(image, CROP_PX).astype(np.float32) / 255)
    return resize(chip[None, None], px)[0]


CHANGES: dict[str, Change] = {
    "ours": ours,
    "resized by Pillow, which rounds and clips to 8 bit (SAR-JEPA)": lambda image, px: by_pillow(
        centre_crop(image, CROP_PX), px
    ),
    "bilinear instead of bicubic (Dassl's default)": lambda image, px: by_pillow(
        centre_crop(image, CROP_PX), px, Resampling.BILINEAR
    ),
    "whole chip resized, not its central 128 px (Dassl without SAR-JEPA's change)": by_pillow,
    "mean subtracted, divided by deviation (ImageNet's, Dassl's default)": lambda image, px: (
        (ours(image, px) - MEAN) / DEVIATION
    ),
    "three equal channels, each with a third of our kernel": lambda image, px: ours(
        image, px
    ).repeat(3, 1, 1),
    "three equal channels, each with our kernel": lambda image, px: (
        3 * ours(image, px).repeat(3, 1, 1)
    ),
}


def read_images() -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Return the whole images of the data set, their ids, class names, and which are tested."""
    whole = replace(card(DATASET), crop_px=None)
    source = whole.source.find(whole, Path(os.environ["SARBENCH_DATA"]))
    with open_source(source) as files:
        entries = list_chips(whole, source, files).entries
        packed = [pack_entry(whole, entry) for entry in entries]
    ids, names, tested = zip(
        *((one.chip_id, one.class_name, one.is_test) for one in packed), strict=True
    )
    return [one.pixels for one in packed], np.array(ids), np.array(names), np.array(tested)


def encoders(root: Path, methods: list[str]) -> dict[str, tuple[nn.Module, int]]:
    """Return encoder and input side of one pretraining of `vit_nano` by each method."""
    store, found = Store(root), {}
    for key in sorted(store.keys("pretrain")):
        record = store.read("pretrain", key)
        if record is None:  # still training
            continue
        identity = from_json(Pretraining, record.identity)
        size = encoder_from_json(identity.encoder) if identity.encoder else None
        kind = get(identity.method)
        if kind.name in methods and size is not None and size.name == "vit_nano":
            network = kind.build_encoder(from_json(kind.Config, identity.config), size)
            load_encoder(store, network, identity)
            found.setdefault(kind.label, (network.eval(), size.input_px))
    return found


@torch.no_grad()
def features_of(
    network: nn.Module, px: int, images: list[np.ndarray], change: Change
) -> dict[str, Tensor]:
    """Return the features of changed chips for both readouts."""
    tokens = []
    kernel = network.patch_embed.proj.weight
    one_channel = kernel.data
    for start in range(0, len(images), 256):
        inputs = torch.stack([change(image, px) for image in images[start : start + 256]])
        channels = inputs.shape[1]
        kernel.data = one_channel.repeat(1, channels, 1, 1) / channels
        tokens.append(network(inputs))
    kernel.data = one_channel
    whole = torch.cat(tokens)
    return {one: read_out(whole, one, bool(network.has_class_token)) for one in READOUTS}


def correct(
    features: dict[str, Tensor], ids: np.ndarray, labels: np.ndarray, tested: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the test chips that are right: (M,) by knn with all labels, (seeds, M) by linear."""
    train = torch.from_numpy(labels[~tested])
    parts = {
        one: Features(values[~tested], train, [values[tested]], int(labels.max()) + 1)
        for one, values in features.items()
    }
    every = np.arange(len(train))
    settings = KNN()
    ((near,),) = knn.run(parts["patch_mean"], [every], [torch_stream(0)], settings)
    episodes = [
        support_set("parity", seed, ids[~tested], labels[~tested], SHOTS) for seed in range(SEEDS)
    ]
    rngs = [torch_stream(seed, "parity") for seed in range(SEEDS)]
    trained = linear.run(parts["class"], episodes, rngs, Linear())
    wanted = labels[tested]
    return near.classes == wanted, np.stack([one.classes for (one,) in trained]) == wanted


def cell(values: np.ndarray, first: np.ndarray | None) -> str:
    """Return a mean in percent, or the mean paired difference with its 95% half-width."""
    if first is None:
        return f"{100 * values.mean():.1f}%"
    gain = 100 * (values.astype(float) - first)
    half = t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    return f"{gain.mean():+.1f} ± {half:.1f}".replace("-0.0", "+0.0")


def main() -> None:
    """Print a table: each change, and its effect on both scores of each encoder."""
    images, ids, names, tested = read_images()
    labels = np.unique(names, return_inverse=True)[1]
    found = encoders(Path(sys.argv[1]), sys.argv[2:] or ["mae", "sar_jepa"])
    rows: dict[str, list[str]] = {name: [] for name in CHANGES}
    for network, px in found.values():
        first: tuple[np.ndarray, ...] | None = None
        for name, change in CHANGES.items():
            near, trained = correct(features_of(network, px, images, change), ids, labels, tested)
            scores = near, trained.mean(axis=1)
            before = (None, None) if first is None else first
            rows[name] += [cell(*pair) for pair in zip(scores, before, strict=True)]
            first = first or scores
    heads = [f"{label}, {one}" for label in found for one in ("knn", "linear")]
    sys.stdout.write(f"| change | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}\n")
    for name, cells in rows.items():
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
