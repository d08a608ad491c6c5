"""Alignment against shifts, symmetries and correlations that are known."""

import numpy as np
import pytest
from planted import made_images

from sarbench.bench.audit.alignment import (
    CLASSES,
    SYMMETRIES,
    Image,
    align,
    align_resized,
    correlation,
    kind_of,
    turned,
)
from sarbench.bench.audit.content import content_of, ranks
from sarbench.bench.audit.descriptors import SIGNS, WINDOWS, describe_all

SCENE = made_images(1, 128)[0]


def test_ranks_do_not_change_under_a_monotone_change():
    image = np.random.default_rng(0).integers(0, 40, (20, 30)).astype(np.uint8)
    other = (image.astype(np.float32) ** 3 / 64_000).astype(np.float32)
    assert np.allclose(ranks(image), ranks(other))


def test_ranks_by_hand():
    assert np.allclose(
        ranks(np.array([[5, 5], [9, 200]], np.uint8)), [[-0.25, -0.25], [0.125, 0.375]]
    )


def test_correlation_is_that_of_numpy():
    one, other = np.random.default_rng(0).normal(size=(2, 9, 11)).astype(np.float32)
    assert correlation(one, other) == pytest.approx(np.corrcoef(one.ravel(), other.ravel())[0, 1])
    assert correlation(one, np.ones_like(one)) == 0


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("half_turn", range(2))
def test_symmetry_and_shift_are_recovered(place: int, half_turn: int):
    symmetry = CLASSES[place][half_turn]
    first = Image(SCENE[:96, :96])
    moved = SCENE[7:103, 12:108]
    inverse = (
        symmetry
        if symmetry not in ((True, True, False), (True, False, True))
        else ((True, False, True) if symmetry == (True, True, False) else (True, True, False))
    )
    second = Image(np.ascontiguousarray(turned(moved, inverse)))
    match = align(first, second, CLASSES[place])
    assert match.symmetry == symmetry
    assert match.shift_px == (7, 12)
    assert match.score > 0.99
    assert match.overlap == pytest.approx(89 * 84 / 96**2)
    assert kind_of(first, second, match) == "+".join(filter(None, (SYMMETRIES[symmetry], "shift")))


@pytest.mark.parametrize("place", range(4))
def test_descriptors_change_by_their_signs(place: int):
    one, other = describe_all(SCENE), describe_all(turned(SCENE, CLASSES[place][0]))
    for window, before, after in zip(WINDOWS, one, other, strict=True):
        if not window.fits(SCENE.shape):
            assert before is None
            continue
        assert before is not None
        assert np.allclose(before * SIGNS[place][:, None], after, atol=0.05)


def test_a_change_of_size_is_aligned():
    import PIL.Image

    smaller = np.asarray(PIL.Image.fromarray(SCENE).resize((112, 112)))
    match = align_resized(Image(SCENE), Image(smaller), CLASSES[0])
    assert match.score > 0.95
    assert kind_of(Image(SCENE), Image(smaller), match) == "resize"


def test_padding_is_not_compared():
    from dataclasses import replace

    from planted import chips_of

    padded = np.zeros((20, 20), np.uint8)
    padded[4:16, 5:15] = SCENE[:12, :10]
    chips = replace(chips_of([padded]), source_size=np.array([[12, 10]]))
    assert np.array_equal(content_of(chips, 0), SCENE[:12, :10])
