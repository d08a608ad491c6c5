"""Pretrainings of a few chips and steps, and their files in a store."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest
from chips import speckled_chips
from made_chips import chips_from
from torch import Tensor

from sarbench.bench.data.pools import Pool
from sarbench.bench.identity import Pretraining, Recipe, Resources
from sarbench.bench.store.history import read_history
from sarbench.bench.store.records import Store
from sarbench.methods import get
from sarbench.methods._encoders import SIZES, encoder_json, encoder_named
from sarbench.methods._method import Method
from sarbench.methods._relative_positions import plain_attention

RECIPE = Recipe(epochs=3, batch=4, base_lr=2e-2, warmup_epochs=1.0)
STEPS = 6  # 9 chips, 2 whole batches of 4, 3 epochs
EVERY_STEP = Resources(checkpoint_s=0.0)


def make_pool(count: int = 9) -> Pool:
    """Return chips of two sizes, as a pool has them."""
    return pool_from([*speckled_chips(count // 2, 40, 52), *speckled_chips(count - count // 2, 64)])


def pool_from(pixels: Sequence[np.ndarray], labels: np.ndarray | None = None) -> Pool:
    """Return chips as a pool, labelled where labels are given."""
    ids = np.array([f"chip {i}" for i in range(len(pixels))])
    pool = Pool([chips_from(pixels, name="speckle", ids=ids, data_digest="d")])
    if labels is not None:
        pool.labels = labels.astype(np.int64)
    return pool


def identity_of(method: str = "mae", recipe: Recipe | None = RECIPE, **changes) -> Pretraining:
    config = json.loads(json.dumps(asdict(get(method).Config())))
    identity = Pretraining(
        method=method, method_version=1, config=config, encoder=asdict(SIZES["vit_nano"]),
        precision="fp32", pool=[{"name": "speckle", "digest": "d", "count": 9}], pool_cap=None,
        pool_fraction=1.0, recipe=asdict(recipe) if recipe else None, seed=0,
    )  # fmt: skip
    return replace(identity, **changes)


def tiny_identity(method: str = "mae", **changes) -> Pretraining:
    """Return a pretraining of an encoder of one block, which takes a few milliseconds a step."""
    encoder = encoder_named("vit:32x1x2@80/8")
    assert encoder is not None
    return identity_of(method, encoder=encoder_json(encoder), **changes)


def outcome(store: Store, identity: Pretraining) -> tuple[bytes, list[dict]]:
    """Return the weights file and the history without its times."""
    folder = store.folder("pretrain", identity.key)
    lines = read_history(folder / "history.jsonl")
    return (folder / "encoder.safetensors").read_bytes(), [
        {name: value for name, value in line.items() if name != "images_per_s"} for line in lines
    ]


def stop_after(steps: int):
    """Return a `should_stop` that is True from its call number `steps` on."""
    calls = 0

    def should_stop() -> bool:
        nonlocal calls
        calls += 1
        return calls >= steps

    return should_stop


class NotFinite(get("mae")):
    """MAE that computes a loss that is not finite in its third step."""

    calls = 0

    def loss(self, batch, rng):
        self.calls += 1
        loss, kept = super().loss(batch, rng)
        return loss * (float("inf") if self.calls == 3 else 1.0), kept


def use(monkeypatch: pytest.MonkeyPatch, method: type[Method]) -> None:
    monkeypatch.setattr("sarbench.methods._registry.get", lambda name: method)


class AnyDevice:
    """Relative attention as every device can do it, in place of one that is for a CPU only."""

    @staticmethod
    def apply(qkv: Tensor, table: Tensor, buckets: Tensor, trained: bool) -> Tensor:
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return plain_attention(q, k, v, table, buckets).transpose(1, 2).flatten(2)
