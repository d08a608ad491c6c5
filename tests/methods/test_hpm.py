"""HPM hides what its teacher expects to be hard, and learns the order of losses."""

import math
from unittest import mock

import pytest
import torch

from sarbench.bench.method_facts.sample_batches import TINY, made_up_chips
from sarbench.bench.seeding import torch_stream
from sarbench.methods import get
from sarbench.methods._method import Batch, MethodConfigError
from sarbench.methods.hpm import hardest_last, ranking_loss


def build(**config):
    method = get("hpm")
    return method(method.Config(**config), TINY, torch_stream(0, "weights")).eval()


def test_the_patches_of_highest_expected_loss_move_to_the_end_of_an_order():
    order = torch.tensor([[4, 0, 3, 1, 2]])
    expected = torch.tensor([[0.5, 0.1, 0.2, 0.9, 0.8]])
    assert hardest_last(order, expected, 0).tolist() == [[4, 0, 3, 1, 2]]
    assert hardest_last(order, expected, 2).tolist() == [[0, 1, 2, 4, 3]]


def test_the_loss_of_an_order_is_that_of_its_pairs():
    expected = torch.tensor([[1.0, 0.5, -1.0, 3.0]])
    found = torch.tensor([[0.3, 0.1, 0.2, 0.1]])  # patches 1 and 3 are equal
    gaps = (1.0 - 0.5, 1.0 + 1.0, 1.0 - 3.0, -1.0 - 0.5, -1.0 - 3.0)
    wanted = sum(math.log(1 + math.exp(-gap)) for gap in gaps) / len(gaps)
    assert ranking_loss(expected, found).item() == pytest.approx(wanted, rel=1e-4)
    assert ranking_loss(expected, torch.ones(1, 4)).item() == 0


def test_the_loss_is_that_of_pixels_and_of_the_order_of_hidden_patches():
    built, images = build(), made_up_chips(2)
    made, ranks, hidden = built._predict(images, torch_stream(1), 0.5)
    errors = ((made.predicted - made.target) ** 2).mean(-1)[made.mask].reshape(2, -1)
    in_row_order = ranks[made.mask].reshape(2, -1)
    assert errors.shape == hidden.shape == (2, 147)
    loss, kept = built.loss(Batch((images,), torch.arange(2), progress=0.5), torch_stream(1))
    torch.testing.assert_close(loss, errors.mean() + ranking_loss(in_row_order, errors))
    assert kept is None


def test_half_of_the_hidden_patches_are_the_hardest_at_the_end_and_none_at_the_start():
    built, images = build(), made_up_chips(3)
    with torch.no_grad():  # a teacher that is not the encoder
        for weight in built.teacher.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=torch_stream(3)))
    hardest = built.expected(images).topk(73).indices
    start = built.predict(images, torch_stream(2))
    method = get("mae")
    plain = method(method.Config(), TINY, torch_stream(0, "weights")).eval()
    assert torch.equal(start.mask, plain.predict(images, torch_stream(2)).mask)
    assert not start.mask.gather(1, hardest).all()
    built.after_step(1.0, torch.arange(3), None)
    hardest = built.expected(images).topk(73).indices
    end = built.predict(images, torch_stream(2))
    assert end.mask.gather(1, hardest).all()
    assert end.mask.sum(1).tolist() == start.mask.sum(1).tolist() == [147] * 3


def test_pixels_of_hidden_patches_reach_the_choice_of_the_mask_only():
    built, images = build(), made_up_chips(2)
    ranks = built.expected(images)
    with mock.patch.object(built, "expected", return_value=ranks):
        first, losses, _ = built._predict(images, torch_stream(1), 0.9)
        pixels = first.mask.reshape(2, 1, 14, 14).repeat_interleave(8, 2).repeat_interleave(8, 3)
        changed = torch.where(pixels, 1 - images, images)
        other, others, _ = built._predict(changed, torch_stream(1), 0.9)
    torch.testing.assert_close(first.predicted, other.predicted)
    torch.testing.assert_close(losses, others)
    assert not torch.allclose(ranks, built.expected(changed))


@pytest.mark.parametrize(
    ("progress", "steps", "momentum"),
    [(0.0, 0, 0.999), (0.25, 0, 0.99945), (0.9, 0, 0.9999), (0.0, 80, 0.9), (0.9, 8_000, 0.999)],
)
def test_the_teacher_is_a_moving_average_of_encoder_and_loss_predictor(progress, steps, momentum):
    built = build()
    built.steps = steps
    parts = built.encoder.norm, built.decoder.embed, built.ranker.norm
    with torch.no_grad():
        for part in parts:
            part.bias.fill_(1.0)
    built.after_step(progress, torch.arange(2), None)
    encoder, embed, ranker = built.teacher
    for average in (encoder.norm, embed, ranker.norm):
        wanted = torch.full_like(average.bias, 1 - momentum)
        torch.testing.assert_close(average.bias, wanted, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hard_share": 1.5}, "hard_share is 1.5; it must be from 0 to 1"),
        ({"momentum": (0.9, 0.5)}, "need 0 <= start <= end <= 1"),
        ({"momentum_rise": 0.0}, "momentum_rise is 0.0; it must be above 0"),
        ({"mask_ratio": 0.0}, "mask_ratio is 0.0"),
    ],
)
def test_a_config_that_cannot_work_is_refused(config, message):
    with pytest.raises(MethodConfigError, match=message):
        get("hpm").Config(**config)
