"""The contract of a method as small named checks, for `sarbench methods check` and our own tests.

Each check takes a method's class and raises `ContractError` with an explanation. All run on a tiny
encoder and made-up chips, so that any method is through in a few seconds on a CPU.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ..methods import SIZES, EncoderConfig
from ..methods._method import Method, Prediction
from .seeding import torch_stream

TINY = EncoderConfig("check", 112, 8, 32, 2, 2, 32, 1, 2)
TINY_224 = EncoderConfig("check_224", 224, 16, 32, 1, 2, 32, 1, 2)
DOCSTRING_LINES = ("Paper:", "Source:", "Differs from the source:")
OVERFIT_STEPS = 20

Check = Callable[[type[Method]], None]


class ContractError(ValueError):
    """A method breaks the contract; the message says how and what to do."""


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
        json.dumps(asdict(_config(method)), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ContractError(
            f"Config does not become JSON ({error}); use numbers, strings, booleans and tuples"
        ) from error


def weights_come_from_the_rng(method: type[Method]) -> None:
    """Two methods built from equal generators have equal weights, whatever was drawn before."""
    first = _build(method).state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.rand(1)
        second = _build(method).state_dict()
    for name, weight in first.items():
        if not torch.equal(weight, second[name]):
            raise ContractError(
                f"weight {name} differs between two builds from the same rng; end __init__ with "
                "initialise(self, rng), or draw it with generator=rng"
            )


def global_random_state_is_left_alone(method: type[Method]) -> None:
    """Building and training draw from the generator handed in, never from torch's global one."""
    before = torch.get_rng_state()
    built = _build(method)
    if not method.control:
        built.loss(_chips(2), _rng())
    if not torch.equal(before, torch.get_rng_state()):
        raise ContractError(
            "the global random state has moved; every draw takes generator=rng (dropout cannot)"
        )


def tokens_have_one_shape(method: type[Method]) -> None:
    """The encoder maps chips to finite tokens (B, N, D), D being its `width` where that is set."""
    for encoder_config in (TINY, TINY_224, SIZES["vit_nano"]):
        encoder = _build(method, encoder_config).encoder.eval()
        tokens = encoder(_input(method, encoder_config))
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
    trained = _build(method).encoder.eval()
    state = safetensors.torch.load(safetensors.torch.save(trained.state_dict()))
    fresh = method.build_encoder(_config(method), TINY).eval()
    try:
        fresh.load_state_dict(state)
    except RuntimeError as error:
        raise ContractError(
            f"build_encoder does not build what __init__ trains: {error}"
        ) from error
    images = _input(method, TINY)
    if not torch.equal(trained(images), fresh(images)):
        raise ContractError(
            "the reloaded encoder gives other tokens; something it computes with is neither a "
            "parameter nor a buffer nor set by build_encoder"
        )


def encoder_can_be_finetuned(method: type[Method]) -> None:
    """Where `finetune` is allowed, blocks are called `blocks.<i>` and drop path is accepted."""
    if "finetune" not in method.protocols:
        return
    encoder = method.build_encoder(_config(method), TINY, drop_path=0.5).train()
    if not any(name.startswith("blocks.0.") for name, _ in encoder.named_parameters()):
        raise ContractError(
            "no weight of the encoder is called blocks.0.*, which layer decay goes by; rename its "
            "blocks, or leave 'finetune' out of `protocols`"
        )
    plain = method.build_encoder(_config(method), TINY)
    if encoder.state_dict().keys() != plain.state_dict().keys():
        raise ContractError("drop_path changes the names of the encoder's weights")


def loss_is_a_positive_number(method: type[Method]) -> None:
    """The loss of a batch is one finite number above 0, at any input size and batch size."""
    for encoder_config, batch in ((TINY, 3), (TINY, 1), (TINY_224, 2), (SIZES["vit_nano"], 2)):
        loss = _build(method, encoder_config).loss(_chips(batch, encoder_config.input_px), _rng())
        if loss.ndim != 0 or not torch.isfinite(loss) or loss <= 0:
            raise ContractError(
                f"the loss of {batch} chips of {encoder_config.input_px} px must be a finite "
                f"number above 0, got {loss.detach()}"
            )


def loss_is_a_function_of_the_rng(method: type[Method]) -> None:
    """The same generator state gives the same loss."""
    built, images = _build(method), _chips(3)
    first, second = (built.loss(images, _rng()).item() for _ in range(2))
    if first != second:
        raise ContractError(
            f"equal generators gave losses {first} and {second}; draw the mask with generator=rng "
            "and keep no state between calls"
        )


def prediction_fits_together(method: type[Method]) -> None:
    """Shapes, indices and gradients of a `Prediction` agree."""
    images = _chips(3)
    built = _build(method)
    prediction = built.predict(images, _rng())
    rows, patches = prediction.mask.shape
    count = TINY.patch_grid[0] * TINY.patch_grid[1]
    shapes = {
        "predicted": (prediction.predicted.shape[:2], (rows, patches)),
        "target": (prediction.target.shape, prediction.predicted.shape),
        "patches": (prediction.patches.shape, (rows, patches)),
        "images": (prediction.images.shape, (rows,)),
    }
    for name, (found, wanted) in shapes.items():
        if tuple(found) != tuple(wanted):
            raise ContractError(f"{name} has shape {tuple(found)}, expected {tuple(wanted)}")
    if prediction.mask.dtype != torch.bool:
        raise ContractError(f"mask must be bool, True = hidden, got {prediction.mask.dtype}")
    for name, index, limit in (
        ("patches", prediction.patches, count),
        ("images", prediction.images, len(images)),
    ):
        if index.min() < 0 or index.max() >= limit:
            raise ContractError(f"{name} must be from 0 to {limit - 1}")
    if prediction.images.unique().numel() != len(images):
        raise ContractError("some image of the batch has no row in the prediction")
    if prediction.target.requires_grad:
        raise ContractError(
            "the target carries gradient; compute it under torch.no_grad(), or the encoder learns "
            "to make it easy"
        )


def mask_follows_the_rng(method: type[Method]) -> None:
    """Another generator hides other patches, in every image of its own."""
    built, images = _build(method), _chips(1).expand(3, -1, -1, -1)
    drawn = [_hidden(built.predict(images, _rng(seed)), 3) for seed in (0, 1)]
    if not drawn[0].any():
        return  # it hides nothing, and says so
    if torch.equal(drawn[0], drawn[1]):
        raise ContractError("two generators hid the same patches; draw the mask from rng")
    if torch.equal(drawn[0][0], drawn[0][1]) and torch.equal(drawn[0][0], drawn[0][2]):
        raise ContractError("all images of a batch have the same patches hidden")


def hidden_patches_do_not_reach_the_prediction(method: type[Method]) -> None:
    """What `mask` calls hidden does not change the prediction; what is visible does."""
    built, images = _build(method).eval(), _chips(3)
    before = built.predict(images, _rng())
    for row in (0, len(before.images) - 1):
        hidden = torch.zeros(TINY.patch_grid[0] * TINY.patch_grid[1], dtype=torch.bool)
        hidden[before.patches[row][before.mask[row]]] = True
        for change, hides in ((hidden, True), (~hidden, False)):
            changed = images.clone()
            pixels = change.reshape(TINY.patch_grid).repeat_interleave(TINY.patch_px, 0)
            pixels = pixels.repeat_interleave(TINY.patch_px, 1)
            image = before.images[row]
            changed[image, 0] = torch.where(pixels, 1 - images[image, 0], images[image, 0])
            after = built.predict(changed, _rng())
            moved = not torch.allclose(before.predicted[row], after.predicted[row], atol=1e-6)
            if hides and moved:
                raise ContractError(
                    f"row {row} of the prediction changes with pixels that `mask` calls hidden "
                    "from it: either the mask is wrong or the answer leaks into the question"
                )
            if not hides and not moved:
                raise ContractError(
                    f"row {row} of the prediction does not depend on any visible pixel of image "
                    f"{int(image)}; is `images` right?"
                )


def gradients_reach_the_encoder(method: type[Method]) -> None:
    """Every weight of the encoder gets a gradient, and weights that are not trained get none."""
    built = _build(method).train()
    for name, weight in built.encoder.named_parameters():
        if not weight.requires_grad:
            raise ContractError(f"encoder.{name} is not trained (requires_grad is False)")
    built.loss(_chips(3), _rng()).backward()
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
    built, images = _build(method).train(), _chips(4)
    optimiser = torch.optim.AdamW(
        [weight for weight in built.parameters() if weight.requires_grad], lr=2e-3
    )
    losses = []
    for step in range(OVERFIT_STEPS + 1):
        loss = built.loss(images, _rng())
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
    built = _build(method)
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
TRAINED: tuple[Check, ...] = (
    loss_is_a_positive_number,
    loss_is_a_function_of_the_rng,
    prediction_fits_together,
    mask_follows_the_rng,
    hidden_patches_do_not_reach_the_prediction,
    gradients_reach_the_encoder,
    twenty_steps_lower_the_loss,
    after_step_leaves_the_encoder_alone,
)


def checks_for(method: type[Method]) -> tuple[Check, ...]:
    """Return the checks that a method must pass; controls are asked for no loss."""
    return ALWAYS if method.control else ALWAYS + TRAINED


def _config(method: type[Method]) -> Any:
    try:
        return method.Config()
    except TypeError as error:
        raise ContractError(f"Config needs a default for every field: {error}") from error


def _build(method: type[Method], encoder: EncoderConfig = TINY) -> Method:
    return method(_config(method), encoder, _rng())


def _rng(seed: int = 0) -> torch.Generator:
    return torch_stream(seed, "method checks")


def _chips(number: int, side_px: int = TINY.input_px) -> Tensor:
    """Return chips (B, 1, H, W): a bright smooth spot in speckled clutter, amplitude in [0, 1]."""
    rng = torch_stream(number, "method checks", "chips")
    axis = torch.linspace(-1, 1, side_px)
    centre = torch.rand(number, 2, 1, generator=rng) - 0.5
    rows, columns = (axis - centre).square().unbind(1)
    spot = torch.exp(-8 * (rows[:, :, None] + columns[:, None, :]))
    speckle = torch.rand(number, side_px, side_px, generator=rng).clamp(min=1e-6).log().neg().sqrt()
    return ((0.1 + 0.4 * spot) * speckle).clamp(max=1)[:, None]


def _input(method: type[Method], encoder: EncoderConfig) -> Tensor:
    """Return three of what the encoder is given when it is evaluated."""
    if method.evaluation_input == "size":
        return torch.tensor([[128.0, 128.0], [96.0, 130.0], [54.0, 54.0]]).reshape(3, 1, 1, 2)
    return _chips(3, encoder.input_px)


def _hidden(prediction: Prediction, images: int) -> Tensor:
    """Return how often each patch of each image is hidden, (B, N)."""
    times = torch.zeros(images, TINY.patch_grid[0] * TINY.patch_grid[1])
    index = prediction.images[:, None].expand_as(prediction.patches), prediction.patches
    return times.index_put(index, prediction.mask.float(), accumulate=True)
