"""Pictures of a method, from predictions made by hand."""

import numpy as np
import pytest
import torch
from chips import labelled_chips
from made_chips import chips_from
from PIL import Image
from sklearn.decomposition import PCA

from sarbench.bench.contract import preview as show_method
from sarbench.bench.data.chips import Chips
from sarbench.bench.pretraining.sample_predictions import sample_of
from sarbench.bench.reporting.method_figures import (
    PANEL_INCH,
    draw_predictions,
    histogram_panels,
    main_directions,
    place,
    rows_of_panels,
)
from sarbench.methods._encoders import EncoderConfig
from sarbench.methods._masked import MaskedPrediction, Prediction
from sarbench.methods._method import Method

TOY = EncoderConfig("toy", 12, 3, 8, 1, 1)  # 4 x 4 patches of 3 x 3 pixels


def cut(image: np.ndarray) -> np.ndarray:
    """Return the 16 patches of a 12 x 12 image, one after the other."""
    return np.stack(
        [image[r : r + 3, c : c + 3].ravel() for r in range(0, 12, 3) for c in range(0, 12, 3)]
    )


class Fake(MaskedPrediction):
    """Predicts the negated pixels of the listed patches, or gives each patch its own vector."""

    label, control, maps = "Fake", False, 1
    # two rows per image: the upper left 2 x 2 patches, and four that overlap them in patch 5
    patches = ((0, 1, 4, 5), (5, 6, 9, 10))
    mask = ((True, True, False, True), (True, False, True, True))

    def predict(self, images, rng):
        cuts = torch.stack([torch.from_numpy(cut(image[0].numpy())) for image in images])
        patches = torch.tensor(self.patches).repeat(len(images), 1)
        owners = torch.arange(len(images)).repeat_interleave(2)
        target = cuts[owners[:, None], patches].repeat(1, 1, self.maps)
        mask = torch.tensor(self.mask).repeat(len(images), 1)
        return Prediction(-target, target, mask, patches, owners)


class Features(Fake):
    """The same with features as targets."""

    target_kind = "features"


class Control(Method):
    """Predicts nothing."""

    label, control = "Control", True


def made(kind: type[Method]) -> Method:
    """Return a method without networks."""
    method = kind.__new__(kind)
    torch.nn.Module.__init__(method)
    method.encoder_config = TOY
    return method


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(labelled_chips(1, 2, 12)[0])[:, None]


def seen(patches: set[int]) -> np.ndarray:
    """Return the mask of the pixels of these patches."""
    return np.kron(np.isin(np.arange(16), list(patches)).reshape(4, 4), np.ones((3, 3))) > 0


def test_target_and_prediction_are_drawn_at_their_patches(images, rng):
    method = made(Fake)
    lines = rows_of_panels(sample_of(method, images, rng), TOY)
    for image, (hidden, blocks, (target, predicted)) in zip(
        images[:, 0].numpy(), lines, strict=True
    ):
        here = seen({0, 1, 4, 5, 6, 9, 10})
        np.testing.assert_allclose(target.values[here], image[here])
        assert np.isnan(target.values[~here]).all()
        here = seen({0, 1, 5, 9, 10})  # the hidden patches
        np.testing.assert_allclose(predicted.values[here], -image[here])
        assert np.isnan(predicted.values[~here]).all()
        assert sorted(np.flatnonzero(hidden)) == [0, 1, 5, 9, 10]
        assert [block.tolist() for block in blocks] == [[0, 1, 4, 5], [5, 6, 9, 10]]
        assert (target.low, target.high) == (predicted.low, predicted.high)


def test_all_chips_have_one_grey_scale(images, rng):
    method = made(Fake)
    images = images * torch.tensor([1.0, 0.1])[:, None, None, None]  # a dark chip stays dark
    made_lines = rows_of_panels(sample_of(method, images, rng), TOY)
    scales = {(panel.low, panel.high) for _, _, panels in made_lines for panel in panels}
    assert len(scales) == 1
    shown = [images[i, 0].numpy()[seen({0, 1, 4, 5, 6, 9, 10})] for i in (0, 1)]
    ((low, high),) = scales
    assert (low, high) == pytest.approx(tuple(np.percentile(shown, (0.5, 99.5))), rel=1e-5)


def test_windows_that_overlap_are_averaged():
    values = np.array([[[1.0], [2.0]], [[5.0], [7.0]]])
    patches = np.array([[0, 2], [2, 3]])
    shown = np.array([[True, True], [True, False]])
    placed = place(values, patches, shown, 4)[:, 0]
    np.testing.assert_array_equal(placed, [1.0, np.nan, 3.5, np.nan])


def test_without_a_mask_the_picture_shows_all_predictions(images, rng):
    method = made(Fake)
    method.mask = ((False,) * 4,) * 2
    ((hidden, _, (target, predicted)), _) = rows_of_panels(sample_of(method, images, rng), TOY)
    assert not hidden.any()
    np.testing.assert_array_equal(np.isnan(target.values), np.isnan(predicted.values))


@pytest.mark.parametrize(("maps", "panels"), [(1, 2), (4, 8), (5, 2)])
def test_a_few_maps_are_drawn_side_by_side_and_many_as_their_mean(maps, panels, images, rng):
    method = made(Fake)
    method.maps = maps
    (_, _, drawn), _ = rows_of_panels(sample_of(method, images, rng), TOY)
    assert len(drawn) == panels
    here = seen({0})
    for panel in drawn[::2]:  # the maps are alike, so their mean is too
        np.testing.assert_allclose(panel.values[here], images[0, 0].numpy()[here], rtol=1e-6)


def test_features_are_drawn_as_one_colour_per_patch(images, rng):
    method = made(Features)
    (_, _, (target, predicted)), _ = rows_of_panels(sample_of(method, images, rng), TOY)
    assert target.values.shape == predicted.values.shape == (4, 4, 3)
    assert np.nanmin(target.values) == 0
    assert np.nanmax(target.values) == 1
    assert np.isnan(target.values[3, 3]).all()


def test_a_histogram_has_the_colour_of_its_main_direction():
    one_bin = np.zeros((4, 9))
    one_bin[range(4), [0, 3, 6, 3]] = [1, 1, 1, 0.5]
    ((target, predicted),) = histogram_panels([(one_bin - 7, np.full((4, 9), 0.2))], (2, 2))
    colours = target.values.reshape(4, 3)
    assert colours[:3].argmax(1).tolist() == [0, 1, 2]  # thirds of a half turn: red, green, blue
    np.testing.assert_allclose(colours[3], colours[1] / 2)
    np.testing.assert_allclose(predicted.values, 0, atol=1e-12)


def test_predicted_histograms_are_brightened_by_the_factor_in_their_title():
    one_bin = np.zeros((4, 9))
    one_bin[range(4), [0, 3, 6, 3]] = 1
    ((target, predicted),) = histogram_panels([(one_bin, one_bin / 8)], (2, 2))
    assert predicted.title == "prediction, 8 x brighter"
    np.testing.assert_allclose(predicted.values, target.values)


def test_the_colours_are_the_main_components():
    values = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 8)
    expected = PCA(3).fit(values.double().numpy()).components_
    ours = main_directions(values.numpy())
    np.testing.assert_allclose(np.abs(ours @ expected.T), np.eye(3), atol=1e-6)


@pytest.mark.parametrize(("kind", "columns"), [(Fake, 4), (Features, 4), (Control, 1.5)])
def test_the_picture_has_a_line_per_chip(kind, columns, images, rng, tmp_path):
    path = tmp_path / "picture.png"
    method = made(kind)
    method.train()
    draw_predictions(sample_of(method, images, rng), "Fake", TOY).savefig(path, dpi=110)
    assert method.training  # unchanged
    with Image.open(path) as picture:
        width, height = picture.size
    ratio = PANEL_INCH * columns / (PANEL_INCH * 2 + 0.5)
    assert width / height == pytest.approx(ratio, rel=0.02)


def chips_of(count: int, px: int) -> Chips:
    amplitude, labels = labelled_chips(2, count // 2, px)
    sides = np.arange(count) % 4 == 0
    return chips_from(amplitude, labels=labels, classes=("a", "b"), is_test=sides)


def test_training_ends_at_the_time_limit_unless_steps_are_given(monkeypatch, tmp_path):
    chips, path = chips_of(40, 48), tmp_path / "mae.png"
    monkeypatch.setattr(show_method, "STEPS", 4)
    assert show_method.draw_method("mae", "vit:32x1x2@80/8", chips, None, path) == 4
    monkeypatch.setattr(show_method, "LIMIT_S", 1e-9)
    assert show_method.draw_method("mae", "vit:32x1x2@80/8", chips, None, path) == 1
    assert show_method.draw_method("mae", "vit:32x1x2@80/8", chips, 2, path) == 2


@pytest.mark.parametrize("name", ["mae", "sar_jepa", "i_jepa", "raw_pixels"])
def test_a_method_is_trained_briefly_and_drawn(name, tmp_path):
    done: list[int] = []
    before = torch.get_rng_state()
    path = tmp_path / f"{name}.png"
    show_method.draw_method(name, "vit:32x1x2@80/8", chips_of(40, 48), 2, path, done.append)
    assert done == ([] if name == "raw_pixels" else [1, 2])
    assert torch.equal(before, torch.get_rng_state())
    with Image.open(path) as picture:
        assert len(np.unique(np.array(picture.convert("L")))) > 50  # not empty


def test_training_leaves_the_test_chips_alone(monkeypatch, tmp_path):
    taken: list[int] = []
    stack = Chips.stack

    def remember(self, indices):
        taken.extend(indices)
        return stack(self, indices)

    monkeypatch.setattr(Chips, "stack", remember)
    chips = chips_of(40, 48)
    show_method.draw_method("mae", "vit:32x1x2@80/8", chips, 2, tmp_path / "mae.png")
    assert not chips.is_test[np.array(taken)].any()
