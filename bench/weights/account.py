"""The account of a file: each key is used, skipped for a reason, or stops the import."""

from dataclasses import dataclass, field


@dataclass
class Account:
    """The keys of a file by their use.

    Attributes:
        used: Keys whose tensors are weights of the encoder.
        skipped: Reason -> keys of tensors that the encoder does not need.
        missing: Weights of the encoder that the file lacks.
        unexpected: Keys that the layout does not have, or whose shape does not fit.
    """

    used: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """True if each key is accounted for and no weight is missing."""
        return not (self.missing or self.unexpected)

    @property
    def hint(self) -> str:
        """Advice about what is unaccounted."""
        if any("rpe_q" in key or "rpe_v" in key for key in self.unexpected):
            return (
                "tables of relative positions for queries and values (rpe_q, rpe_v) belong to "
                "another network; one with tables for keys (rpe_k) alone is computed"
            )
        if any(", not (" in key for key in self.unexpected):
            return (
                "shapes do not fit: correct the stated sizes, or name the network with `encoder` "
                "(--encoder timm:NAME) if it is another one"
            )
        if self.unexpected and self.missing:
            return (
                "some names differ, or it is another network: rename the keys where the file was "
                "made, or name the network with `encoder` (--encoder timm:NAME) if timm has it"
            )
        if self.unexpected:
            return (
                "the network has parts that this layout does not compute: name it with `encoder` "
                "(--encoder timm:NAME) if timm has it, or save the weights of the encoder alone"
            )
        return "the file is a part of a network: take the file of the whole encoder"

    def skip(self, key: str, reason: str) -> None:
        """Add a skipped key."""
        self.skipped.setdefault(reason, []).append(key)

    def skip_or_refuse(self, key: str, reason: str | None) -> None:
        """Add a key that is skipped for a reason, or unexpected without one."""
        if reason:
            self.skip(key, reason)
        else:
            self.unexpected.append(key)

    def to_json(self) -> dict[str, int | list[str]]:
        """Return the number of used keys, and the lists of all others."""
        return {
            "used": len(self.used),
            "skipped": sorted(key for keys in self.skipped.values() for key in keys),
            "missing": sorted(self.missing),
            "unexpected": sorted(self.unexpected),
        }


class UnaccountedKeysError(ValueError):
    """A file with keys that the layout does not have, or without weights that the encoder needs."""

    failure_class = "data"
