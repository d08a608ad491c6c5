"""Files of encoder weights, saved with the identity of their pretraining and loaded strictly."""

import json
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..identity import Pretraining
from .atomic import write_atomic


class CheckpointMismatchError(ValueError):
    """A file of weights is damaged or belongs to another pretraining or encoder."""

    failure_class = "data"


def save_encoder(path: Path, encoder: nn.Module, identity: Pretraining) -> str:
    """Write the weights with the identity of their pretraining; return the file's SHA-256."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in encoder.state_dict().items()}
    content = save(
        tensors, metadata={"pretraining": json.dumps(identity.to_json(), sort_keys=True)}
    )
    write_atomic(path, content)
    return sha256(content).hexdigest()


def load_encoder(path: Path, encoder: nn.Module, identity: Pretraining) -> None:
    """Load all weights of an encoder from a file.

    Raises:
        CheckpointMismatchError: The file is damaged or belongs to another pretraining, or its
            weights do not match the encoder one to one.
    """
    try:
        encoder.load_state_dict(read_encoder(path, identity), strict=True)
    except RuntimeError as error:
        raise CheckpointMismatchError(f"{path}: {error}") from error


def read_encoder(path: Path, identity: Pretraining) -> dict[str, Tensor]:
    """Return all weights of the encoder of a pretraining, by name.

    Raises:
        CheckpointMismatchError: The file is damaged or belongs to another pretraining.
    """
    try:
        with safe_open(path, framework="pt") as file:
            saved = (file.metadata() or {}).get("pretraining", "{}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointMismatchError(f"{path} cannot be read: {error}") from error
    if json.loads(saved) != json.loads(json.dumps(identity.to_json())):
        raise CheckpointMismatchError(f"{path} holds {saved}, not pretraining {identity.key[:12]}")
    return tensors
