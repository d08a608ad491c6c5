"""Sets that a store holds results of: summary and split, readable without their pixels.

Each file below `sets/` describes one version of a data set or pool: what the grid calls it, its
counts and digests and, for a data set, the class and side of the split of every chip. Tables,
comparisons and checks read these files, so they need neither raw nor prepared data.
"""

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from ..store.atomic import read_file, write_atomic
from .chips import Chips
from .images import FULL_SCALE
from .names import card_of
from .packed import Summary, summary_from_json
from .packing import split_digest

FOLDER = "sets"


class DamagedSetError(ValueError):
    """A description of a set that does not have the digest in it."""


@dataclass(frozen=True)
class KnownSet:
    """One version of a data set or pool.

    Attributes:
        given: Its name in grids; a pool is written `pool:<name>`.
        summary: Counts, classes and digests.
        ids: Chip ids in split order; empty for a pool.
        labels: Index into `summary.classes` of each chip.
        is_test: True for test chips.
    """

    given: str
    summary: Summary
    ids: np.ndarray
    labels: Int[np.ndarray, " N"]
    is_test: Bool[np.ndarray, " N"]

    @cached_property
    def test_labels(self) -> Int[np.ndarray, " M"]:
        """The class of each test chip, in split order."""
        return self.labels[self.is_test]

    def check(self) -> None:
        """Compare the split with its digest, and every count with the split.

        Raises:
            DamagedSetError: They differ.
        """
        classes = self.summary.classes
        try:
            members = zip(
                self.ids.tolist(), self.labels.tolist(), self.is_test.tolist(), strict=True
            )
            found = split_digest((i, classes[label], test) for i, label, test in members)
        except (IndexError, ValueError, TypeError) as error:
            raise DamagedSetError(f"the split of {self.given} is damaged ({error})") from error
        labelled = self.summary.kind == "dataset" or self.summary.split_digest != ""
        if labelled and found != self.summary.split_digest:
            raise DamagedSetError(
                f"the split of {self.given} in the store has digest {found[:12]} instead of "
                f"{self.summary.split_digest[:12]}; delete its file below {FOLDER}/ and run "
                f"`sarbench data prepare {self.given}`"
            )
        ids = self.ids.tolist()
        if (
            ids != sorted(ids)
            or list(classes) != sorted(classes)
            or min(self.labels, default=0) < 0
        ):
            raise DamagedSetError(
                f"the chips or classes of {self.given} in the store are not in order; delete its "
                f"file below {FOLDER}/ and run `sarbench data prepare {self.given}`"
            )
        expected = self._expected()
        claimed = {name: getattr(self.summary, name) for name in expected}
        wrong = [name for name, value in expected.items() if claimed[name] != value]
        if self.summary.dtype not in FULL_SCALE:
            wrong.append("dtype")
        if wrong:
            raise DamagedSetError(
                f"the description of {self.given} in the store claims another {', '.join(wrong)} "
                f"than it has; delete its file below {FOLDER}/ and run `sarbench data prepare "
                f"{self.given}`"
            )

    def _expected(self) -> dict[str, Any]:
        """Return the fields of the summary that card and split decide."""
        card = card_of(self.given)
        expected: dict[str, Any] = {
            name: getattr(card, name) for name in ("name", "kind", "transform", "crop_px")
        }
        if card.kind != "dataset":
            return expected
        classes = self.summary.classes
        present = np.unique(self.labels)
        counts = {
            side: {
                name: count
                for number, name in enumerate(classes)
                if (count := int((self.labels[self.is_test == test] == number).sum()))
            }
            for side, test in (("train", False), ("test", True))
        }
        used = tuple(classes[number] for number in present)
        return expected | {"counts": counts, "classes": used, "count": len(self.ids)}


def set_path(root: Path, given: str, data_digest: str, split: str) -> Path:
    """Return the file that describes a set in the store below `root`."""
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", given)[-40:].strip("-")
    tag = sha256(given.encode()).hexdigest()[:6]
    return root / FOLDER / f"{name}-{tag}-{data_digest[:12]}-{split[:12] or 'pool'}.json"


def remember(root: Path, given: str, chips: "Chips | KnownSet", summary: Summary) -> None:
    """Describe a prepared set in the store below `root`, unless that was done before."""
    path = set_path(root, given, summary.data_digest, summary.split_digest)
    if path.exists():
        return
    labelled = summary.kind == "dataset"
    content = {
        "given": given,
        "summary": asdict(summary),
        "ids": [str(i) for i in chips.ids] if labelled else [],
        "labels": chips.labels.tolist() if labelled else [],
        "is_test": chips.is_test.astype(int).tolist() if labelled else [],
    }
    write_atomic(path, json.dumps(content))


def known_sets(root: Path, given: str) -> list[KnownSet]:
    """Return every version of a set that the store below `root` describes, oldest first."""
    pattern = set_path(root, given, "*", "*").name
    paths = sorted((root / FOLDER).glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    found = []
    for path in paths:
        with suppress(DamagedSetError):  # `sarbench check` names it
            found.append(read_set(path))
    return [one for one in found if one.given == given]


def read_set(path: Path) -> KnownSet:
    """Return what one file describes; its split is not checked.

    Raises:
        DamagedSetError: The file does not describe a set.
    """
    try:
        stored = json.loads(read_file(path))
        return KnownSet(
            given=stored["given"],
            summary=summary_from_json(card_of(stored["given"]), stored["summary"]),
            ids=np.array(stored["ids"], dtype=str),
            labels=np.array(stored["labels"], dtype=np.int64),
            is_test=np.array(stored["is_test"], dtype=bool),
        )
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise DamagedSetError(f"{path} does not describe a set ({error}); delete it") from error
