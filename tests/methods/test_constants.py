"""Each method has the constants of its paper or code at 224 px, and uses them."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch.nn import functional

from sarbench.bench.identity import Recipe
from sarbench.bench.method_facts.sample_batches import TINY, TINY_224
from sarbench.bench.pretraining.optimisation import learning_rate, weight_decay
from sarbench.bench.seeding import torch_stream
from sarbench.methods import SIZES, Method, get, names
from sarbench.methods._encoders import GivenConfig, encoder_named
from sarbench.methods._gradients import multi_scale_ratio_gradient
from sarbench.methods._method import Batch, MethodConfigError
from sarbench.methods.i_jepa import BlockPredictor
from sarbench.methods.sar_jepa import check_radii, scaled_radii

LOCAL = ("lomar", "lomar_sar", "low_pass", "sar_hog", "sar_jepa", "sar_jepa_gauss")


def build(name: str, encoder=TINY_224, **config) -> Method:
    method = get(name)
    return method(method.Config(**config), encoder, torch_stream(0, "weights"))


def chips(number: int, side_px: int = 224) -> torch.Tensor:
    return torch.rand(number, 1, side_px, side_px, generator=torch_stream(number, "chips"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mae", 256),
        ("fg_mae", 36),
        ("lomar", 256),
        ("lomar_sar", 256),
        ("low_pass", 256),
        ("sar_hog", 36),
        ("sar_jepa", 1024),
        ("sar_jepa_gauss", 1024),
        ("pgga", 1024),
    ],
)
def test_a_patch_has_as_many_target_values_as_the_paper_says(name, values):
    prediction = build(name).predict(chips(2), torch_stream(0))
    assert prediction.target.shape[2] == values
    assert prediction.predicted.shape == prediction.target.shape


@pytest.mark.parametrize(("name", "hidden"), [("mae", 147), ("fg_mae", 138), ("pgga", 0)])
def test_global_methods_hide_their_share_of_196_patches(name, hidden):
    prediction = build(name).predict(chips(3), torch_stream(0))
    assert prediction.mask.sum(1).tolist() == [hidden] * 3


@pytest.mark.parametrize("name", LOCAL)
def test_local_methods_hide_39_of_49_in_4_windows_of_every_image(name):
    # 4 images: the batch size at which the source shows each image one window four times.
    prediction = build(name).predict(chips(4), torch_stream(0))
    assert prediction.mask.shape == (16, 49)
    assert prediction.mask.sum(1).tolist() == [39] * 16
    assert prediction.images.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    for image in range(4):
        corners = prediction.patches[prediction.images == image, 0]
        assert len(set((corners // 14).tolist())) == len(set((corners % 14).tolist())) == 4


@pytest.mark.parametrize("name", LOCAL)
def test_the_target_of_a_row_is_that_of_its_image_and_patches(name):
    built, images = build(name), chips(3)
    prediction = built.predict(images, torch_stream(0))
    target = built.target(images)
    for row, image in enumerate(prediction.images.tolist()):
        assert torch.equal(prediction.target[row], target[image, prediction.patches[row]])


def test_radii_and_cells_scale_with_the_input():
    assert scaled_radii((5, 9, 13, 17), SIZES["vit_base"]) == (5, 9, 13, 17)
    assert scaled_radii((5, 9, 13, 17), SIZES["vit_nano"]) == (3, 5, 7, 9)
    for name in ("fg_mae", "sar_hog"):  # cells of 4 px in patches of 8 px: 2 x 2 x 9
        assert build(name, TINY).predict(chips(1, 112), torch_stream(0)).target.shape[2] == 36


def test_the_values_of_a_sar_jepa_patch_run_radius_after_radius():
    images = chips(1)
    target = build("sar_jepa").target(images)
    maps = multi_scale_ratio_gradient(images, (5, 9, 13, 17))
    for radius in range(4):  # patch in row 2, column 3; pixel in row 7, column 11
        assert target[0, 2 * 14 + 3, 256 * radius + 16 * 7 + 11] == maps[0, radius, 39, 59]


def loss_of(built, images, rng):
    """Return the loss of whole chips."""
    loss, kept = built.loss(Batch((images,), torch.arange(len(images))), rng)
    assert kept is None
    return loss


def test_the_loss_is_the_mean_over_hidden_patches():
    built, images = build("sar_jepa"), chips(2)
    prediction = built.predict(images, torch_stream(5))
    errors = [
        ((prediction.predicted[row, m] - prediction.target[row, m]) ** 2).mean().item()
        for row, m in prediction.mask.nonzero().tolist()
    ]
    assert loss_of(built, images, torch_stream(5)).item() == pytest.approx(
        np.mean(errors), rel=1e-5
    )


def test_fg_mae_standardises_histograms_of_2_by_2_cells():
    target = build("fg_mae").target(chips(1))
    torch.testing.assert_close(target.mean(-1), torch.zeros(1, 196), atol=1e-5, rtol=0)
    raw = build("fg_mae", standardise=False).target(chips(1)).reshape(196, 9, 4)
    torch.testing.assert_close(raw.norm(dim=1), torch.ones(196, 4))


@pytest.mark.parametrize("name", ["mae", *LOCAL])
def test_a_standardised_target_is_an_option_of_mae_and_all_local_methods(name):
    plain, standard = (
        build(name, standardise=on).predict(chips(1), torch_stream(0)).target
        for on in (False, True)
    )
    variance, mean = torch.var_mean(plain, dim=-1, keepdim=True)
    torch.testing.assert_close(standard, (plain - mean) / (variance + 1e-6).sqrt())


def test_the_predictor_of_i_jepa_is_half_as_wide_and_6_deep():
    with torch.device("meta"):
        predictor = BlockPredictor(get("i_jepa").Config(), SIZES["vit_base"])
    assert predictor.embed.weight.shape == (384, 768)
    assert len(predictor.blocks) == 6
    assert predictor.blocks[0].attn.num_heads == 12


def test_i_jepa_targets_are_normalised_features_of_the_slow_encoder():
    built, images = build("i_jepa"), chips(2)
    with torch.no_grad():
        for weight in built.encoder.parameters():
            weight.add_(0.1)
    tokens = built.target_encoder(images)
    wanted = (tokens - tokens.mean(-1, keepdim=True)) / (
        tokens.var(-1, correction=0, keepdim=True) + 1e-5
    ).sqrt()
    prediction = built.predict(images, torch_stream(0))
    for row, image in enumerate(prediction.images.tolist()):
        torch.testing.assert_close(prediction.target[row], wanted[image, prediction.patches[row]])
    error = (prediction.predicted - prediction.target).abs()
    naive = torch.where(error < 1, error**2 / 2, error - 0.5).mean()
    torch.testing.assert_close(loss_of(built, images, torch_stream(0)), naive)


@pytest.mark.parametrize(("progress", "momentum"), [(0.0, 0.996), (0.5, 0.998), (1.0, 1.0)])
def test_the_target_encoder_follows_ever_more_slowly(progress, momentum):
    built = build("i_jepa")
    with torch.no_grad():
        for weight in built.encoder.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch_stream(3)))
    pairs = zip(built.target_encoder.parameters(), built.encoder.parameters(), strict=True)
    wanted = [momentum * slow.clone() + (1 - momentum) * fast for slow, fast in pairs]
    built.after_step(progress, torch.arange(2), None)
    for slow, expected in zip(built.target_encoder.parameters(), wanted, strict=True):
        torch.testing.assert_close(slow, expected)


@pytest.mark.parametrize(("steps", "momentum"), [(80, 0.9), (1_000, 0.992), (5_000, 0.996)])
def test_the_target_encoder_averages_an_eighth_of_a_short_training_at_most(steps, momentum):
    built = build("i_jepa", TINY)
    built.steps = steps
    weight = built.encoder.norm.bias
    with torch.no_grad():
        weight.fill_(1.0)
    built.after_step(0.0, torch.arange(2), None)
    torch.testing.assert_close(
        built.target_encoder.norm.bias, torch.full_like(weight, 1 - momentum)
    )


def test_i_jepa_standardises_amplitude():
    images, shifted = chips(2), build("i_jepa", mean=0.05, deviation=0.3).encoder.eval()
    assert build("i_jepa").encoder.standardise == (0.15, 0.15)
    plain = build("i_jepa", mean=0.0, deviation=1.0).encoder.eval()
    torch.testing.assert_close(shifted(images), plain((images - 0.05) / 0.3))


@pytest.mark.parametrize(("encoder", "fits"), [("vit_nano@40", False), ("vit_nano@80", True)])
def test_i_jepa_refuses_an_encoder_with_too_few_patches_for_its_masks(encoder, fits):
    size = encoder_named(encoder)
    if fits:
        assert build("i_jepa", size).encoder_config == size
    else:
        with pytest.raises(MethodConfigError, match="no context of 11 patches on the 5 x 5"):
            build("i_jepa", size)


def test_the_target_encoder_is_saved_with_the_method_and_not_with_the_encoder():
    built = build("i_jepa")
    assert any(name.startswith("target_encoder.blocks.0") for name in built.state_dict())
    assert not any("target" in name for name in built.encoder.state_dict())
    trained = [name for name, weight in built.named_parameters() if weight.requires_grad]
    assert not any(name.startswith("target_encoder") for name in trained)


@pytest.mark.parametrize("name", ["mae", "sar_jepa", "i_jepa"])
def test_the_encoder_keeps_nothing_of_the_pretraining(name):
    kept = {name.split(".")[0] for name in build(name).encoder.state_dict()}
    assert kept <= {"cls_token", "patch_embed", "blocks", "norm"}


def test_the_nearest_size_by_cosine_is_the_nearest_size():
    rng = torch_stream(7)
    sizes = torch.randint(40, 600, (300, 2), generator=rng).double()
    tokens = build("chip_size").encoder(sizes.float().reshape(-1, 1, 1, 2))[:, 0]
    similarity = functional.normalize(tokens, dim=1) @ functional.normalize(tokens, dim=1).T
    distance = cdist(sizes, sizes, "cityblock")
    np.testing.assert_array_equal(
        np.argsort(-similarity[:100].numpy().round(6), axis=1, kind="stable")[:, :5],
        np.argsort(distance[:100], axis=1, kind="stable")[:, :5],
    )


def test_a_size_beyond_the_bars_is_refused():
    with pytest.raises(ValueError, match=r"side of 3000 px.* up to 2048 px"):
        build("chip_size").encoder(torch.tensor([3000.0, 10]).reshape(1, 1, 1, 2))


def test_raw_pixels_are_the_chip_row_by_row():
    images = chips(2, 5)
    tokens = build("raw_pixels").encoder(images)
    assert torch.equal(tokens, images.reshape(2, 1, 25))


def test_random_init_starts_as_mae_does():
    ours, maes = build("random_init").encoder, build("mae").encoder
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, maes.state_dict()[name])


@pytest.mark.parametrize("name", ["mae", "fg_mae", *LOCAL, "i_jepa", "given"])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_untrained_control_is_the_encoder_that_a_method_starts_from(name, seed):
    method, control = get(name), get("random_init")
    started = method(method.Config(), TINY, torch_stream(seed, "weights")).encoder
    config = control.Config(like=name)
    untrained = control(config, TINY, torch_stream(seed, "weights")).encoder
    assert type(untrained) is type(started)
    assert untrained.state_dict().keys() == started.state_dict().keys()
    for weight_name, weight in untrained.state_dict().items():
        assert torch.equal(weight, started.state_dict()[weight_name])
    rebuilt = control.build_encoder(config, TINY)
    rebuilt.load_state_dict(started.state_dict())
    images = chips(2, TINY.input_px)
    torch.testing.assert_close(rebuilt.eval()(images), started.eval()(images))


def test_the_control_of_given_weights_has_their_input():
    size = GivenConfig(32, 8, 48, 2, 3, hidden=192)
    values = {"channels": 3, "mean": (0.1, 0.2, 0.3), "std": (1.0, 2.0, 4.0)}
    control = get("random_init")
    method = control(control.Config(like="given", **values), size, torch_stream(0, "weights"))
    given = get("given")
    encoder = given.build_encoder(given.Config(**values), size)
    encoder.load_state_dict(method.encoder.state_dict(), strict=True)
    images = chips(2, 32)
    tokens = method.encoder.eval()(images)
    torch.testing.assert_close(tokens, encoder.eval()(images))
    plain = control(control.Config(like="given", channels=3), size, torch_stream(0, "weights"))
    assert torch.equal(plain.encoder.patch_embed.proj.weight, encoder.patch_embed.proj.weight)
    assert (plain.encoder.eval()(images) - tokens).abs().max() > 1e-3


def test_the_kind_of_an_encoder_is_read_from_the_network():
    kinds = {name: get(name).architecture() for name in names()}
    assert {name for name, kind in kinds.items() if kind == "relative positions"} == {
        *LOCAL,
        "pgga",
    }
    assert {name for name, kind in kinds.items() if kind == "no class token"} == {
        "i_jepa",
        "dmt_jepa",
    }
    assert kinds["raw_pixels"] == kinds["chip_size"] == ""


# Rate at the start, peak and end, and weight decay at both ends, as the sources' files give them.
SOURCES = {
    "mae": (800, 4096, 40, (0, 2.4e-3, 0), (0.05, 0.05), (0.9, 0.95), (0.2, 0.5, 0.0)),
    "hpm": (200, 2048, 40, (0, 1.2e-3, 0), (0.05, 0.05), (0.9, 0.95), (0.2, 0.5, 0.0)),
    "lomar": (400, 4096, 20, (0, 2.4e-3, 0), (0.05, 0.05), (0.9, 0.95), (0.2, 0.5, 0.0)),
    "fg_mae": (100, 256, 10, (0, 1.5e-4, 0), (0.05, 0.05), (0.9, 0.95), (0.2, 0.5, 0.0)),
    "sar_jepa": (200, 300, 20, (0, 1.171875e-3, 0), (0.05, 0.05), (0.9, 0.95), (0.2, 0.5, 0.5)),
    "dmt_jepa": (600, 2048, 40, (2e-4, 1e-3, 1e-6), (0.04, 0.4), (0.9, 0.999), (0.3, 0.0, 0.0)),
    "i_jepa": (300, 2048, 40, (2e-4, 1e-3, 1e-6), (0.04, 0.4), (0.9, 0.999), (0.3, 0.0, 0.0)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_recipe_has_the_rates_of_its_source(name):
    epochs, batch, warmup, rates, decays, betas, views = SOURCES[name]
    recipe = Recipe(**get(name).source_recipe)
    assert (recipe.epochs, recipe.batch, recipe.warmup_epochs) == (epochs, batch, warmup)
    found = [learning_rate(recipe, epoch) for epoch in (0.0, float(warmup), float(epochs))]
    assert found == pytest.approx(rates, abs=1e-15)
    assert [weight_decay(recipe, epoch) for epoch in (0.0, float(epochs))] == pytest.approx(
        list(decays)
    )
    assert (recipe.beta1, recipe.beta2) == betas
    assert (recipe.crop_scale_min, recipe.flip, recipe.contrast) == views


def test_the_recipe_of_pgga_is_unknown():
    assert get("pgga").source_recipe is None


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("random_init", {"like": "maee"}, "Did you mean 'mae'"),
        ("random_init", {"like": "raw_pixels"}, "must name a method that trains an encoder"),
        ("random_init", {"mean": (0.5,)}, "mean: like is None, whose encoder has no such setting"),
        ("random_init", {"like": "mae", "channels": 3}, "channels: like is 'mae'"),
        ("random_init", {"like": "given", "std": (0.5, 1.0)}, "std has 2 values; give 1"),
        ("mae", {"mask_ratio": 1.0}, "mask_ratio is 1.0"),
        ("lomar", {"window": 0}, "window is 0 and windows is 4"),
        ("lomar", {"mask_ratio": 0.01}, "hides no patch or every patch"),
        ("sar_jepa", {"radii_px": ()}, "one or more radii"),
        ("pgga", {"radii_px": (0,)}, "radii >= 1"),
        ("low_pass", {"cycles_per_image": 0.0}, "cycles_per_image is 0.0"),
        ("i_jepa", {"target_scale": (0.2, 0.1)}, "target_scale is"),
        ("i_jepa", {"momentum": 2.0}, "momentum is 2.0"),
    ],
)
def test_a_config_that_cannot_work_is_refused(name, config, message):
    with pytest.raises(MethodConfigError, match=message):
        get(name).Config(**config)


@pytest.mark.parametrize("name", ["fg_mae", "sar_hog"])
@pytest.mark.parametrize(
    ("encoder", "cells"), [("vit_tiny", 2), ("vit_nano", 2), ("vit_nano@80", 2), ("vit_tiny@96", 2)]
)
def test_a_patch_has_four_cells_of_directions_at_any_input_size(name, encoder, cells):
    size = encoder_named(encoder)
    built = build(name, size)
    target = built.target(chips(2, size.input_px))
    assert target.shape == (2, (size.input_px // size.patch_px) ** 2, 9 * cells**2)


@pytest.mark.parametrize("name", ["fg_mae", "sar_hog"])
@pytest.mark.parametrize("cell_px", [3, 1, 32])
def test_cells_that_do_not_divide_a_patch_are_refused(name, cell_px):
    with pytest.raises(
        MethodConfigError, match=f"cell_px is {cell_px} in .*divide a patch: 2, 4, 8"
    ):
        build(name, SIZES["vit_nano"], cell_px=cell_px)


def test_unknown_halves_are_refused_with_the_allowed_ones():
    with pytest.raises(MethodConfigError, match=r"'both'; .*\('overlap', 'disjoint'\)"):
        check_radii((5,), "both")


def test_i_jepa_refuses_a_predictor_that_its_heads_do_not_divide():
    with pytest.raises(MethodConfigError, match="multiple of 4 and of 2 heads"):
        build("i_jepa", TINY, predictor_share=0.3)


def test_mae_sees_no_more_than_its_visible_patches():
    built = build("mae")
    seen = []
    built.encoder.blocks.register_forward_hook(lambda *call: seen.append(call[1][0].shape))
    loss_of(built, chips(2), torch_stream(0))
    assert seen == [(2, 50, 32)]  # the class token and 49 of 196 patches


@pytest.mark.parametrize("name", ["raw_pixels", "chip_size"])
def test_controls_without_network_are_built_without_an_encoder_size(name):
    method = get(name)
    built = method(method.Config(), None, torch_stream(0))
    assert not list(built.parameters())
    assert type(method.build_encoder(method.Config(), None)) is type(built.encoder)
