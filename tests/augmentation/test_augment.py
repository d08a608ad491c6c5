"""Resizing and augmentation against torchvision and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from chips import speckled_chips
from PIL import Image

from sarbench.bench.augmentation.augment import Augmentation, augment, draw_crops
from sarbench.bench.augmentation.resample import resampling, resize
from sarbench.bench.seeding import torch_stream
from sarbench.methods._speckle import add_speckle

PLAIN = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, contrast=0.0)


def chips(count: int, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(speckled_chips(count, height, width))


def sizes(*pairs: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([p[0] for p in pairs]), torch.tensor([p[1] for p in pairs])


@pytest.mark.parametrize(("height", "width"), [(128, 128), (96, 96), (200, 333), (13, 20), (64, 9)])
@pytest.mark.parametrize("px", [112, 224, 50])
def test_a_resize_is_that_of_torch(height, width, px):
    images = chips(3, height, width)[:, None]
    expected = F.interpolate(images, (px, px), mode="bicubic", antialias=True).clamp(0, 1)
    torch.testing.assert_close(resize(images, px), expected, atol=1e-5, rtol=0)


def test_a_resize_is_that_of_pillow_to_one_grey_level():
    stored = np.rint(100 + 50 * speckled_chips(1, 128)[0]).astype(np.uint8)  # nothing to clip
    expected = np.asarray(Image.fromarray(stored).resize((112, 112), Image.Resampling.BICUBIC))
    ours = resize(torch.from_numpy(stored / np.float32(255))[None, None], 112)[0, 0].numpy() * 255
    assert np.abs(ours - expected).max() < 1.01  # Pillow rounds between the two passes


def test_overshoot_is_clamped_as_pillow_does():
    step = torch.zeros(1, 1, 32, 32)
    step[..., 16:] = 1
    raw = F.interpolate(step, (64, 64), mode="bicubic", antialias=True)
    assert raw.min() < -0.01
    assert raw.max() > 1.01
    ours = resize(step, 64)
    assert ours.min() == 0
    assert ours.max() == 1


def test_an_image_of_the_right_size_is_not_changed():
    images = chips(2, 112, 112)[:, None]
    assert torch.equal(resize(images, 112), images)


def test_weights_of_an_output_pixel_sum_to_one_and_stay_inside_the_crop():
    weights = resampling(torch.tensor([5, 0]), torch.tensor([20, 64]), 64, 30)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 30), atol=1e-6, rtol=0)
    assert not weights[0, :, :5].any()
    assert not weights[0, :, 25:].any()


def test_crops_are_those_of_torchvision(rng):
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    pairs = [(128, 128), (158, 157), (54, 54), (90, 128)]
    padded = torch.full((4, 158, 157), 7.0)  # a padding that would change the result
    images = [chips(1, *pair)[0] for pair in pairs]
    for row, image in zip(padded, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    setting = Augmentation(flip=0.5, contrast=0.0)
    height, width = sizes(*pairs)
    twin = torch_stream(0, "test")
    for _ in range(5):
        ours = augment(padded, height, width, 112, setting, rng)
        crops = draw_crops(height, width, setting, twin)
        flips = torch.rand((2, 4), generator=twin)[0] < 0.5
        for image, crop, flip, result in zip(images, crops.tolist(), flips, ours, strict=True):
            expected = functional.resized_crop(
                image[None], *crop, [112, 112], interpolation=3, antialias=True
            ).clamp(0, 1)
            expected = functional.horizontal_flip(expected) if flip else expected
            torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_the_area_of_crops_is_uniform_and_the_ratio_log_uniform(rng):
    count, side = 20_000, 1000
    setting = Augmentation(crop_scale=(0.1, 0.5))  # every first draw fits
    height, width = sizes(*[(side, side)] * count)
    top, left, rows, columns = draw_crops(height, width, setting, rng).double().T
    area = np.sort((rows * columns / side**2).numpy())
    ratio = np.sort(torch.log(columns / rows).numpy())
    reach = np.log(4 / 3)
    uniform = (np.arange(count) + 0.5) / count
    # Kolmogorov-Smirnov distance, 99.9% point 1.95 / sqrt(n), plus the rounding to whole pixels
    assert np.abs((area - 0.1) / 0.4 - uniform).max() < 1.95 / np.sqrt(count) + 0.005
    assert np.abs((ratio + reach) / (2 * reach) - uniform).max() < 1.95 / np.sqrt(count) + 0.005
    for start, length in ((top, rows), (left, columns)):
        share = np.sort((start / (side - length)).numpy())
        assert np.abs(share - uniform).max() < 1.95 / np.sqrt(count) + 0.005
        assert (start >= 0).all()
        assert (start + length <= side).all()


def test_every_position_of_a_crop_is_equally_likely(rng):
    # half the area of 4 x 4 at ratio 1 is 3 x 3 (2.83 rounds up): 2 x 2 places
    setting = Augmentation(crop_scale=(0.5, 0.5), crop_ratio=(1.0, 1.0))
    height, width = sizes(*[(4, 4)] * 8000)
    crops = draw_crops(height, width, setting, rng)
    assert (crops[:, 2:] == 3).all()
    counts = torch.bincount(crops[:, 0] * 2 + crops[:, 1], minlength=4)
    assert ((counts - 2000).abs() < 4 * np.sqrt(8000 * 0.25 * 0.75)).all()


@pytest.mark.parametrize(
    ("size", "crop"),
    [
        ((100, 1000), (0, 433, 100, 133)),  # as wide as 4/3 allows, in the middle
        ((1000, 90), (440, 0, 120, 90)),  # as high as 3/4 allows
    ],
)
def test_if_no_draw_fits_the_crop_is_the_largest_centred_one(size, crop, rng):
    setting = Augmentation(crop_scale=(0.99, 1.0))
    assert draw_crops(*sizes(size), setting, rng).tolist() == [list(crop)]


def test_the_whole_square_is_the_fallback_within_the_ratios(rng):
    # 10 draws of ratio 4/3 at the whole area never fit a square
    setting = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(0.5, 4 / 3))
    crops = draw_crops(*sizes(*[(60, 60)] * 50), setting, rng)
    assert (crops == torch.tensor([0, 0, 60, 60])).all()


def test_augmentation_without_randomness_is_a_resize(rng):
    images = chips(3, 128, 128)
    ours = augment(images, *sizes(*[(128, 128)] * 3), 112, PLAIN, rng)
    torch.testing.assert_close(ours, resize(images[:, None], 112), atol=1e-6, rtol=0)


def test_a_flip_mirrors_left_and_right(rng):
    images = chips(3, 64, 64)
    always = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=1.0, contrast=0.0)
    ours = augment(images, *sizes(*[(64, 64)] * 3), 64, always, rng)
    torch.testing.assert_close(ours[:, 0], images.flip(2), atol=1e-6, rtol=0)


def test_half_of_the_images_are_flipped(rng):
    ramp = torch.linspace(0, 1, 8).expand(4000, 8, 8)
    ours = augment(ramp, *sizes(*[(8, 8)] * 4000), 8, Augmentation(contrast=0.0), rng)
    flipped = (ours[:, 0, 0, 0] > ours[:, 0, 0, -1]).double().mean()
    assert abs(flipped - 0.5) < 4 * 0.5 / np.sqrt(4000)


def test_contrast_is_a_factor_about_the_mean_and_is_clamped(rng):
    # mean 0.5, deviation 0.1 either way; 0.4 and 0.6 become 0.5 -+ 0.1 f
    board = 0.4 + 0.2 * ((torch.arange(8)[:, None] + torch.arange(8)) % 2).float()
    setting = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, contrast=0.5)
    ours = augment(board.expand(2000, 8, 8), *sizes(*[(8, 8)] * 2000), 8, setting, rng)
    factors = (ours[:, 0, 0, 1] - 0.5) / 0.1
    torch.testing.assert_close(ours[:, 0, 0, 0], 0.5 - 0.1 * factors, atol=1e-5, rtol=0)
    assert 0.5 <= factors.min() < 0.52
    assert 1.48 < factors.max() <= 1.5001
    assert abs(factors.mean() - 1) < 4 * 0.5 / np.sqrt(3 * 2000)
    extreme = (board > 0.5).float().expand(200, 8, 8)  # 0 and 1 are the extreme values
    ours = augment(extreme, *sizes(*[(8, 8)] * 200), 8, setting, rng)
    assert ours.min() == 0
    assert ours.max() == 1


def test_padding_does_not_change_the_result(rng):
    images = chips(4, 96, 96)
    dark, bright = torch.zeros(4, 140, 150), torch.ones(4, 140, 150)
    dark[:, :96, :96] = bright[:, :96, :96] = images
    results = [
        augment(padded, *sizes(*[(96, 96)] * 4), 112, Augmentation(), torch_stream(1, "padding"))
        for padded in (images, dark, bright)
    ]
    torch.testing.assert_close(results[0], results[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(results[1], results[2], atol=0, rtol=0)


def test_the_same_generator_gives_the_same_images_and_no_other_generator_is_used():
    images, setting = chips(4, 64, 64), Augmentation()
    size = sizes(*[(64, 64)] * 4)
    before = torch.get_rng_state()
    first, second, other = (
        augment(images, *size, 48, setting, torch_stream(seed, "augment")) for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": (0.5, 1.5)},
        {"crop_ratio": (2.0, 1.0)},
        {"flip": 1.5},
        {"contrast": -0.1},
    ],
)
def test_the_error_names_a_setting_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)


@pytest.mark.gpu
def test_a_gpu_resizes_like_the_cpu(rng):
    images, size = chips(4, 128, 128), sizes(*[(128, 128)] * 4)
    crops = draw_crops(*size, Augmentation(), rng)
    for start, length in ((crops[:, 0], crops[:, 2]), (crops[:, 1], crops[:, 3])):
        ours = resampling(start.cuda(), length.cuda(), 128, 112).cpu()
        torch.testing.assert_close(ours, resampling(start, length, 128, 112), atol=1e-5, rtol=0)
    ours = resize(images[:, None].cuda(), 112).cpu()
    torch.testing.assert_close(ours, resize(images[:, None], 112), atol=1e-4, rtol=0)
    device_rng = torch_stream(0, "test", device="cuda")
    result = augment(images.cuda(), *(s.cuda() for s in size), 112, Augmentation(), device_rng)
    assert result.shape == (4, 1, 112, 112)


def test_speckle_of_l_looks_has_mean_1_and_variance_one_over_l():
    grey = torch.full((16, 1, 64, 64), 0.1)  # 0.1 x the largest drawn factor is below 1
    for looks in (1, 3):
        speckled = add_speckle(grey, looks, torch_stream(0, "speckle", looks))
        intensity = (speckled / 0.1).square()
        deviation = 1 / (looks * intensity.numel()) ** 0.5
        assert abs(intensity.mean() - 1) < 4 * deviation
        assert intensity.var() == pytest.approx(1 / looks, rel=0.05)


def test_speckle_is_a_field_of_an_augmentation():
    images, plain = chips(2, 32, 32), replace(PLAIN, looks=None)
    drawn = [
        augment(images, *sizes((32, 32), (32, 32)), 32, one, torch_stream(0, "looks"))
        for one in (plain, replace(PLAIN, looks=4))
    ]
    ratio = drawn[1][drawn[0] > 0.01] / drawn[0][drawn[0] > 0.01]
    assert 0.3 < ratio.min() < 0.8 < 1.2 < ratio.max()
    with pytest.raises(ValueError, match="looks must be 1 or more"):
        Augmentation(looks=0)
