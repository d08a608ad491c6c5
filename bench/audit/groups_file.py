"""Groups of duplicates as a CSV file that folders of labelled chips read as `split.csv`."""

import csv
import io
from pathlib import Path

import numpy as np

from ..data.files import open_source
from ..data.held_out import base_name
from ..data.listing import list_chips
from ..data.names import card_of
from .collection import groups_of, links_of
from .report import Audit

COLUMNS = ("file", "class", "side", "group", "id")


def files_of(given: str, data_dir: Path) -> dict[str, Path]:
    """Return the path of each chip below the folder of its set; none for a simulated set."""
    card = card_of(base_name(given) or given)
    source = card.source.find(card, data_dir)
    with open_source(source, raw=card.source.phoenix(card)) as files:
        entries = list_chips(card, source, files).entries
    return {one.chip_id: Path(one.file.relative) for one in entries} if source else {}


def groups_text(result: Audit, place: int, files: dict[str, Path]) -> str:
    """Return the CSV of one set: a row per chip, with its group if that has several chips.

    Groups that the set has already stay together; duplicates join them.

    Args:
        result: The audit.
        place: The place of the set in it.
        files: As of `files_of`.
    """
    collection, group = result.duplicates.collection, result.duplicates.group
    chips = collection.sets[place]
    start = int((collection.set_of < place).sum())
    sizes, word = np.bincount(group), "duplicates"
    group = group[start : start + len(chips)]
    if chips.group is not None:
        links = np.concatenate([links_of(group), links_of(chips.group)])
        group, word = groups_of(links, len(chips)), "group"
        sizes = np.bincount(group)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row, chip_id in enumerate(map(str, chips.ids)):
        path = files.get(chip_id, Path())
        number = int(group[row])
        labelled = bool(chips.classes)
        folder = path.parts[0] if len(path.parts) > 1 else ""
        writer.writerow((
            path.as_posix() if path.parts else "",
            chips.classes[chips.labels[row]] if labelled else folder,
            ("test" if chips.is_test[row] else "train") if labelled else "",
            f"{word}-{number}" if sizes[number] > 1 else "",
            chip_id,
        ))  # fmt: skip
    return text.getvalue()
