"""Every registered method passes the contract; the checks find methods that break it."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from commands import call_here

from sarbench.bench.contract import checks
from sarbench.bench.contract.checks import (
    ALWAYS,
    MASKED,
    TRAINED,
    Check,
    ContractError,
    any_encoder_means_any,
    checks_for,
    run_checks,
)
from sarbench.bench.contract.process_checks import halves_with_gather_equal_the_whole
from sarbench.bench.contract.state_checks import (
    encoder_reloads_strictly,
    training_resumes_with_the_same_bits,
)
from sarbench.bench.contract.training_checks import (
    features_do_not_collapse,
    loss_is_a_function_of_the_rng,
    loss_is_one_finite_number,
    twenty_steps_lower_the_loss,
)
from sarbench.bench.contract.two_threads import HalvesDifferError
from sarbench.bench.contract.unsaved_state import nearly_same, unsaved_differences
from sarbench.bench.method_facts.sample_batches import POOL
from sarbench.bench.seeding import torch_stream
from sarbench.methods import Encoder, MaskedPrediction, Method, get, names

# Slow are the longest checks of a method if another of its family passes them here: `mae`,
# `sar_jepa` and `i_jepa` of those that hide patches, `simclr` of those with several crops.
LIKE_MAE = {"lomar", "simmim", "low_pass", "fg_mae", "maskfeat", "speckle_mae", "hpm"}
LIKE_SAR_JEPA = {"pgga", "lomar_sar", "sar_hog", "sar_jepa_gauss", "multi_scale_structure"}
VARIANTS = LIKE_MAE | LIKE_SAR_JEPA | {"dmt_jepa"}
SEVERAL_CROPS = {"vicreg", "dino", "lejepa"}  # their steps are long
WITH_STATE = {"hpm", "dmt_jepa", "dino"}  # a teacher or a centre, which a resume needs
LONGEST = {features_do_not_collapse, twenty_steps_lower_the_loss}
SLOW = {(name, check) for name in VARIANTS | SEVERAL_CROPS for check in LONGEST}
SLOW |= {(name, halves_with_gather_equal_the_whole) for name in VARIANTS | {"lejepa", "dino"}}
SLOW |= {
    (name, training_resumes_with_the_same_bits) for name in (VARIANTS | SEVERAL_CROPS) - WITH_STATE
}
SLOW.add(("dino", encoder_reloads_strictly))  # `training_resumes` loads its weights too
CASES = [
    pytest.param(
        name, check, id=f"{name}-{check.__name__}",
        marks=[pytest.mark.slow] if (name, check) in SLOW else [],
    )
    for name in names() for check in ALWAYS + TRAINED
]  # fmt: skip


@pytest.mark.parametrize(("name", "check"), CASES)
def test_a_method_passes_the_contract(name: str, check: Check):
    method = get(name)
    if check not in checks_for(method):
        pytest.skip(f"{check.__name__} is not for {name}")
    check(method)


def skips_a_check(method: type[Method]) -> bool:
    """Return whether a method avoids a check that it should pass.

    A class with its own `loss` or `predict` trains something and needs all checks of training,
    also if it calls itself a control.
    """
    masked = issubclass(method, MaskedPrediction)
    trains = masked or method.loss is not Method.loss
    expected = {*ALWAYS, *(TRAINED if trains else ())} - set(() if masked else MASKED)
    if trains and method.any_encoder:
        expected.add(any_encoder_means_any)
    return not expected or set(checks_for(method)) != expected


@pytest.mark.parametrize("name", names())
def test_no_method_skips_every_check(name: str):
    assert not skips_a_check(get(name))


def test_a_method_that_avoids_the_checks_is_found():
    assert skips_a_check(flawed(control=True))  # a method that calls itself a control
    nothing = type("Nothing", (Method,), {"control": False})
    assert skips_a_check(nothing)  # neither a control nor something that trains


def test_only_masked_prediction_has_checks_of_masks():
    assert set(checks_for(get("simclr"))) == {*ALWAYS, *TRAINED, any_encoder_means_any} - {*MASKED}
    assert set(checks_for(get("mae"))) == {*ALWAYS, *TRAINED}


class Flawed(get("lomar")):
    """A method that passes the contract; each test below breaks one thing."""


def flawed(**members: object) -> type[Method]:
    method = type("Broken", (Flawed,), members)
    method.__module__ = members.get("__module__", "sarbench.methods.lomar")
    return method


def test_the_parent_without_flaws_passes_every_check():
    for check in checks_for(flawed()):
        check(flawed())


def changed(change, parent=Flawed):
    """Return a loss that changes the one of the parent."""

    def loss(self, batch, rng):
        value, kept = parent.loss(self, batch, rng)
        return change(self, value), kept

    return loss


def draws_elsewhere(self, config, encoder, rng):
    Flawed.__init__(self, config, encoder, rng)
    drawn = np.random.default_rng().random(encoder.width)
    self.mask_token = torch.nn.Parameter(torch.from_numpy(drawn).float())


def leaks(self, images, rng):
    prediction = Flawed.predict(self, images, rng)
    return replace(prediction, predicted=prediction.predicted + prediction.target)


def is_blind(self, images, rng):
    return Flawed.predict(self, torch.zeros_like(images), rng)


def always_hides_the_same(self, images, rng):
    return Flawed.predict(self, images, torch_stream(0))


def draws_the_mask_from_the_global_state(self, images, rng):
    return Flawed.predict(self, images, torch_stream(int(torch.randint(10**6, ()))))


def ignores_the_part_of_the_batch(self, images, rng):
    alone = torch.Generator()
    alone.set_state(rng.get_state())
    return Flawed.predict(self, images, alone)


def lets_the_target_learn(self, images, rng):
    prediction = Flawed.predict(self, images, rng)
    return replace(prediction, target=prediction.target + self.mask_token.sum())


def names_wrong_images(self, images, rng):
    prediction = Flawed.predict(self, images, rng)
    return replace(prediction, images=torch.zeros_like(prediction.images))


def counts_calls(self, value):
    self.calls = getattr(self, "calls", 0) + 1
    return value * self.calls


def returns_no_pair(self, batch, rng):
    return Flawed.loss(self, batch, rng)[0]


def keeps_too_little(self, batch, rng):
    return Flawed.loss(self, batch, rng)[0], torch.zeros(1, 3)


def shrinks(self, progress, index, kept):
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
        (
            {"loss": changed(lambda _, v: v + 0 * torch.rand(()))},
            "global_random_state_is_left_alone",
            "state has moved",
        ),
        ({"__init__": draws_elsewhere}, "weights_come_from_the_rng", "generator=rng"),
        ({"predict": leaks}, "hidden_patches_do_not_reach_the_prediction", "target leaks"),
        ({"predict": is_blind}, "hidden_patches_do_not_reach_the_prediction", "any visible pixel"),
        ({"predict": always_hides_the_same}, "mask_follows_the_rng", "hide the same patches"),
        (
            {"predict": draws_the_mask_from_the_global_state},
            "mask_follows_the_rng",
            "from rng alone",
        ),
        (
            {"predict": ignores_the_part_of_the_batch},
            "processes_share_the_masks_of_one",
            "random_order",
        ),
        ({"predict": lets_the_target_learn}, "prediction_fits_together", "carries gradient"),
        ({"predict": names_wrong_images}, "prediction_fits_together", "no row in the prediction"),
        (
            {"loss": changed(lambda _, v: v.detach().requires_grad_())},
            "gradients_reach_the_encoder",
            "encoder.* gets no gradient",
        ),
        (
            {"loss": changed(lambda _, v: v * float("nan"))},
            "loss_is_one_finite_number",
            "one finite number, got nan",
        ),
        ({"loss": changed(lambda _, v: -v)}, "masked_loss_is_positive", "above 0, got -"),
        (
            {"loss": changed(lambda _, v: 1 + v / 100)},
            "twenty_steps_lower_the_loss",
            "must fall by 10%",
        ),
        (
            {"loss": changed(counts_calls)},
            "loss_is_a_function_of_the_rng",
            "no state outside of buffers",
        ),
        ({"loss": returns_no_pair}, "loss_is_one_finite_number", r"must return \(loss, rows"),
        ({"loss": keeps_too_little}, "loss_is_one_finite_number", "one row to remember for each"),
        (
            {"after_step": shrinks},
            "after_step_leaves_trained_weights_alone",
            "encoder.norm.weight",
        ),
        (
            {"build_encoder": staticmethod(builds_another)},
            "encoder_can_be_finetuned",
            "changes the names",
        ),
        ({"Config": NeedsMore}, "config_is_plain_data", "a default for every field"),
        ({"Config": HoldsAnObject}, "config_is_plain_data", "as JSON"),
        ({"__module__": __name__}, "docstring_says_where_it_is_from", "lacks Paper:, Source:"),
    ],
)
def test_a_broken_method_is_found_and_explained(members, check, message):
    method = flawed(**members)
    (wanted,) = [each for each in checks_for(method) if each.__name__ == check]
    with pytest.raises(ContractError, match=message):
        wanted(method)


def test_all_checks_run_after_a_failure_of_any_kind():
    def fails(self, batch, rng):
        raise KeyError("out of order")

    results = dict(run_checks(flawed(loss=fails, predict=is_blind)))
    assert results["loss is one finite number"] == "KeyError: 'out of order'"
    assert "any visible pixel" in results["hidden patches do not reach the prediction"]
    assert results["tokens have one shape"] is None
    assert len(results) == len(ALWAYS + TRAINED)


def test_an_error_of_a_method_names_its_line_and_is_printed_once(monkeypatch):
    def fails(self, batch, rng):
        raise NameError("imags")

    line = fails.__code__.co_firstlineno + 1
    error = f"NameError: imags (test_checks.py:{line})"
    chosen = loss_is_one_finite_number, loss_is_a_function_of_the_rng
    monkeypatch.setattr(checks, "checks_for", lambda method: chosen)
    outcomes = list(run_checks(flawed(loss=fails, __module__=__name__)))
    assert [problem for _, problem in outcomes] == [error, error]
    monkeypatch.setattr(checks, "run_checks", lambda method: outcomes)
    done = call_here("methods", "check", "mae")
    assert (done.stdout.count(error), done.stdout.count("same error")) == (1, 1)
    assert (done.returncode, "mae: 2 checks failed" in done.stderr) == (1, True)


def compares_with_its_own_rows_only(self, batch, rng):
    return get("simclr").loss(self, replace(batch, gather=lambda rows: rows), rng)


def gathers_in_one_process_only(self, batch, rng):
    if batch.index[-1] != POOL - 1:  # the first half of a batch
        batch.gather(batch.index)
    return get("simclr").loss(self, batch, rng)


def draws_for_its_share_only(self, batch, rng):
    alone = torch.Generator()
    alone.set_state(rng.get_state())
    noise = torch.rand(batch.views[0].shape, generator=alone)
    views = tuple(view + 0.1 * noise for view in batch.views)
    return get("simclr").loss(self, replace(batch, views=views), rng)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (compares_with_its_own_rows_only, r"batch\.gather"),
        (gathers_in_one_process_only, "with different rows"),
        (draws_for_its_share_only, "Draw with `draw`"),
    ],
)
def test_a_loss_that_depends_on_the_number_of_processes_is_found(loss, message):
    broken = type("Broken", (get("simclr"),), {"loss": loss})
    with pytest.raises((ContractError, HalvesDifferError), match=message):
        halves_with_gather_equal_the_whole(broken)


def pulls_everything_together(self, batch, rng):
    features = self.encoder(batch.views[0]).mean(1)
    return (features - features.mean(0)).square().mean().log(), None


def test_features_that_collapse_are_found():
    broken = type("Broken", (get("simclr"),), {"loss": pulls_everything_together})
    with pytest.raises(ContractError, match="the same features"):
        features_do_not_collapse(broken)


class Centred(get("simclr")):
    """SimCLR with a term that pulls features from their running mean; the tests break the mean."""

    def __init__(self, config, encoder, rng):
        super().__init__(config, encoder, rng)
        self.make_centre(torch.zeros(self.encoder.width))

    def make_centre(self, centre):
        self.register_buffer("centre", centre)

    def loss(self, batch, rng):
        loss, _ = super().loss(batch, rng)
        features = self.features(batch)
        return loss + 0.5 * (features - self.centre).square().mean(), features

    def features(self, batch):
        return self.encoder(batch.views[0]).mean(1)

    def after_step(self, progress, index, kept):
        self.centre = 0.5 * self.centre + 0.5 * kept.mean(0)


def has_a_plain_attribute(self, centre):
    self.centre = centre


def has_a_buffer_that_is_not_saved(self, centre):
    self.register_buffer("centre", centre, persistent=False)


def leaves_rows_on_the_method(self, batch, rng):
    loss, self.last = Centred.loss(self, batch, rng)
    return loss, None


def reads_what_loss_left(self, progress, index, kept):
    Centred.after_step(self, progress, index, self.last.detach())


def draws_from_torch(self, progress, index, kept):
    self.centre.copy_(torch.randn(self.centre.shape))


def draws_from_numpy(self, progress, index, kept):
    self.centre.fill_(np.random.rand())  # noqa: NPY002


def draws_unseeded(self, progress, index, kept):
    self.centre.fill_(np.random.default_rng().random())


def changes_weights_of_six_chips(self, progress, index, kept):
    if len(index) not in (4, 8):
        for weight in self.encoder.parameters():
            weight.mul_(0.5)


class CentredEncoder(Encoder):
    """An encoder whose tokens are centred by a mean that its weights do not hold."""

    def forward(self, images, *more, **named):
        return super().forward(images, *more, **named) - getattr(self, "mean", 0)


def builds_a_centred_encoder(config, encoder, drop_path=0.0):
    return CentredEncoder(encoder, "absolute", drop_path=drop_path)


def moves_the_mean_of_the_encoder(self, progress, index, kept):
    self.encoder.mean = getattr(self.encoder, "mean", 0) + 0.5 * kept.mean(0)


def named(check: str) -> Check:
    (found,) = [each for each in ALWAYS + TRAINED if each.__name__ == check]
    return found


@pytest.mark.parametrize(
    ("members", "check", "message"),
    [
        (
            {
                "build_encoder": staticmethod(builds_a_centred_encoder),
                "after_step": moves_the_mean_of_the_encoder,
                "any_encoder": False,
            },
            "encoder_reloads_strictly",
            "after 2 steps of training; .* does not hold mean. Make everything",
        ),
        (
            {"make_centre": has_a_plain_attribute},
            "training_resumes_with_the_same_bits",
            r"the loss of step 3 .* does not hold centre\. Keep all state .* in buffers",
        ),
        (
            {"make_centre": has_a_buffer_that_is_not_saved},
            "training_resumes_with_the_same_bits",
            r"does not hold centre\. .* without persistent=False",
        ),
        (
            {"after_step": draws_unseeded},
            "training_resumes_with_the_same_bits",
            "two uninterrupted trainings from the same rng differ too",
        ),
        (
            {"loss": leaves_rows_on_the_method, "after_step": reads_what_loss_left},
            "halves_with_gather_equal_the_whole",
            r"in step 1 the state .* differs in centre: .* Attributes that differ too: last",
        ),
        (
            {"after_step": draws_from_torch},
            "global_random_state_is_left_alone",
            "after_step draws from that of torch; after_step gets no generator",
        ),
        (
            {"after_step": draws_from_numpy},
            "global_random_state_is_left_alone",
            "after_step draws from that of numpy",
        ),
        (
            {"after_step": changes_weights_of_six_chips},
            "after_step_leaves_trained_weights_alone",
            "after_step with 6 chips changes encoder",
        ),
    ],
)
def test_state_that_a_training_loses_is_found_and_named(members, check, message):
    with pytest.raises(ContractError, match=message):
        named(check)(type("Broken", (Centred,), members))


@pytest.mark.parametrize(
    "check",
    [
        "global_random_state_is_left_alone",
        "encoder_reloads_strictly",
        "training_resumes_with_the_same_bits",
        "halves_with_gather_equal_the_whole",
        "after_step_leaves_trained_weights_alone",
    ],
)
def test_a_running_mean_in_a_buffer_passes_the_checks_of_state(check):
    named(check)(Centred)


def test_unsaved_state_is_compared_by_value():
    one, other = torch.nn.Sequential(torch.nn.ReLU()), torch.nn.Sequential(torch.nn.ReLU())
    one[0].rows, other[0].rows = [torch.zeros(2), {"a": 1}], [torch.zeros(2), {"a": 1}]
    one.draw, other.draw = (np.random.default_rng(0) for _ in range(2))
    assert unsaved_differences(one, other) == ""
    other[0].rows[0][1] = -0.0
    other.draw.random()
    one.late = None
    assert unsaved_differences(one, other) == "draw, late, 0.rows"
    assert unsaved_differences(one, other, nearly_same) == "draw, late"
