"""Files of encoder weights, saved with the identity of their pretraining and loaded strictly."""

import json
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ...results.record import PretrainRecord
from ..identity import Pretraining
from .atomic import file_digest, write_atomic
from .records import Store


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


def load_encoder(store: Store, encoder: nn.Module, identity: Pretraining) -> None:
    """Load all weights of the stored encoder of a pretraining.

    Raises:
        CheckpointMismatchError: The file is not that of the record, or its weights do not match the
            encoder one to one.
    """
    try:
        encoder.load_state_dict(read_encoder(store, identity), strict=True)
    except RuntimeError as error:
        raise CheckpointMismatchError(f"{store.encoder(identity.key)}: {error}") from error


def check_weights(store: Store, identity: Pretraining) -> PretrainRecord:
    """Return the record of a pretraining whose stored encoder is the one that it describes.

    A file is read once in a process.

    Raises:
        CheckpointMismatchError: The record is missing, or it describes another file.
    """
    path = store.encoder(identity.key)
    record: PretrainRecord | None = store.read("pretrain", identity.key)
    if record is None:
        raise CheckpointMismatchError(
            f"pretraining {identity.key[:12]} has no record; run the pretraining first"
        )
    try:
        found = path.stat()
        digest = _digest(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    except OSError as error:
        raise CheckpointMismatchError(
            f"{path} cannot be read: {error.strerror}; merge a store that has it, or rerun the "
            "pretraining with `sarbench run --force`"
        ) from error
    if digest != record.weights_digest:
        raise CheckpointMismatchError(
            f"{path} is not the file that its record describes; "
            "rerun the pretraining with `sarbench run --force`"
        )
    return record


@lru_cache(maxsize=256)
def _digest(path: Path, *stamp: int) -> str:
    """Return the SHA-256 of a file with a certain size and times."""
    return file_digest(path)


def read_encoder(store: Store, identity: Pretraining) -> dict[str, Tensor]:
    """Return all weights of the stored encoder of a pretraining, by name.

    Raises:
        CheckpointMismatchError: The file is damaged, is not that of the record, or belongs to
            another pretraining.
    """
    check_weights(store, identity)
    path = store.encoder(identity.key)
    try:
        with safe_open(path, framework="pt") as file:
            saved = (file.metadata() or {}).get("pretraining", "{}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointMismatchError(f"{path} cannot be read: {error}") from error
    if json.loads(saved) != json.loads(json.dumps(identity.to_json())):
        raise CheckpointMismatchError(f"{path} holds {saved}, not pretraining {identity.key[:12]}")
    return tensors
