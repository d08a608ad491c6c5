"""The contract of a method as small named checks, for `sarbench methods check` and our own tests.

Each check takes a method's class and raises `ContractError` with an explanation. All run on a tiny
encoder and made-up chips, so that any method is through in a few seconds on a CPU.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from statistics import fmean
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ..methods._encoders import SIZES, AnyEncoder, EncoderConfig
from ..methods._method import Method
from .half_batches import in_halves
from .method_samples import (
    TINY,
    TINY_224,
    TINY_TIMM,
    ContractError,
    build,
    config_of,
    evaluation_input,
    fresh_rng,
    made_up_chips,
    predicts_patches,
    sample_batch,
)
from .prediction_checks import (
    hidden_patches_do_not_reach_the_prediction,
    mask_follows_the_rng,
    masked_loss_is_positive,
    prediction_fits_together,
    processes_share_the_masks_of_one,
)
from .pretrain import feature_spread

DOCSTRING_LINES = ("Paper:", "Source:", "Differs from the source:")
LEAST_BATCH = 4  # chips of the smallest batch that a method must take
STEPS = 20  # of the short training
AVERAGED = 5  # losses whose means are compared
# Of the spread before training. Bundled methods keep 0.11 or more; one whose loss pulls all
# features together keeps 0.03.
COLLAPSED = 0.05

Check = Callable[[type[Method]], None]


def docstring_says_where_it_is_from(method: type[Method]) -> None:
    """The file's docstring says what is done and names paper, source and differences."""
    text = sys.modules[method.__module__].__doc__ or ""
    missing = [line for line in DOCSTRING_LINES if line not in text]
    if missing:
        raise ContractError(
            f"the docstring of {method.__module__} lacks {', '.join(missing)}; a reader must learn "
            "there what is hidden, what is predicted, and whose method it is"
        )


def config_is_plain_data(method: type[Method]) -> None:
    """Config has a default for every field and becomes JSON, since it is part of a run's key."""
    try:
        json.dumps(asdict(config_of(method)), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"Config does not become JSON ({error}); use numbers, strings, booleans and tuples"
        ) from error


def weights_come_from_the_rng(method: type[Method]) -> None:
    """Two methods built from equal generators have equal weights, whatever was drawn before."""
    first = build(method).state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.rand(1)
        second = build(method).state_dict()
    for name, weight in first.items():
        if not torch.equal(weight, second[name]):
            raise ContractError(
                f"weight {name} differs between two builds from the same rng; draw it with "
                "generator=rng"
            )


def global_random_state_is_left_alone(method: type[Method]) -> None:
    """Building and training draw from the generator handed in, never from torch's global one."""
    before = torch.get_rng_state()
    built = build(method)
    if not method.control:
        built.loss(sample_batch(built, LEAST_BATCH), fresh_rng())
    if not torch.equal(before, torch.get_rng_state()):
        raise ContractError(
            "the global random state has moved; every draw takes generator=rng (dropout cannot)"
        )


def tokens_have_one_shape(method: type[Method]) -> None:
    """The encoder maps chips to finite tokens (B, N, D), D being its `width` where that is set."""
    for encoder_config in _encoders(method, TINY, TINY_224, SIZES["vit_nano"]):
        encoder = build(method, encoder_config).encoder.eval()
        tokens = encoder(evaluation_input(method, encoder_config))
        if tokens.ndim != 3 or len(tokens) != 3 or not torch.isfinite(tokens).all():
            raise ContractError(
                f"3 chips must become finite tokens (3, N, D), got {tuple(tokens.shape)} "
                f"at {encoder_config.input_px} px"
            )
        if not isinstance(encoder.has_class_token, bool):
            raise ContractError("encoder.has_class_token must be True or False")
        if encoder.width not in (0, tokens.shape[2]):
            raise ContractError(
                f"encoder.width is {encoder.width}, its tokens have length {tokens.shape[2]}"
            )


def encoder_reloads_strictly(method: type[Method]) -> None:
    """The encoder's weights, saved and loaded into `build_encoder`, give the same tokens."""
    trained = build(method).encoder.eval()
    state = safetensors.torch.load(safetensors.torch.save(trained.state_dict()))
    fresh = method.build_encoder(config_of(method), TINY).eval()
    try:
        fresh.load_state_dict(state)
    except RuntimeError as error:
        raise ContractError(
            f"build_encoder does not build what __init__ trains: {error}"
        ) from error
    images = evaluation_input(method, TINY)
    if not torch.equal(trained(images), fresh(images)):
        raise ContractError(
            "the reloaded encoder gives other tokens; something it computes with is neither a "
            "parameter nor a buffer nor set by build_encoder"
        )


def encoder_can_be_finetuned(method: type[Method]) -> None:
    """Where `finetune` is allowed, the encoder numbers its layers and takes a drop path rate."""
    if "finetune" not in method.protocols:
        return
    encoder: Any = method.build_encoder(config_of(method), TINY, drop_path=0.5).train()
    named = {name for name, _ in encoder.named_parameters()}
    if not hasattr(encoder, "layer_numbers") or encoder.layer_numbers().keys() != named:
        raise ContractError(
            "encoder.layer_numbers() must return the number of the layer of every weight by the "
            "weight's name, from the input on: layer decay goes by it. Add it, or leave 'finetune' "
            "out of `protocols`"
        )
    plain = method.build_encoder(config_of(method), TINY)
    if encoder.state_dict().keys() != plain.state_dict().keys():
        raise ContractError("drop_path changes the names of the encoder's weights")


def loss_is_one_finite_number(method: type[Method]) -> None:
    """The loss of a batch is one finite number, at any input size, for 4 chips or more."""
    for encoder_config, number in zip(
        _encoders(method, TINY, TINY, TINY_224, SIZES["vit_nano"]), (5, 4, 4, 4, 4), strict=False
    ):
        loss = _loss(build(method, encoder_config), number)
        if loss.ndim != 0 or not torch.isfinite(loss):
            raise ContractError(
                f"the loss of {number} chips of {encoder_config.input_px} px must be one finite "
                f"number, got {loss.detach()}"
            )


def loss_is_a_function_of_the_rng(method: type[Method]) -> None:
    """The same weights, buffers, batch and generator give the same loss."""
    built = build(method)
    state = {name: value.clone() for name, value in built.state_dict().items()}
    losses = []
    for _ in range(2):
        built.load_state_dict(state)
        losses.append(_loss(built, LEAST_BATCH).item())
    if losses[0] != losses[1]:
        raise ContractError(
            f"equal generators gave losses {losses[0]} and {losses[1]}; draw with generator=rng, "
            "and keep no state outside of buffers"
        )


def halves_with_gather_equal_the_whole(method: type[Method]) -> None:
    """Two processes with half of a batch each get the loss and gradients of one with all of it."""
    whole, parts = build(method).train(), build(method).train()
    batch = sample_batch(whole, 2 * LEAST_BATCH)
    rng = fresh_rng()
    loss, kept = _checked(whole.loss(batch, rng), 2 * LEAST_BATCH)
    loss.backward()
    found = in_halves(parts, batch)
    mean = torch.stack([one for one, _ in found]).mean()
    mean.backward()
    advice = (
        "several processes would train otherwise than one. Draw with `draw` or `random_order` of "
        "sarbench.methods, which know their part of the batch, and take what concerns other chips "
        "from batch.gather"
    )
    if not torch.allclose(mean, loss, rtol=1e-3, atol=1e-5):
        raise ContractError(
            f"the loss of a batch is {loss.item():.6g}, the mean of its halves with gather "
            f"{mean.item():.6g}: {advice}"
        )
    scale = max(float(p.grad.abs().max()) for p in whole.parameters() if p.grad is not None)
    for (name, one), other in zip(whole.named_parameters(), parts.parameters(), strict=True):
        if (one.grad is None) != (other.grad is None):
            raise ContractError(f"{name} gets a gradient in one process only: {advice}")
        if one.grad is not None and not torch.allclose(
            one.grad, other.grad, rtol=1e-2, atol=1e-4 * scale
        ):
            raise ContractError(
                f"the gradient of {name} differs between halves and whole: {advice}"
            )
    parts_kept = [rows for _, rows in found if rows is not None]
    if kept is not None and not torch.allclose(kept, torch.cat(parts_kept), rtol=1e-3, atol=1e-5):
        raise ContractError(f"the rows to remember differ between halves and whole: {advice}")


def gradients_reach_the_encoder(method: type[Method]) -> None:
    """Every weight of the encoder gets a gradient, and weights that are not trained get none."""
    built = build(method).train()
    for name, weight in built.encoder.named_parameters():
        if not weight.requires_grad:
            raise ContractError(f"encoder.{name} is not trained (requires_grad is False)")
    _loss(built, LEAST_BATCH).backward()
    for name, weight in built.named_parameters():
        if not weight.requires_grad and weight.grad is not None:
            raise ContractError(f"{name} is not trained and got a gradient")
        reached = weight.grad is not None and bool(weight.grad.ne(0).any())
        if name.startswith("encoder.") and not reached:
            raise ContractError(
                f"the loss does not reach {name}; is its output detached, or the weight unused?"
            )


def twenty_steps_lower_the_loss(method: type[Method]) -> None:
    """Twenty steps on one batch with one mask lower the loss by a tenth of its size.

    Means of the first and of the last steps are compared, because a queue or a moving target
    changes the task between two steps.
    """
    _, losses = _trained(method)
    first, last = fmean(losses[:AVERAGED]), fmean(losses[-AVERAGED:])
    if not (last < first - 0.1 * abs(first) or losses[-1] < losses[0] - 0.1 * abs(losses[0])):
        raise ContractError(
            f"in {STEPS} steps on one batch the loss went from {first:.4g} to {last:.4g} (means of "
            f"{AVERAGED} steps); a method that cannot overfit four chips will not learn many"
        )


def features_do_not_collapse(method: type[Method]) -> None:
    """After forty steps the features of different chips still differ."""
    chips = made_up_chips(8)
    before = feature_spread(build(method).encoder, chips)
    after = feature_spread(_trained(method, 2 * STEPS)[0].encoder, chips)
    if after < COLLAPSED * before:
        raise ContractError(
            f"the spread of features over chips fell from {before:.3g} to {after:.3g} in "
            f"{2 * STEPS} steps: every chip gets the same features; is something lacking that "
            "keeps them apart?"
        )


def after_step_leaves_trained_weights_alone(method: type[Method]) -> None:
    """`after_step` runs from start to end of training and changes no trained weight."""
    built = build(method)
    batch = sample_batch(built, LEAST_BATCH)
    with torch.no_grad():
        _, kept = _checked(built.loss(batch, fresh_rng()), LEAST_BATCH)
    before = {name: weight.clone() for name, weight in built.named_parameters()}
    for progress in (0.0, 0.5, 1.0):
        built.after_step(progress, batch.index, kept)
    for name, weight in built.named_parameters():
        if not torch.isfinite(weight).all():
            raise ContractError(f"after_step makes {name} non-finite")
        if weight.requires_grad and not torch.equal(weight, before[name]):
            raise ContractError(f"after_step changes {name}, which is the optimiser's to change")


def any_encoder_means_any(method: type[Method]) -> None:
    """A method that trains any encoder trains a convolutional one."""
    built = build(method, TINY_TIMM).train()
    _loss(built, LEAST_BATCH).backward()
    if not all(weight.grad is not None for weight in built.encoder.parameters()):
        raise ContractError(
            f"the loss does not reach every weight of {TINY_TIMM.name}; a method that needs an "
            "encoder of a certain kind sets any_encoder = False"
        )


def _encoders(method: type[Method], *ours: EncoderConfig) -> tuple[AnyEncoder, ...]:
    """Return the encoders that a method is checked on."""
    trained = method.evaluation_input == "encoder" and method.any_encoder
    return (*ours, TINY_TIMM) if trained else ours


def _loss(built: Method, number: int) -> Tensor:
    return _checked(built.loss(sample_batch(built, number), fresh_rng()), number)[0]


def _checked(found: Any, number: int) -> tuple[Tensor, Tensor | None]:
    """Return loss and rows, which must be a pair.

    Raises:
        ContractError: They are not.
    """
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], Tensor):
        raise ContractError(
            f"loss must return (loss, rows to remember or None), got {type(found).__name__}"
        )
    if found[1] is not None and len(found[1]) != number:
        raise ContractError(
            f"loss must return one row to remember for each of {number} chips, got {len(found[1])}"
        )
    return found


def _trained(method: type[Method], steps: int = STEPS) -> tuple[Method, list[float]]:
    """Return a method after a few steps on one batch, and the loss before each and after all."""
    built = build(method).train()
    batch = sample_batch(built, LEAST_BATCH)
    optimiser = torch.optim.AdamW(
        [weight for weight in built.parameters() if weight.requires_grad], lr=2e-3
    )
    losses = []
    for step in range(steps + 1):
        loss, kept = _checked(built.loss(batch, fresh_rng()), LEAST_BATCH)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        built.after_step(step / steps, batch.index, None if kept is None else kept.detach())
    return built, losses


ALWAYS: tuple[Check, ...] = (
    docstring_says_where_it_is_from,
    config_is_plain_data,
    weights_come_from_the_rng,
    global_random_state_is_left_alone,
    tokens_have_one_shape,
    encoder_reloads_strictly,
    encoder_can_be_finetuned,
)
MASKED: tuple[Check, ...] = (
    masked_loss_is_positive,
    prediction_fits_together,
    mask_follows_the_rng,
    processes_share_the_masks_of_one,
    hidden_patches_do_not_reach_the_prediction,
)
TRAINED: tuple[Check, ...] = (
    loss_is_one_finite_number,
    loss_is_a_function_of_the_rng,
    halves_with_gather_equal_the_whole,
    *MASKED,
    gradients_reach_the_encoder,
    twenty_steps_lower_the_loss,
    features_do_not_collapse,
    after_step_leaves_trained_weights_alone,
)


def checks_for(method: type[Method]) -> tuple[Check, ...]:
    """Return the checks that a method must pass.

    Controls are asked for no loss, and only masked prediction for masks.
    """
    if method.control:
        return ALWAYS
    masked = predicts_patches(method)
    general = ALWAYS + tuple(check for check in TRAINED if masked or check not in MASKED)
    return (*general, any_encoder_means_any) if method.any_encoder else general


def run_checks(method: type[Method]) -> Iterator[tuple[str, str | None]]:
    """Run all checks of a method; yield each one's name and its explanation where it failed."""
    for check in checks_for(method):
        name = check.__name__.replace("_", " ")
        try:
            check(method)
        except ContractError as error:
            yield name, str(error)
        except Exception as error:  # a method may fail in any way; the other checks still run
            yield name, f"{type(error).__name__}: {error}"
        else:
            yield name, None
