"""Controls that see a part of a chip, by hand and on chips of one part."""

import pytest
import torch

from sarbench.methods import _registry
from sarbench.methods._method import MethodConfigError
from sarbench.methods.background import Config
from sarbench.methods.raw_pixels import in_middle


def features(name: str, images: torch.Tensor, side_share: float = 0.75) -> torch.Tensor:
    method = _registry.get(name)
    return method.build_encoder(Config(side_share), None)(images)


def test_the_middle_of_a_chip_of_8_by_6_pixels_by_hand():
    middle = in_middle(torch.zeros(1, 1, 8, 6), 0.5)
    assert middle.nonzero()[:, 0].unique().tolist() == [2, 3, 4, 5]
    assert middle.nonzero()[:, 1].unique().tolist() == [2, 3]  # 3 columns have no middle of 6
    assert in_middle(torch.zeros(1, 1, 128, 128), 0.75).sum() == 96**2


def test_background_and_target_are_the_pixels_of_a_chip_without_overlap():
    images = torch.arange(2 * 16 * 16, dtype=torch.float32).view(2, 1, 16, 16)
    outside, inside = (features(name, images) for name in ("background", "target_only"))
    assert inside.shape == (2, 1, 12 * 12)
    assert torch.equal(inside, images[..., 2:14, 2:14].flatten(2))
    every = torch.cat([outside, inside], dim=2).sort(2).values
    assert torch.equal(every, images.flatten(2))


def test_a_target_reaches_only_the_control_of_the_target():
    empty = torch.zeros(1, 1, 32, 32)
    target = empty.clone()
    target[..., 10:20, 12:22] = 1
    assert torch.equal(features("background", target), features("background", empty))
    assert not torch.equal(features("target_only", target), features("target_only", empty))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_a_square_that_is_empty_or_the_whole_chip_is_refused(share):
    with pytest.raises(MethodConfigError, match="must be above 0 and below 1"):
        Config(share)


@pytest.mark.parametrize(
    "name", ["background", "target_only", "registered_pixels", "label_shuffle"]
)
def test_probes_are_controls_of_the_prepared_chip(name):
    method = _registry.get(name)
    assert method.control
    assert method.evaluation_input == "chip"
    assert method.protocols == ("linear", "logistic", "knn")
    assert method.shuffles_labels == (name == "label_shuffle")


def test_registered_pixels_move_with_the_target():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(12, 12, generator=generator) + 1
    chips = torch.zeros(3, 1, 32, 32)
    for chip, (row, column) in zip(chips, [(10, 10), (4, 14), (15, 6)], strict=True):
        chip[0, row : row + 12, column : column + 12] = target
    registered = _registry.get("registered_pixels")
    found = registered.build_encoder(registered.Config(0.5, 3), None)(chips)
    assert found.shape == (3, 1, 16 * 16)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert found[0].count_nonzero() > 100


def test_the_square_around_the_brightest_pixel_by_hand():
    """On a chip of 4 x 5, the largest value is in row 0 and column 4."""
    chip = torch.arange(20.0).flip(0).view(1, 1, 4, 5).flip(3)
    registered = _registry.get("registered_pixels")
    found = registered.build_encoder(registered.Config(0.75, 1), None)(chip)
    assert found.tolist() == [[[0, 0, 0, 18, 19, 0, 13, 14, 0]]]


def test_squares_that_cannot_be_are_refused():
    registered = _registry.get("registered_pixels")
    for config in ({"side_share": 0.0}, {"side_share": 1.5}, {"bright_px": 0}, {"bright_px": 4}):
        with pytest.raises(MethodConfigError, match="must be"):
            registered.Config(**config)
