"""A method with its settings and an encoder, and whether they fit together."""

from dataclasses import dataclass, field
from typing import Any

from ...results.record import digest_json


@dataclass(frozen=True)
class MethodSetup:
    """A method with its settings and an encoder."""

    method: str
    config: dict[str, Any]
    encoder: dict[str, Any] | None

    @property
    def settings(self) -> str:
        """The key of the method with its settings."""
        return f"{self.method} {digest_json(self.config)[:16]}"

    @property
    def key(self) -> str:
        """The key of method, settings and encoder."""
        return f"{self.settings} {digest_json(self.encoder)[:16]}"


@dataclass(frozen=True)
class Fit:
    """Facts of the encoder that a method builds, or the reason why it cannot."""

    problem: str = ""
    has_class_token: bool = False
    width: int = 0  # 0: the number of pixels of the chip
    architecture: str = ""
    patches: int = 0  # tokens that are not a class token; 0: not known
    linear_layers: list[str] = field(default_factory=list)  # kinds of them that `lora` can update
    passing: bool = False  # the problem is one of memory or files, so it is not cached
    unknown: bool = False  # timm has no such network
