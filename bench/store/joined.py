"""A store and archives read as one store, for the archive of a grid that was run in parts."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..identity import Kind
from .archive import ArchivedStore
from .records import DamagedRecordError, Store, record_difference
from .run_predictions import NAMES, PREDICTIONS_FILE


@dataclass(frozen=True)
class JoinedStore(Store):
    """Several sources as one store, for reading.

    Of each record and file, the first source that has it provides it. Its `root` holds the
    descriptions of sets and the caches, but neither pretrainings nor runs.

    Attributes:
        sources: A store, which need not exist, and archives that were unpacked whole.
        conflicts: Key of each record that was read and that two sources hold with other values, or
            one damaged -> the difference.
    """

    sources: tuple[Store, ...]
    conflicts: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> Path:
        """The paths of all sources, as one path for messages."""
        return Path(" + ".join(str(one.shown) for one in self.used))

    @property
    def used(self) -> list[Store]:
        """The sources without a store that does not exist."""
        return [one for one in self.sources if one.root.is_dir()]

    @property
    def has_results(self) -> bool:
        """True if a source has pretrainings or runs."""
        return any(one.has_results for one in self.sources)

    def folder(self, kind: Kind, key: str) -> Path:
        """Return the folder of a pretraining or run in the store, with its failures."""
        return self.sources[0].folder(kind, key)

    def encoder(self, key: str) -> Path:
        """Return the weights of a pretraining; only the store can have them."""
        return self.sources[0].encoder(key)

    def holding(self, kind: Kind, key: str) -> list[Store]:
        """Return the sources that hold a record."""
        return [one for one in self.sources if one.record(kind, key).is_file()]

    def file(self, kind: Kind, key: str, name: str) -> Path:
        """Return a file next to a record, of the first source that has both."""
        paths = [one.file(kind, key, name) for one in self.holding(kind, key)]
        return next((path for path in paths if path.is_file()), self.folder(kind, key) / name)

    def only_classes(self, key: str) -> bool:
        """Return whether the sources hold the predicted classes of a run, but not its scores."""
        without = any(_has_classes(one, key) for one in self.holding("evaluate", key))
        return without and not self.file("evaluate", key, PREDICTIONS_FILE).is_file()

    def keys(self, kind: Kind) -> set[str]:
        """Return the keys of all sources."""
        return {key for one in self.sources for key in one.keys(kind)}

    def read(self, kind: Kind, key: str, identity: dict[str, Any] | None = None) -> Any:
        """Return the record of `key`, or None; a disagreement is added to `conflicts`."""
        first: tuple[Store, Any] | None = None
        for source in self.holding(kind, key):
            try:
                record = source.read(kind, key, identity)
            except DamagedRecordError as error:
                self.conflicts[key] = str(error)
                continue
            if first is None:
                first = source, record
                continue
            places = f"in {first[0].shown}", f"in {source.shown}"
            if difference := record_difference(first[1], record, *places):
                self.conflicts[key] = f"{kind}/{key[:12]}: {difference}"
        return first and first[1]

    def read_predictions(
        self, path: Path, digest: str, names: tuple[str, ...] = NAMES
    ) -> dict[str, np.ndarray]:
        """Return the predictions of a run, from a source with scores if there is one."""
        key = path.parent.name
        holding = self.holding("evaluate", key)
        for source in sorted(holding, key=lambda one: _has_classes(one, key)):
            with suppress(FileNotFoundError):
                file = source.file("evaluate", key, PREDICTIONS_FILE)
                return source.read_predictions(file, digest, names)
        raise FileNotFoundError(path)


def _has_classes(source: Store, key: str) -> bool:
    return isinstance(source, ArchivedStore) and key in source.classes
