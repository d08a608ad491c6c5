"""Identities of given weights, and of pretrainings that continue from them."""

from typing import Any

from ..methods._encoders import INPUT, InputConfig
from .identity import GIVEN, Pretraining


def continued_from(given: Pretraining) -> dict[str, Any]:
    """Return the fields of a pretraining that continues from given weights.

    `init` has the version and the config of the weights, and `encoder` their network and input.
    """
    config = given.config
    network = given.encoder or {}
    return {
        "encoder": network | {"input": InputConfig.pick(config).input_json()},
        "init": {"version": given.method_version}
        | {name: value for name, value in config.items() if name not in INPUT},
    }


def given_of(identity: Pretraining) -> Pretraining | None:
    """Return the identity of the given weights that a pretraining continues from, if it does."""
    if identity.init is None:
        return None
    encoder, init = dict(identity.encoder or {}), dict(identity.init)
    version = init.pop("version")
    return without_training(GIVEN, version, init | encoder.pop("input"), encoder)


def weights_of(identity: Pretraining) -> Pretraining:
    """Return the identity of the given weights that a pretraining continues from, or is."""
    return given_of(identity) or identity


def without_training(
    method: str,
    version: int,
    config: dict[str, Any],
    encoder: dict[str, Any] | None,
    seed: int = 0,
) -> Pretraining:
    """Return the identity of weights that are given, or drawn with a seed, and not trained."""
    return Pretraining(
        method=method,
        method_version=version,
        config=config,
        encoder=encoder,
        precision="fp32",
        pool=[],
        pool_cap=None,
        pool_fraction=1.0,
        recipe=None,
        seed=seed,
    )


def input_of(encoder: dict[str, Any] | None, config: dict[str, Any]) -> InputConfig:
    """Return the input of the network of given weights.

    Args:
        encoder: Of the identity; it has the input if a pretraining continues from the weights.
        config: Of the identity; else this one has it.
    """
    return InputConfig.pick((encoder or {}).get("input") or config)
