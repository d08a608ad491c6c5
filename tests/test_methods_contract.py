"""Every registered method keeps the contract; the checks themselves catch those who do not."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from sarbench.bench.method_checks import (
    ALWAYS,
    MASKED,
    TRAINED,
    Check,
    ContractError,
    checks_for,
    run_checks,
)
from sarbench.bench.seeding import torch_stream
from sarbench.methods import Encoder, Method, get, names


@pytest.mark.parametrize("check", ALWAYS + TRAINED, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", names())
def test_a_method_keeps_the_contract(name: str, check: Check):
    method = get(name)
    if check not in checks_for(method):
        pytest.skip(f"{name} is a control and is asked for no loss")
    check(method)


def skips_a_check(method: type[Method]) -> bool:
    """Return whether a method avoids a check that it should pass.

    A class that trains something (it has `loss` or `predict` of its own) is asked for all checks of
    training, whatever it says of itself.
    """
    masked = method.predict is not Method.predict
    trains = masked or method.loss is not Method.loss
    expected = {*ALWAYS, *(TRAINED if trains else ())} - set(() if masked else MASKED)
    return not expected or set(checks_for(method)) != expected


@pytest.mark.parametrize("name", names())
def test_no_method_skips_every_check(name: str):
    assert not skips_a_check(get(name))


def test_a_method_that_avoids_the_checks_is_found():
    assert skips_a_check(flawed(control=True))  # a method that calls itself a control
    nothing = type("Nothing", (Method,), {"control": False})
    assert skips_a_check(nothing)  # neither a control nor something that trains


def own_loss(self, images, rng):
    return self.encoder(images).square().mean()


def test_a_method_with_a_loss_of_its_own_is_asked_for_no_masks():
    method = flawed(predict=Method.predict, loss=own_loss)
    assert not skips_a_check(method)
    assert set(checks_for(method)) == {*ALWAYS, *TRAINED} - set(MASKED)


class Flawed(get("lomar")):
    """A method that keeps the contract; each test below breaks one thing."""


def flawed(**members: object) -> type[Method]:
    method = type("Broken", (Flawed,), members)
    method.__module__ = members.get("__module__", "sarbench.methods.lomar")
    return method


def test_the_flawless_parent_passes_every_check():
    for check in checks_for(flawed()):
        check(flawed())


def draws_globally(self, images, rng):
    return Flawed.loss(self, images, rng) + 0 * torch.rand(())


def forgets_initialise(self, config, encoder, rng):
    Method.__init__(self, config, encoder, rng)
    self.mask_token = torch.nn.Parameter(torch.zeros(encoder.width))
    self.predictor = self.build_predictor(self.target_values())


def leaks(self, images, rng):
    prediction = Flawed.predict(self, images, rng)
    return replace(prediction, predicted=prediction.predicted + prediction.target)


def is_blind(self, images, rng):
    return Flawed.predict(self, torch.zeros_like(images), rng)


def always_hides_the_same(self, images, rng):
    return Flawed.predict(self, images, torch_stream(0))


def knows_no_part_of_a_batch(self, images, rng):
    alone = torch.Generator()
    alone.set_state(rng.get_state())
    return Flawed.predict(self, images, alone)


def lets_the_target_learn(self, images, rng):
    prediction = Flawed.predict(self, images, rng)
    return replace(prediction, target=prediction.target + self.mask_token.sum())


def names_wrong_images(self, images, rng):
    prediction = Flawed.predict(self, images, rng)
    return replace(prediction, images=torch.zeros_like(prediction.images))


def detaches(self, images, rng):
    return Flawed.loss(self, images, rng).detach().requires_grad_()


def is_not_finite(self, images, rng):
    return Flawed.loss(self, images, rng) * float("nan")


def hardly_learns(self, images, rng):
    return 1 + Flawed.loss(self, images, rng) / 100


def counts_calls(self, images, rng):
    self.calls = getattr(self, "calls", 0) + 1
    return Flawed.loss(self, images, rng) * self.calls


def shrinks(self, progress):
    with torch.no_grad():
        self.encoder.norm.weight.mul_(0.5)


def builds_another(config, encoder, drop_path=0.0):
    return Encoder(replace(encoder, depth=encoder.depth + (drop_path == 0)), "relative")


@dataclass(frozen=True)
class NeedsMore:
    radius_px: int


@dataclass(frozen=True)
class HoldsAnObject(get("lomar").Config):
    device: object = field(default_factory=object)


@pytest.mark.parametrize(
    ("members", "check", "message"),
    [
        ({"loss": draws_globally}, "global_random_state_is_left_alone", "state has moved"),
        ({"__init__": forgets_initialise}, "weights_come_from_the_rng", "end __init__ with"),
        ({"predict": leaks}, "hidden_patches_do_not_reach_the_prediction", "answer leaks"),
        ({"predict": is_blind}, "hidden_patches_do_not_reach_the_prediction", "any visible pixel"),
        ({"predict": always_hides_the_same}, "mask_follows_the_rng", "hid the same patches"),
        ({"predict": knows_no_part_of_a_batch}, "processes_share_the_masks_of_one", "random_order"),
        ({"predict": lets_the_target_learn}, "prediction_fits_together", "carries gradient"),
        ({"predict": names_wrong_images}, "prediction_fits_together", "no row in the prediction"),
        ({"loss": detaches}, "gradients_reach_the_encoder", "does not reach encoder"),
        ({"loss": is_not_finite}, "loss_is_a_positive_number", "finite number above 0, got nan"),
        ({"loss": hardly_learns}, "twenty_steps_lower_the_loss", "the loss went from"),
        ({"loss": counts_calls}, "loss_is_a_function_of_the_rng", "keep no state between calls"),
        ({"after_step": shrinks}, "after_step_leaves_the_encoder_alone", "encoder.norm.weight"),
        (
            {"build_encoder": staticmethod(builds_another)},
            "encoder_can_be_finetuned",
            "changes the names",
        ),
        ({"Config": NeedsMore}, "config_is_plain_data", "a default for every field"),
        ({"Config": HoldsAnObject}, "config_is_plain_data", "does not become JSON"),
        ({"__module__": __name__}, "docstring_says_where_it_is_from", "lacks Paper:, Source:"),
    ],
)
def test_a_broken_method_is_found_and_explained(members, check, message):
    method = flawed(**members)
    (wanted,) = [each for each in checks_for(method) if each.__name__ == check]
    with pytest.raises(ContractError, match=message):
        wanted(method)


def test_running_all_checks_goes_on_after_a_failure_of_any_kind():
    def fails(self, images, rng):
        raise KeyError("out of order")

    results = dict(run_checks(flawed(loss=fails, predict=is_blind)))
    assert results["loss is a positive number"] == "KeyError: 'out of order'"
    assert "any visible pixel" in results["hidden patches do not reach the prediction"]
    assert results["tokens have one shape"] is None
    assert len(results) == len(ALWAYS + TRAINED)
