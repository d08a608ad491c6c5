"""A user's folder of labelled chips as a data set: `folder:PATH`."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ...suggest import shortened
from ..csv_file import file_in
from ..files import ImageFile
from ..listing import SIDES, DatasetMismatchError, phoenix_advice
from ..phoenix import is_phoenix
from ..rendering import FORMULAS, OptionError, Rendering, rendering_from
from ..source import Card, Entry, Listing, Source, Transform
from .split_file import SPLIT_FILE, Row, draw_sides, rows_of_csv, rows_of_folders

if TYPE_CHECKING:
    from ..packing import PackedChip

TRANSFORMS: dict[str, Transform] = {"none": "none", "chip_max": "chip_max"}
MOST_CLASSES = 1000
LARGEST_CROP_PX = 4096
LAYOUTS = (
    "train|test/<class>/<image>",
    f"{SPLIT_FILE} with the columns file,class,side and, if wanted, group and id",
    "<class>/<image> or <class>/<group>/<image> with a rule: ?test=SHARE[&by=group][&seed=N]",
)


class FolderNameError(ValueError):
    """A name `folder:PATH?...` with an option that is unknown or has an impossible value."""


class NoSideError(DatasetMismatchError):
    """A folder whose files do not say which images are for training and which for testing."""


@dataclass(frozen=True)
class Options:
    """The part of a name `folder:PATH?key=value&...` behind the question mark.

    Attributes:
        transform: As in `Card`.
        crop: Side of the central square in pixels, or `none` for whole chips. Empty: whole chips if
            all images have one size, else 128.
        test: Share of the chips that a hash makes test chips; 0 where the files say the side.
        by_group: The hash draws near-duplicate groups and not images.
        seed: Another number gives another draw.
        rendering: As in `Card`.
    """

    transform: Transform = "none"
    crop: str = ""
    test: float = 0.0
    by_group: bool = False
    seed: int = 0
    rendering: Rendering | None = None

    @property
    def of_pixels(self) -> "Options":
        """The options that a pool may have too."""
        return Options(transform=self.transform, rendering=self.rendering)


def options_of(name: str) -> tuple[str, Options]:
    """Return path and options of a name `folder:PATH?...`.

    Raises:
        FolderNameError: It names no path, or an option is unknown or has an impossible value.
    """
    path, _, query = name.removeprefix("folder:").partition("?")
    if not path:
        raise FolderNameError(f"{name!r} names no folder; write folder:PATH")
    found, raw, seen = Options(), dict[str, str](), set[str]()
    for part in query.split("&") if query else []:
        key, _, value = part.partition("=")
        if key in seen:
            raise FolderNameError(
                f"{name!r} has the option {key} twice; each option is given once: leave one out"
            )
        seen.add(key)
        if key in ("rendering", "full_scale"):
            raw[key] = value
        elif key == "transform" and value in TRANSFORMS:
            found = replace(found, transform=TRANSFORMS[value])
        elif key == "crop" and (value == "none" or _is_whole(value, 8, LARGEST_CROP_PX)):
            found = replace(found, crop=value)
        elif key == "test" and _is_share(value):
            found = replace(found, test=float(value))
        elif key == "by" and value in ("image", "group"):
            found = replace(found, by_group=value == "group")
        elif key == "seed" and _is_whole(value, 0, 2**31):
            found = replace(found, seed=int(value))
        else:
            raise FolderNameError(
                f"{name!r}: {part!r} is not an option of a folder; allowed, joined by &: "
                f"transform={'|'.join(TRANSFORMS)}, rendering={'|'.join(FORMULAS)}, "
                f"full_scale=VALUE, crop=PIXELS|none (8 to {LARGEST_CROP_PX}), "
                "test=SHARE (between 0 and 1), by=image|group, seed=N"
            )
    try:
        found = replace(found, rendering=rendering_from(raw))
    except OptionError as error:
        raise FolderNameError(f"{name!r}: {error}") from None
    if found.rendering and found.transform != "none":
        raise FolderNameError(f"{name!r} has a rendering and a transform; leave one of them out")
    return path, found


def _is_whole(value: str, low: int, high: int) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 11 and low <= int(value) <= high


def _is_share(value: str) -> bool:
    try:
        return 0 < float(value) < 1
    except ValueError:
        return False


def labelled_card(name: str) -> Card:
    """Return the card of the data set `folder:PATH?...`, named by the last part of the path.

    So results do not depend on the place of the folder.

    Raises:
        FolderNameError: The name is malformed.
    """
    path, options = options_of(name)
    query = name.partition("?")[2]
    own = PurePosixPath(path.replace("\\", "/")).name or "folder"
    return Card(
        f"folder:{own}{f'?{query}' if query else ''}",
        "dataset",
        own,
        "A folder of labelled chips.",
        LabelledFolder(path, options),
        crop_px=int(options.crop) if options.crop.isdigit() else None,
        transform=options.transform,
        rendering=options.rendering,
        crop_from_sizes=not options.crop,
    )


def is_labelled(name: str, data_dir: Path) -> bool:
    """Return whether `folder:PATH` is meant as a data set and not as a pool, by options or files.

    Raises:
        FolderNameError: The name is malformed.
    """
    path, options = options_of(name)
    if options != options.of_pixels:
        return True
    source = (data_dir / Path(path).expanduser()).resolve()
    return any((source / one).exists() for one in (SPLIT_FILE, *SIDES))


class LabelledFolder(Source):
    """The chips of one folder with their classes and sides."""

    licence = "not known"
    layouts = LAYOUTS
    extra_controls = ("chip_size",)

    def __init__(self, path: str, options: Options) -> None:
        """Keep the path, absolute or relative to the data folder."""
        self.path, self.where, self.options = path, path, options

    def cards(self) -> tuple[Card, ...]:
        """Return none: such a set is named by its path."""
        return ()

    def find(self, card: Card, data_dir: Path) -> Path:
        """Return the path; it need not exist."""
        return (data_dir / Path(self.path).expanduser()).resolve()

    def other_files(self, source: Path) -> tuple[Path, ...]:
        """Return the split file, if there is one.

        Raises:
            DatasetMismatchError: Something else has its name.
        """
        return file_in(source, SPLIT_FILE)

    def place(self, card: Card, files: list[ImageFile], listing: Listing) -> None:
        """Give each image its class, side, group and id.

        Raises:
            DatasetMismatchError: The folder has none of the layouts, or its classes or sides cannot
                be used.
        """
        source = listing.source or Path(self.path)
        table = self.other_files(source)
        if table:
            rows, outside = rows_of_csv(table[0], files), []
            used = {row.file for row in rows}
            listing.unexpected += [str(one.relative) for one in files if one not in used]
        else:
            rows, outside = rows_of_folders(files)
        if not rows:
            raise DatasetMismatchError(
                f"{source} holds no labelled image; "
                + (phoenix_advice(source) or f"expected: {'; or '.join(LAYOUTS)}")
            )
        if outside:
            raise DatasetMismatchError(
                f"{source}: images outside the folder of a class: {shortened(outside)}; "
                f"expected: {'; or '.join(LAYOUTS)}"
            )
        rows = self._with_sides(source, rows)
        _check_classes(source, rows)
        _check_groups(source, rows)
        ids = _ids(source, rows)
        listing.entries += [
            Entry(chip_id, row.class_name, row.side == "test", row.file, row.group)
            for chip_id, row in zip(ids, rows, strict=True)
        ]

    def problem(self, card: Card, chips: Sequence["PackedChip"]) -> str:
        """Return the images that are on both sides."""
        train = {chip.content: chip.chip_id for chip in chips if not chip.is_test}
        both = [
            f"{chip.chip_id} is {train[chip.content]}"
            for chip in chips
            if chip.is_test and chip.content in train
        ]
        if not both:
            return ""
        return (
            f"test chips with the same pixels as a training chip: {shortened(both)}; "
            "leave one of each out, or name both as one group; sarbench data audit "
            f"{shlex.quote(f'pool:folder:{self.path}')} finds them all, changed copies too"
        )

    def _with_sides(self, source: Path, rows: list[Row]) -> list[Row]:
        """Return the rows with the side of every image.

        Raises:
            NoSideError: Sides are missing.
            DatasetMismatchError: Sides are given by both files and a rule.
        """
        given = [row for row in rows if row.side]
        if given and self.options.test:
            raise DatasetMismatchError(
                f"{source} says the side of {len(given)} images, and ?test= draws it; keep one of "
                "the two"
            )
        if self.options.test:
            share, by_group, seed = self.options.test, self.options.by_group, self.options.seed
            drawn = draw_sides(rows, share, by_group, seed)
            return [replace(row, side=drawn[row.file]) for row in rows]
        if len(given) < len(rows):
            without = [row.file.relative.as_posix() for row in rows if not row.side]
            raise NoSideError(
                f"{source} does not say which images are for training and which for testing: "
                f"{shortened(without)}; expected: {'; or '.join(LAYOUTS)}"
            )
        return rows


def _check_classes(source: Path, rows: Sequence[Row]) -> None:
    """Refuse classes that cannot be evaluated.

    Raises:
        DatasetMismatchError: Fewer than two or too many classes, two that differ in case only, one
            with a single chip or without training chips, no test chip, or an unprintable name.
    """
    trained = Counter(row.class_name for row in rows if row.side == "train")
    found = Counter(row.class_name for row in rows)
    if not 2 <= len(found) <= MOST_CLASSES:
        raise DatasetMismatchError(
            f"{source} has {len(found)} classes; allowed are 2 to {MOST_CLASSES}: each folder "
            "below train, test or the set is a class, so check the level of the folders"
        )
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(found):
        alike[name.casefold()].append(name)
        if not name.isprintable():
            raise DatasetMismatchError(
                f"{source}: class {name!r} has characters that cannot be printed; rename it"
            )
    if twice := [" and ".join(names) for names in alike.values() if len(names) > 1]:
        raise DatasetMismatchError(
            f"{source}: classes differ in case only: {shortened(twice)}; rename one of "
            "each, or put their images together"
        )
    if single := [name for name, count in found.items() if count < 2]:
        raise DatasetMismatchError(
            f"{source}: classes with one chip: {shortened(single)}; a class needs a "
            "training chip and a test chip: leave it out or add chips"
        )
    if untrained := [name for name in found if not trained[name]]:
        raise DatasetMismatchError(
            f"{source}: classes without a training chip: {shortened(untrained)}; "
            "leave them out or move chips to train"
        )
    if not any(row.side == "test" for row in rows):
        raise DatasetMismatchError(f"{source} has no test chip; move chips of each class to test")


def _check_groups(source: Path, rows: Iterable[Row]) -> None:
    """Refuse a near-duplicate group with chips on both sides.

    Raises:
        DatasetMismatchError: There is one.
    """
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.group:
            sides[row.group].add(row.side)
    if both := sorted(group for group, of in sides.items() if len(of) == len(SIDES)):
        raise DatasetMismatchError(
            f"{source}: groups of near duplicates on both sides: {shortened(both)}; "
            "move each group to one side, or draw them whole by ?test=SHARE&by=group"
        )


def _ids(source: Path, rows: Sequence[Row]) -> list[str]:
    """Return the id of each chip: as given, else class/name, or the path if that is not unique.

    Raises:
        DatasetMismatchError: Two chips have one id, or one image is on both sides.
    """
    ids = [row.chip_id or f"{row.class_name}/{_stem(row.name)}" for row in rows]
    if len(set(ids)) < len(ids):
        ids = [row.chip_id or _stem(row.file.relative.as_posix()) for row in rows]
    twice = [chip_id for chip_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise DatasetMismatchError(
            f"{source}: two images of one name: {shortened(sorted(twice))}; rename one of each"
        )
    if odd := [chip_id for chip_id in ids if not chip_id.isprintable()]:
        raise DatasetMismatchError(
            f"{source}: names that cannot be printed: {shortened(map(repr, odd))}; rename them"
        )
    return ids


def _stem(path: str) -> str:
    """Return a path without the suffix of its format; that of HBnnnnn.sss names the vehicle."""
    given = PurePosixPath(path)
    return (given if is_phoenix(given.name) else given.with_suffix("")).as_posix()
