"""The digest of weights, which does not depend on the file that holds them."""

from collections.abc import Mapping
from hashlib import sha256

from torch import Tensor


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over name, shape and float32 values of each tensor, sorted by name."""
    digest = sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {'x'.join(map(str, tensor.shape))}\n".encode())
        digest.update(tensor.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
