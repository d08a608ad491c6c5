"""A method built from the identity of its pretraining."""

from collections.abc import Mapping

from torch import Tensor

from ...methods import _registry
from ...methods._encoders import encoder_from_json
from ...methods._method import Method
from ..identity import Pretraining, from_json
from ..seeding import torch_stream


class NoLabelsError(ValueError):
    """A pool has no labels, but the method needs them."""


class NotTrainedHereError(ValueError):
    """Weights that come from a file, so that no pretraining makes them."""


class FirstWeightsError(ValueError):
    """A method that does not start from the given weights."""


def build_method(identity: Pretraining, weights: Mapping[str, Tensor] | None = None) -> Method:
    """Build the method of a pretraining, with the first weights of its seed.

    `weights` are those that it continues from, by their names in the encoder.

    Raises:
        NotTrainedHereError: The weights come from a file; drawn ones would replace them silently.
        FirstWeightsError: The constructor of the method changes the given weights.
    """
    method = _registry.get(identity.method)
    if not (method.trains or method.control) or (identity.init and weights is None):
        raise NotTrainedHereError(
            f"the weights of {identity.method} ({identity.key[:12]}) come from a file, and the "
            "store does not have them; rerun where the file is"
        )
    encoder = encoder_from_json(identity.encoder) if identity.encoder else None
    rng = torch_stream(identity.seed, "weights")
    config = from_json(method.Config, identity.config)
    chips = {"chips": identity.pool_count} if method.has_chip_state else {}
    if weights is None:
        return method(config, encoder, rng, **_labels_of(identity), **chips)
    built = method(config, encoder, rng, weights=weights, **_labels_of(identity), **chips)
    changed = [n for n, now in built.encoder.state_dict().items() if not now.equal(weights[n])]
    if changed:
        raise FirstWeightsError(
            f"{identity.method} changes {changed[0]} of the given weights when it is built; it "
            "must draw only its other weights, as `initialise` of methods/_vit.py does"
        )
    return built


def _labels_of(identity: Pretraining) -> dict[str, int]:
    """Return `classes=` for a method that needs labels, else nothing.

    Raises:
        NoLabelsError: The pool is not a single training split.
    """
    if not _registry.get(identity.method).needs_labels:
        return {}
    counts = [member.get("classes") for member in identity.pool]
    if len(counts) != 1 or counts[0] is None:
        raise NoLabelsError(
            f"{identity.method} needs labels, but its pool has none; give it a single training "
            'split, for example pool = ["mstar_soc:train"]'
        )
    return {"classes": counts[0]}
