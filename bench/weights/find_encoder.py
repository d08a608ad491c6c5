"""The encoder of a file of weights."""

from pathlib import Path

from ..given_file import NOTHING_STATED, Stated
from .fitting_networks import fitting_networks
from .given_weights import GivenWeights, StatedValueError
from .layouts import LAYOUTS, recognise
from .meta_dinov3 import is_meta
from .own_weights import has_own_header, own_weights
from .reading import WeightsFileError, read_tensors
from .timm_weights import timm_weights
from .vit_weights import vit_weights


def find_encoder(path: Path, stated: Stated = NOTHING_STATED) -> GivenWeights:
    """Return the encoder of a file, with the account of its keys, which may be incomplete.

    Raises:
        WeightsFileError: The file cannot be read, or no layout recognises it.
        StatedValueError: A stated value does not fit the file.
    """
    file = read_tensors(path)
    try:
        if has_own_header(file):
            return own_weights(file, stated)
        if stated.encoder is not None:
            return timm_weights(file, stated)
        if is_meta(file.tensors):
            raise WeightsFileError(
                "it has the names of Meta's DINOv3, whose network is timm's: name it, --encoder "
                "timm:vit_small_patch16_dinov3_qkvb (or base, large and so on; without _qkvb if "
                "the biases are 0)"
            )
        layout = recognise(file.tensors)
        if layout is None:
            if fitting := fitting_networks(file):
                raise WeightsFileError(
                    f"no layout recognises it, but {' and '.join(fitting)} of timm has these "
                    f"weights: name it, --encoder {fitting[0]} (in a grid: encoder = "
                    f'"{fitting[0]}")'
                )
            first = ", ".join(list(file.tensors)[:3])
            raise WeightsFileError(
                f"no layout recognises its {len(file.tensors)} tensors ({first}, ...). Layouts: "
                f"{', '.join(one.name for one in LAYOUTS)}. For a network of timm, name it: "
                "--encoder timm:NAME"
            )
        return vit_weights(file, layout, stated)
    except (WeightsFileError, StatedValueError) as error:
        raise type(error)(f"{path}: {error}") from error
    except Exception as error:  # names and shapes of a made-up file fail anywhere
        raise WeightsFileError(
            f"{path}: its names, shapes or header are not those of a network "
            f"({type(error).__name__}: {str(error)[:200]!a}); save its weights again where it was "
            "made"
        ) from error
