"""Checks that the files of an exported split belong together and that no chip was edited."""

from pathlib import Path

from ...protocols._support_sets import support_digest
from ..data.images import content_digest, decode_image
from ..data.unreadable_image import UnreadableImageError
from .splits import CHIPS, Item, Split, SplitFileError, SupportSet, chips_digest

AGAIN = "write it again with `sarbench export splits`"


def check_support(split: Split, support: SupportSet) -> None:
    """Refuse a support set whose chips are not training chips of its split.

    Raises:
        SplitFileError: Its digest is not that of its chips, or a chip, a label or a class differs.
    """
    known = set(split.train)
    unknown = [one.impath for one in support.train if one not in known]
    if unknown:
        raise SplitFileError(
            f"{support.name}.json lists {len(unknown)} chips that are not training chips of "
            f"split.json with that label and class ({unknown[0]!a}); {AGAIN}"
        )
    if support_digest(map(_chip_id, support.train)) != support.support_digest:
        raise SplitFileError(
            f"the chips of {support.name}.json are not those of its support_digest; {AGAIN}"
        )


def check_paths(split: Split) -> None:
    """Refuse a split whose paths leave its folder.

    Raises:
        SplitFileError: A path is absolute, or has `..` in it.
    """
    for one in (*split.train, *split.test):
        if Path(one.impath).is_absolute() or ".." in Path(one.impath).parts:
            raise SplitFileError(
                f"split.json lists the path {one.impath!a}, which is not below its folder; {AGAIN}"
            )


def check_chips(folder: Path, split: Split) -> None:
    """Refuse a split whose images are not those that were exported.

    Raises:
        SplitFileError: An image cannot be read, or images, labels or classes were edited.
    """
    try:
        found = chips_digest(
            split.train,
            split.test,
            lambda one: content_digest(
                decode_image((folder / one.impath).read_bytes(), one.impath)
            ),
        )
    except (OSError, UnreadableImageError) as error:
        raise SplitFileError(f"{folder}: an image cannot be read: {error}; {AGAIN}") from error
    if found != split.chips_digest:
        raise SplitFileError(
            f"the chips in {folder} are not those that were exported: pixels, labels or classes "
            f"were edited after {split.dataset} was written; {AGAIN} into another folder"
        )


def _chip_id(item: Item) -> str:
    return item.impath.removeprefix(f"{CHIPS}/").rpartition(".")[0]
