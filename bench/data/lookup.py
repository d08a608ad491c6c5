"""Find the version of a data set or pool that a command needs, by digest and not by path.

The set packed from the data folder comes first. Without it the store decides: the versions that it
describes or holds packed. So a command that only reads needs neither raw nor prepared data.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .chips import Chips
from .known_sets import known_sets, remember, set_path
from .names import card_of, full_name, split_name
from .packed import Summary, summary_from_json
from .prepare import is_packed, open_version, source_exists, summary


class AmbiguousSetError(ValueError):
    """A store that holds several versions of a set, and nothing that chooses one."""


@dataclass(frozen=True)
class FoundSet:
    """The version of a set that a command is about.

    Attributes:
        summary: Its counts and digests.
        packed: Whether its pixels are here for new runs.
        compared: False where the data folder holds files that were not compared with it yet.
    """

    summary: Summary
    packed: bool
    compared: bool = True


def find_set(
    given: str, data_dir: Path, root: Path, chosen: Mapping[str, str] | None = None
) -> FoundSet | None:
    """Return the version of a set, or None where neither data folder nor store knows one.

    Args:
        given: Name of the set; a pool is written `pool:<name>`.
        data_dir: The data folder of the command; it need not exist.
        root: The store's folder.
        chosen: Name of a set -> start of the pixel digest of the version to take.

    Raises:
        AmbiguousSetError: The store has several versions and nothing chooses one.
    """
    given = full_name(given)
    name, pool = split_name(given)
    prefix = (chosen or {}).get(given)
    placed = summary(name, data_dir, root / "prepared", pool=pool)
    if placed is not None and prefix is None:
        return FoundSet(placed, True)
    versions = _versions(given, root)
    if prefix is not None:
        versions = [one for one in versions if one.data_digest.startswith(prefix)]
        if not versions:
            raise AmbiguousSetError(
                f"the store {root} has no version of {given} whose digest starts with {prefix!r}; "
                f"it has: {_listed(_versions(given, root))}"
            )
    if len(versions) > 1:
        raise AmbiguousSetError(
            f"the store {root} has {len(versions)} versions of {given}: {_listed(versions)}. "
            f"Choose one with --pixels {given}=DIGEST, or name with --data the folder that holds "
            "its files"
        )
    if not versions:
        return None
    uncompared = prefix is None and source_exists(card_of(given), data_dir)
    return FoundSet(versions[0], is_packed(versions[0], root / "prepared"), not uncompared)


def remember_set(given: str, found: Summary, root: Path) -> None:
    """Describe a packed set in the store, so that its results can be read without its pixels."""
    path = set_path(root, full_name(given), found.data_digest, found.split_digest)
    if not path.exists() and is_packed(found, root / "prepared"):
        remember(root, full_name(given), open_set(given, found, root), found)


def open_set(given: str, found: Summary, root: Path) -> Chips:
    """Open the version of a set that a summary describes.

    Raises:
        NotPreparedError: It is not packed in the store.
    """
    digests = found.data_digest, found.split_digest
    return open_version(card_of(given), *digests, root / "prepared")


def _versions(given: str, root: Path) -> list[Summary]:
    """Return every version that the store describes or holds packed."""
    known = [one.summary for one in known_sets(root, given)]
    if not given.startswith("pool:folder:"):  # the name of a packed folder does not tell which
        known += _packed_versions(given, root / "prepared")
    return list({(one.data_digest, one.split_digest): one for one in known}.values())


def _packed_versions(given: str, prepared: Path) -> list[Summary]:
    found, card = [], card_of(given)
    for path in sorted(prepared.glob("*/summary.json")):
        try:
            stored = json.loads(path.read_text("utf-8"))
            if (stored["name"], stored["kind"]) == (card.name, card.kind):
                found.append(summary_from_json(card, stored))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _listed(versions: list[Summary]) -> str:
    if not versions:
        return "none"
    return ", ".join(
        f"{one.data_digest[:12]} ({one.rendering or f'{one.count} chips'})" for one in versions
    )
