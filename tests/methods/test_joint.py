"""Joint-embedding methods: their views and their losses."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from sarbench.bench.augmentation.views import crops
from sarbench.bench.identity import Recipe, fill, to_json
from sarbench.bench.method_facts.sample_batches import build, sample_batch
from sarbench.bench.pretraining.step import train_step
from sarbench.bench.seeding import torch_stream
from sarbench.methods import View, get
from sarbench.methods._encoders import TimmConfig, encoder_named
from sarbench.methods._method import Batch, MethodConfigError
from sarbench.methods.dino import Config as DINOConfig
from sarbench.methods.dino import divergence
from sarbench.methods.lejepa import normality, random_directions
from sarbench.methods.vicreg import covariance_loss, variance_loss

TWO_VIEWS = ["simclr", "vicreg"]
MULTI_CROP = ["dino", "lejepa"]


def normal(rows: int, columns: int, name: str) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch_stream(0, name), dtype=torch.float64)


@pytest.mark.parametrize("name", TWO_VIEWS + MULTI_CROP)
def test_changes_of_views_that_are_not_set_leave_the_identity_as_it_was(name):
    defaults = to_json(get(name).Config())
    assert not {"crop_scale", "flip", "contrast", "looks"} & fill(defaults, {}).keys()
    assert fill(defaults, {"flip": 0.0, "looks": 4}) == fill(defaults, {}) | {
        "flip": 0.0, "looks": 4,
    }  # fmt: skip


@pytest.mark.parametrize("name", TWO_VIEWS + MULTI_CROP)
def test_every_view_has_the_changes_of_the_config(name):
    method = get(name)
    config = method.Config(flip=0.0, contrast=0.1, looks=3)
    for _, made in crops(method.views(config), Recipe(contrast=0.5), 112):
        assert (made.flip, made.contrast, made.looks) == (0.0, 0.1, 3)
    config = method.Config(crop_scale=(0.3, 0.9))
    assert crops(method.views(config), Recipe(), 112)[0][1].crop_scale == (0.3, 0.9)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"flip": 1.5}, "from 0.0 to 1.0"),
        ({"looks": 0}, "whole number from 1"),
        ({"crop_scale": (0.9, 0.5)}, r"such as \[0.2, 1.0\]"),
    ],
)
def test_a_change_of_a_view_outside_its_range_is_refused(wrong, words):
    with pytest.raises(MethodConfigError, match=words):
        get("simclr").Config(**wrong)


@pytest.mark.parametrize(
    ("encoder", "side"),
    [("vit_nano", 48), ("vit_base", 96), ("vit_nano@80", 32), ("timm:resnet18", 96)],
)
def test_the_side_of_a_view_follows_the_input_in_whole_patches(encoder, side):
    assert View(share=96 / 224).sized(encoder_named(encoder)).size == side


@pytest.mark.parametrize("name", TWO_VIEWS + MULTI_CROP)
def test_a_step_in_half_precision_has_nearly_the_loss_of_a_whole_one(name):
    more = {"small": 1} if name in MULTI_CROP else {}
    losses = []
    for precision in ("fp32", "bf16"):
        method = build(get(name), config=get(name).Config(**more))
        optimizer = torch.optim.SGD([w for w in method.parameters() if w.requires_grad], lr=1e-3)
        batch = sample_batch(method, 4)
        losses.append(train_step(method, optimizer, batch, torch_stream(0), precision=precision))
    assert losses[1] == pytest.approx(losses[0], rel=0.3)


def test_variance_and_covariance_are_those_of_numpy():
    rows = normal(7, 5, "vicreg") * torch.tensor([0.1, 0.5, 1.0, 2.0, 3.0])
    deviation = np.sqrt(rows.numpy().var(axis=0, ddof=1) + 1e-4)
    assert variance_loss(rows).item() == pytest.approx(np.maximum(0, 1 - deviation).mean())
    covariance = np.cov(rows.numpy(), rowvar=False)
    pairs = covariance[~np.eye(5, dtype=bool)]
    assert covariance_loss(rows).item() == pytest.approx((pairs**2).sum() / 5)


def test_the_loss_of_vicreg_weighs_its_three_terms():
    method = build(get("vicreg")).eval()
    batch = sample_batch(method, 5)
    first, second = (method._expand(view).detach() for view in batch.views)
    wanted = 25 * (first - second).square().mean()
    wanted += 25 * (variance_loss(first) + variance_loss(second)) / 2
    wanted += covariance_loss(first) + covariance_loss(second)
    assert method.loss(batch, torch.Generator())[0].item() == pytest.approx(wanted.item())


@pytest.mark.parametrize("name", MULTI_CROP)
def test_small_crops_are_refused_by_a_network_of_one_size_unless_they_are_enlarged(name):
    fixed = TimmConfig("timm:test_vit@160", 160)
    with pytest.raises(MethodConfigError, match="takes chips of its own size only"):
        build(get(name), fixed)
    method = build(get(name), fixed, get(name).Config(small_px=224))
    assert {view.size for view in method.sized_views()} == {None, 160}


def test_the_divergence_is_a_mean_over_pairs_of_different_crops():
    predicted, targets = (
        normal(count * 5, 4, f"dino {count}").log_softmax(dim=1).unflatten(0, (count, 5))
        for count in (4, 2)
    )
    pairs = [
        (targets[t].exp() * (targets[t] - predicted[v])).sum(1).mean().item()
        for t in range(2)
        for v in range(4)
        if v != t
    ]
    assert divergence(predicted, targets).item() == pytest.approx(np.mean(pairs))


def test_the_temperature_of_targets_rises_and_stays():
    config = DINOConfig(target_temperature_start=0.04, target_temperature=0.08, target_warmup=0.5)
    found = [config.target_temperature_at(share) for share in (0.0, 0.25, 0.5, 0.9)]
    assert found == pytest.approx([0.04, 0.06, 0.08, 0.08])


def test_the_centre_moves_to_the_mean_logits_and_the_targets_stop_at_the_end():
    method = build(get("dino"), config=DINOConfig(small=0, head=(8, 4, 6), centre_momentum=0.75))
    batch = sample_batch(method, 3)
    with torch.no_grad():
        rows = method.loss(batch, torch.Generator())[1]
        weight = functional.normalize(method.target_head.last.weight, dim=1)
        vectors = method.target_head(method._tokens(method.target_encoder, batch.views))
        wanted = 0.25 * (vectors @ weight.mT).mean(dim=0)
        method.head.last.weight.add_(1)  # after an optimiser step
        before = method.target_head.last.weight.clone()
        method.after_step(1.0, batch.index, rows)
    torch.testing.assert_close(method.centre, wanted)
    torch.testing.assert_close(method.target_head.last.weight, before)


def test_the_last_layer_of_dino_is_fixed_at_first():
    method = build(get("dino"), config=DINOConfig(small=0, head=(8, 4, 6), fixed_last_layer=0.5))
    batch = sample_batch(method, 4)
    for progress, trained in ((0.0, False), (0.5, True)):
        method.zero_grad()
        method.loss(Batch(batch.views, batch.index, progress=progress), torch.Generator())[
            0
        ].backward()
        assert (method.head.last.weight.grad is not None) is trained
        assert method.head.layers[0].weight.grad is not None


def test_the_test_of_normality_is_that_of_epps_and_pulley():
    """With enough knots it is the closed form of the integral over all t."""
    rows = normal(6, 1, "lejepa")[None]
    x = rows.numpy().ravel()
    wanted = np.exp(-((x[:, None] - x) ** 2) / 2).sum() / len(x)
    wanted += len(x) / np.sqrt(3) - np.sqrt(2) * np.exp(-(x**2) / 4).sum()
    found = normality(rows, torch.ones(1, 1, dtype=rows.dtype), knots=200, reach=10.0)
    assert found.item() == pytest.approx(np.sqrt(2 * np.pi) * wanted)


def test_the_test_of_normality_is_a_mean_over_views_and_directions_by_the_trapezoidal_rule():
    rows = normal(10, 3, "lejepa views").unflatten(0, (2, 5))
    directions = random_directions(3, 4, torch_stream(0)).double()
    t = np.linspace(-3, 3, 33)
    normal_at = np.exp(-(t**2) / 2)
    found = []
    for view in rows.numpy():
        for along in (view @ directions.numpy()).T:
            empirical = np.exp(1j * along[:, None] * t).mean(axis=0)
            found.append(5 * np.trapezoid(np.abs(empirical - normal_at) ** 2 * normal_at, t))
    assert normality(rows, directions, 17, 3.0).item() == pytest.approx(np.mean(found))


def test_directions_have_length_1_and_follow_the_rng():
    first, again, other = (random_directions(5, 7, torch_stream(seed)) for seed in (0, 0, 1))
    torch.testing.assert_close(first.norm(dim=0), torch.ones(7))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_crops_of_lejepa_are_compared_with_the_mean_of_large_ones():
    config = get("lejepa").Config(weight=0.0, small=1)
    method = build(get("lejepa"), config=config).eval()
    batch = sample_batch(method, 3)
    rows = [method.projector(method.encoder(view)[:, 0]).detach() for view in batch.views]
    centre = (rows[0] + rows[1]) / 2
    wanted = torch.stack([(row - centre).square().mean() for row in rows]).mean()
    assert method.loss(batch, torch_stream(0))[0].item() == pytest.approx(wanted.item(), rel=1e-4)
