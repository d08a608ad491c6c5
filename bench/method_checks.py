"""The contract of a method as small named checks, for `sarbench methods check` and our own tests.

Each check takes a method's class and raises `ContractError` with an explanation. All run on a tiny
encoder and made-up chips, so that any method is through in a few seconds on a CPU.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict

import safetensors.torch
import torch

from ..methods import SIZES
from ..methods._method import Method
from .method_samples import (
    TINY,
    TINY_224,
    ContractError,
    build,
    config_of,
    evaluation_input,
    fresh_rng,
    made_up_chips,
    predicts_patches,
)
from .prediction_checks import (
    hidden_patches_do_not_reach_the_prediction,
    mask_follows_the_rng,
    prediction_fits_together,
    processes_share_the_masks_of_one,
)

DOCSTRING_LINES = ("Paper:", "Source:", "Differs from the source:")
OVERFIT_STEPS = 20

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
                f"weight {name} differs between two builds from the same rng; end __init__ with "
                "initialise(self, rng), or draw it with generator=rng"
            )


def global_random_state_is_left_alone(method: type[Method]) -> None:
    """Building and training draw from the generator handed in, never from torch's global one."""
    before = torch.get_rng_state()
    built = build(method)
    if not method.control:
        built.loss(made_up_chips(2), fresh_rng())
    if not torch.equal(before, torch.get_rng_state()):
        raise ContractError(
            "the global random state has moved; every draw takes generator=rng (dropout cannot)"
        )


def tokens_have_one_shape(method: type[Method]) -> None:
    """The encoder maps chips to finite tokens (B, N, D), D being its `width` where that is set."""
    for encoder_config in (TINY, TINY_224, SIZES["vit_nano"]):
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
    """Where `finetune` is allowed, blocks are called `blocks.<i>` and drop path is accepted."""
    if "finetune" not in method.protocols:
        return
    encoder = method.build_encoder(config_of(method), TINY, drop_path=0.5).train()
    if not any(name.startswith("blocks.0.") for name, _ in encoder.named_parameters()):
        raise ContractError(
            "no weight of the encoder is called blocks.0.*, which layer decay goes by; rename its "
            "blocks, or leave 'finetune' out of `protocols`"
        )
    plain = method.build_encoder(config_of(method), TINY)
    if encoder.state_dict().keys() != plain.state_dict().keys():
        raise ContractError("drop_path changes the names of the encoder's weights")


def loss_is_a_positive_number(method: type[Method]) -> None:
    """The loss of a batch is one finite number above 0, at any input size and batch size."""
    for encoder_config, batch in ((TINY, 3), (TINY, 1), (TINY_224, 2), (SIZES["vit_nano"], 2)):
        loss = build(method, encoder_config).loss(
            made_up_chips(batch, encoder_config.input_px), fresh_rng()
        )
        if loss.ndim != 0 or not torch.isfinite(loss) or loss <= 0:
            raise ContractError(
                f"the loss of {batch} chips of {encoder_config.input_px} px must be a finite "
                f"number above 0, got {loss.detach()}"
            )


def loss_is_a_function_of_the_rng(method: type[Method]) -> None:
    """The same generator state gives the same loss."""
    built, images = build(method), made_up_chips(3)
    first, second = (built.loss(images, fresh_rng()).item() for _ in range(2))
    if first != second:
        raise ContractError(
            f"equal generators gave losses {first} and {second}; draw the mask with generator=rng "
            "and keep no state between calls"
        )


def gradients_reach_the_encoder(method: type[Method]) -> None:
    """Every weight of the encoder gets a gradient, and weights that are not trained get none."""
    built = build(method).train()
    for name, weight in built.encoder.named_parameters():
        if not weight.requires_grad:
            raise ContractError(f"encoder.{name} is not trained (requires_grad is False)")
    built.loss(made_up_chips(3), fresh_rng()).backward()
    for name, weight in built.named_parameters():
        if not weight.requires_grad and weight.grad is not None:
            raise ContractError(f"{name} is not trained and got a gradient")
        reached = weight.grad is not None and bool(weight.grad.ne(0).any())
        if name.startswith("encoder.") and not reached:
            raise ContractError(
                f"the loss does not reach {name}; is its output detached, or the weight unused?"
            )


def twenty_steps_lower_the_loss(method: type[Method]) -> None:
    """Twenty steps on one batch with one mask lower the loss by a tenth."""
    built, images = build(method).train(), made_up_chips(4)
    optimiser = torch.optim.AdamW(
        [weight for weight in built.parameters() if weight.requires_grad], lr=2e-3
    )
    losses = []
    for step in range(OVERFIT_STEPS + 1):
        loss = built.loss(images, fresh_rng())
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        built.after_step(step / OVERFIT_STEPS)
    if not losses[-1] < 0.9 * losses[0]:
        raise ContractError(
            f"after {OVERFIT_STEPS} steps on one batch the loss went from {losses[0]:.4g} to "
            f"{losses[-1]:.4g}; a method that cannot overfit four chips will not learn many"
        )


def after_step_leaves_the_encoder_alone(method: type[Method]) -> None:
    """`after_step` runs from start to end of training and changes no trained weight."""
    built = build(method)
    before = {name: weight.clone() for name, weight in built.named_parameters()}
    for progress in (0.0, 0.5, 1.0):
        built.after_step(progress)
    for name, weight in built.named_parameters():
        if not torch.isfinite(weight).all():
            raise ContractError(f"after_step makes {name} non-finite")
        if weight.requires_grad and not torch.equal(weight, before[name]):
            raise ContractError(f"after_step changes {name}, which is the optimiser's to change")


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
    prediction_fits_together,
    mask_follows_the_rng,
    processes_share_the_masks_of_one,
    hidden_patches_do_not_reach_the_prediction,
)
TRAINED: tuple[Check, ...] = (
    loss_is_a_positive_number,
    loss_is_a_function_of_the_rng,
    *MASKED,
    gradients_reach_the_encoder,
    twenty_steps_lower_the_loss,
    after_step_leaves_the_encoder_alone,
)


def checks_for(method: type[Method]) -> tuple[Check, ...]:
    """Return the checks that a method must pass.

    Controls are asked for no loss; a method with a loss of its own and no `predict` is asked for no
    masks.
    """
    if method.control:
        return ALWAYS
    masked = predicts_patches(method)
    return ALWAYS + tuple(check for check in TRAINED if masked or check not in MASKED)


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
