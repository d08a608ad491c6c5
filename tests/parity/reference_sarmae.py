"""The published code of SARMAE's masked autoencoder, run with our inputs."""

import importlib

from parity.checkouts import code_of, importable
from parity.inputs import chips, speckled
from parity.our_methods import IMAGES, Draw, Outcome
from parity.reference_methods import patches_of, sizes, ten_steps


def sarmae_outcome() -> tuple[list[Draw], Outcome]:
    """Return masks and results of ten steps of the autoencoder, with speckle in every chip."""
    with importable(code_of("speckle_mae")):
        network = importlib.import_module("models.models_mae").MaskedAutoencoderViT(**sizes())
    network.patchify = patches_of
    images = chips(IMAGES)
    return ten_steps(network, speckled(images), images)
