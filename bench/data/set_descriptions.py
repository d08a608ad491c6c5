"""Descriptions of data sets and pools in a store, readable without pixels.

Each file in `sets/` describes one version of a set: its name in grids, its counts and digests and,
for a data set, the class and side of every chip. So tables, comparisons and checks need neither raw
nor prepared data.
"""

import json
import re
import shlex
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..store.atomic import read_file, write_atomic
from .chips import Chips
from .facts import Facts
from .images import FULL_SCALE
from .names import card_of, stored_name
from .packed import Summary, summary_from_json
from .registry import add_cards
from .source import count
from .sources.card_file import SUFFIX
from .splits import DamagedSetError, Split, same_groups, split_digest

FOLDER = "sets"
LARGEST_SET = 2**26  # bytes of a description
DELETE = "delete it"  # advice in messages about a file that describes nothing


def add_stored_cards(root: Path) -> None:
    """Make the data sets of the card files in a store known."""
    add_cards(root / FOLDER)


@dataclass(frozen=True)
class SetDescription:
    """The description of one version of a data set or pool.

    Attributes:
        given: Its name in grids; a pool is written `pool:<name>`.
        summary: Counts, classes and digests.
        split: Its chips; none for a pool.
    """

    given: str
    summary: Summary
    split: Split

    def check(self, *, card: bool = True) -> None:
        """Compare the split with its digest, and every count with the split.

        Args:
            card: As in `problem`.

        Raises:
            DamagedSetError: They differ.
        """
        if problem := self.problem(card=card):
            raise DamagedSetError(
                f"{problem}; delete its file in {FOLDER}/ of the store and run "
                f"`sarbench data prepare {shlex.quote(self.given)}`"
            )

    def problem(self, *, card: bool = True) -> str:
        """Return the first contradiction in the description; empty if there is none.

        Args:
            card: Compare it with the card of the set, which newer versions may change.
        """
        summary, split = self.summary, self.split
        try:
            found = split_digest(split.members())
        except (IndexError, ValueError, TypeError) as error:
            return f"the split of {self.given} is damaged ({error})"
        labelled = summary.kind == "dataset" or summary.split_digest != ""
        if labelled and found != summary.split_digest:
            return (
                f"the split of {self.given} has digest {found[:12]} instead of "
                f"{summary.split_digest[:12]}"
            )
        ids = split.ids.tolist()
        if split.group is not None and split.group.shape != split.labels.shape:
            return f"the groups of {self.given} are not one number for each chip"
        unsorted = ids != sorted(ids) or list(split.classes) != sorted(split.classes)
        if unsorted or min(split.labels, default=0) < 0:
            return f"the chips or classes of {self.given} are not in order"
        expected = self._of_split() | (self._of_card() if card else {})
        wrong = [name for name, value in expected.items() if getattr(summary, name) != value]
        if summary.dtype not in FULL_SCALE:
            wrong.append("dtype")
        if wrong:
            return f"the description of {self.given} has wrong values for {', '.join(wrong)}"
        return ""

    def _of_card(self) -> dict[str, Any]:
        """Return the fields of the summary that follow from the card."""
        card = card_of(self.given)
        names = "name", "kind", "transform", *([] if card.crop_from_sizes else ["crop_px"])
        return {name: getattr(card, name) for name in names}

    def _of_split(self) -> dict[str, Any]:
        """Return the fields of the summary that follow from the split; none for a pool."""
        if card_of(self.given).kind != "dataset":
            return {}
        split = self.split
        counts = count(Counter((name, is_test) for _, name, is_test in split.members()))
        used = tuple(split.classes[number] for number in np.unique(split.labels))
        return {"counts": counts, "classes": used, "count": len(split.ids)}


def set_path(root: Path, given: str, data_digest: str, split: str) -> Path:
    """Return the file that describes a set in the store in `root`."""
    given = stored_name(given)
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", given)[-40:].strip("-")
    tag = sha256(given.encode()).hexdigest()[:6]
    return root / FOLDER / f"{name}-{tag}-{data_digest[:12]}-{split[:12] or 'pool'}.json"


def card_path(root: Path, given: str) -> Path:
    """Return the file of a user's card in the store in `root`; it need not exist."""
    return root / FOLDER / f"{stored_name(given)}{SUFFIX}"


def write_description(root: Path, given: str, split: Split | Chips, summary: Summary) -> str:
    """Describe a prepared set in the store in `root`; its groups and facts replace those before.

    Returns:
        A sentence if a description was there with other groups, which intervals follow from; else
        empty.
    """
    described = card_of(given)
    if text := described.source.card_text():
        write_atomic(card_path(root, described.name), text.encode())
    path = set_path(root, given, summary.data_digest, summary.split_digest)
    labelled = summary.kind == "dataset"
    if path.exists() and not labelled:
        return ""
    made = Split.of([])
    if labelled:
        parts = split.ids, split.labels, split.is_test, split.classes, split.group
        made = Split(*parts, facts_of(split, given))
    before: Split | None = None
    if path.exists():
        try:
            before = read_set(path).split
        except DamagedSetError:  # `sarbench check` reports it
            return ""
        if not _facts(made):
            made = replace(made, facts=before.facts)
        if same_groups(before.group, made.group) and _facts(before) == _facts(made):
            return ""
    write_set(path, SetDescription(stored_name(given), summary, made))
    return "" if before is None else _other_groups(before, made)


def write_set(path: Path, known: SetDescription) -> None:
    """Write a description in the form that `read_set` reads."""
    split = known.split
    content: dict[str, Any] = {
        "given": known.given,
        "summary": asdict(known.summary),
        "ids": [str(i) for i in split.ids],
        "labels": split.labels.tolist(),
        "is_test": split.is_test.astype(int).tolist(),
    }
    if split.group is not None:
        content["group"] = split.group.tolist()
    if facts := _facts(split):
        content["facts"] = facts
    write_atomic(path, json.dumps(content))


def _facts(split: Split) -> dict[str, list[Any]]:
    return {} if split.facts is None else split.facts.to_json()


def _other_groups(before: Split, made: Split) -> str:
    """Return a sentence on a change of the groups of test chips; empty if there is none."""
    groups = [one.group if one.group is None else one.group[one.is_test] for one in (before, made)]
    if same_groups(*groups):
        return ""
    counts = ["none" if one is None else str(len(np.unique(one))) for one in groups]
    return (
        f"the groups of near duplicates of its {made.is_test.sum()} test chips have changed "
        f"({counts[0]} before, {counts[1]} now), so intervals and tests over test chips change"
    )


def facts_of(split: Split | Chips, given: str) -> Facts:
    """Return what files say about each chip, completed by what its id says."""
    source = card_of(given).source
    size = split.source_size if isinstance(split, Chips) else None
    known = Facts.of((source.facts(str(chip_id)) for chip_id in split.ids), size)
    return known if split.facts is None else split.facts.over(known)


def every_set(root: Path) -> list[Path]:
    """Return the file of every description in the store in `root`."""
    return sorted((root / FOLDER).glob("*.json"))


def descriptions_of(root: Path, given: str) -> list[SetDescription]:
    """Return every version of a set that the store in `root` describes, oldest first."""
    pattern = set_path(root, given, "*", "*").name
    paths = sorted((root / FOLDER).glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    found = []
    for path in paths:
        with suppress(DamagedSetError):  # `sarbench check` reports it
            found.append(read_set(path))
    return [known for known in found if known.given == stored_name(given)]


def read_set(path: Path) -> SetDescription:
    """Read a description without checking its split.

    Raises:
        DamagedSetError: The file does not describe a set.
    """
    try:
        stored = json.loads(read_file(path))
        summary = summary_from_json(card_of(stored["given"]), stored["summary"])
        split = Split(
            ids=np.array(stored["ids"], dtype=str),
            labels=np.array(stored["labels"], dtype=np.int64),
            is_test=np.array(stored["is_test"], dtype=bool),
            classes=summary.classes,
            group=np.array(group, dtype=np.int64) if (group := stored.get("group")) else None,
            facts=Facts.from_json(facts, len(stored["ids"]))
            if (facts := stored.get("facts"))
            else None,
        )
        return SetDescription(stored["given"], summary, split)
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise DamagedSetError(f"{path} does not describe a set ({error}); {DELETE}") from error


def read_checked_set(path: Path) -> SetDescription:
    """Read a description and check it.

    Raises:
        DamagedSetError: The file is a link, is too large, does not describe a set, or contradicts
            itself.
    """
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST_SET:
            raise DamagedSetError(f"{path} is a link or too large to describe a set; {DELETE}")
        known = read_set(path)
    except OSError as error:
        raise DamagedSetError(f"{path} cannot be read ({error}); {DELETE}") from error
    known.check()
    return known
