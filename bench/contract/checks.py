"""The contract of a method as small named checks, for `sarbench methods check` and our tests.

Each check takes a method's class and raises `ContractError` with an explanation. All use a tiny
encoder and made-up chips, so one method takes a few seconds on a CPU.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...methods._encoders import SIZES
from ...methods._masked import MaskedPrediction
from ...methods._method import Method
from ..method_facts.sample_batches import (
    TINY,
    TINY_224,
    ContractError,
    build,
    config_of,
    encoders_for,
    evaluation_input,
)
from .masked_checks import (
    hidden_patches_do_not_reach_the_prediction,
    mask_follows_the_rng,
    masked_loss_is_positive,
    prediction_fits_together,
    processes_share_the_masks_of_one,
)
from .process_checks import halves_with_gather_equal_the_whole
from .state_checks import (
    encoder_reloads_strictly,
    global_random_state_is_left_alone,
    training_resumes_with_the_same_bits,
)
from .training_checks import (
    after_step_leaves_trained_weights_alone,
    any_encoder_means_any,
    features_do_not_collapse,
    gradients_reach_the_encoder,
    loss_is_a_function_of_the_rng,
    loss_is_one_finite_number,
    twenty_steps_lower_the_loss,
)

DOCSTRING_LINES = ("Paper:", "Source:", "Differs from the source:")
Check = Callable[[type[Method]], None]


def docstring_says_where_it_is_from(method: type[Method]) -> None:
    """The file's docstring names paper, source and differences."""
    text = sys.modules[method.__module__].__doc__ or ""
    missing = [line for line in DOCSTRING_LINES if line not in text]
    if missing:
        raise ContractError(
            f"the docstring of {method.__module__} lacks {', '.join(missing)}; it must say what "
            "is hidden, what is predicted, and from which paper and code the method is"
        )


def config_is_plain_data(method: type[Method]) -> None:
    """Config has a default for every field and is valid JSON, because it is part of a run's key."""
    try:
        json.dumps(asdict(config_of(method)), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"Config cannot be written as JSON ({error}); use numbers, strings, booleans and tuples"
        ) from error


def weights_come_from_the_rng(method: type[Method]) -> None:
    """Methods built from equal generators have equal weights, whatever torch drew before."""
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


def tokens_have_one_shape(method: type[Method]) -> None:
    """The encoder maps chips to finite tokens (B, N, D); D is its `width` unless that is 0."""
    for encoder_config in encoders_for(method, TINY, TINY_224, SIZES["vit_nano"]):
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


def encoder_can_be_finetuned(method: type[Method]) -> None:
    """An encoder for `finetune` numbers its layers and takes a drop path rate."""
    if "finetune" not in method.protocols:
        return
    encoder: Any = method.build_encoder(config_of(method), TINY, drop_path=0.5).train()
    named = {name for name, _ in encoder.named_parameters()}
    if not hasattr(encoder, "layer_numbers") or encoder.layer_numbers()[0].keys() != named:
        raise ContractError(
            "encoder.layer_numbers() must return the layer number of every weight by the weight's "
            "name, counted from the input, and the number of a head on top; layer decay needs "
            "them. Add it, or remove 'finetune' from `protocols`"
        )
    plain = method.build_encoder(config_of(method), TINY)
    if encoder.state_dict().keys() != plain.state_dict().keys():
        raise ContractError("drop_path changes the names of the encoder's weights")


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
    training_resumes_with_the_same_bits,
    halves_with_gather_equal_the_whole,
    *MASKED,
    gradients_reach_the_encoder,
    twenty_steps_lower_the_loss,
    features_do_not_collapse,
    after_step_leaves_trained_weights_alone,
)


def checks_for(method: type[Method]) -> tuple[Check, ...]:
    """Return the checks that a method must pass.

    Those of training are for methods that train; those of masks are for `MaskedPrediction` only.
    """
    if method.control or not method.trains:
        return ALWAYS
    masked = issubclass(method, MaskedPrediction)
    general = ALWAYS + tuple(check for check in TRAINED if masked or check not in MASKED)
    return (*general, any_encoder_means_any) if method.any_encoder else general


def run_checks(method: type[Method]) -> Iterator[tuple[str, str | None]]:
    """Run all checks of a method; yield each name, and the explanation of a failure or None."""
    for check in checks_for(method):
        name = check.__name__.replace("_", " ")
        try:
            check(method)
        except ContractError as error:
            yield name, str(error)
        except Exception as error:  # a method may fail in any way; the other checks still run
            yield name, f"{type(error).__name__}: {error}{_place(error, method)}"
        else:
            yield name, None


def _place(error: Exception, method: type[Method]) -> str:
    """Return the last line of the method's file in an error's traceback; empty without one."""
    file = sys.modules[method.__module__].__file__ or ""
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == file]
    return f" ({Path(file).name}:{lines[-1]})" if lines else ""
