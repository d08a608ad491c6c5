"""An exported split as a data set of Dassl."""

from pathlib import Path
from typing import Any

from ..suggest import RequestError
from .check_export import check_chips, check_paths, check_support
from .splits import (
    SPLIT,
    SUPPORT_SETS,
    Item,
    SplitFileError,
    read_split,
    read_support,
    support_path,
)


class SplitDataset:
    """The split in `DATASET.ROOT`; mixed into Dassl's class.

    `DATASET.NUM_SHOTS` and `SEED` choose the support set; `NUM_SHOTS` below 1 is all chips.
    """

    dataset: str  # set in a subclass, and Dassl's `Datum`
    datum: Any

    def __init__(self, cfg: Any) -> None:
        """Read the files.

        Raises:
            SplitFileError: A file is missing, damaged or edited, or is of another data set.
            RequestError: `SEED` is not set.
        """
        self.folder = Path(cfg.DATASET.ROOT).expanduser().resolve()
        support = support_path(self.folder, _shots(cfg), cfg.SEED)
        if cfg.SEED < 0 and not support.is_file():  # else it is converted from a pickle
            raise RequestError(
                f"SEED is {cfg.SEED}, but a support set needs a seed from 0; `train.py` leaves out "
                "`--seed 0`, so write SEED 0 at its end, or SEED: 0 in a file"
            )
        self.split = read_split(self.folder, self.dataset)
        self.support = read_support(self.folder, self.dataset, _shots(cfg), cfg.SEED)
        for what, found in ((SPLIT, self.split), (SUPPORT_SETS, self.support)):
            if (found.dataset, found.split_digest) != (self.dataset, self.split.split_digest):
                raise SplitFileError(
                    f"{what} in {self.folder} is of {found.dataset} (split "
                    f"{found.split_digest[:12]}), not of {self.dataset} (split "
                    f"{self.split.split_digest[:12]}); name the right folder in DATASET.ROOT"
                )
        check_paths(self.split)
        check_support(self.split, self.support)
        missing = [one.impath for one in (*self.split.train, *self.split.test)
                   if not (self.folder / one.impath).is_file()]  # fmt: skip
        if missing:
            raise SplitFileError(
                f"{self.folder} lacks {len(missing)} images ({missing[0]}); write them with "
                f"`sarbench export splits {self.dataset} --out {self.folder} --chips`"
            )
        check_chips(self.folder, self.split)
        train, test = map(self._datums, (self.support.train, self.split.test))
        super().__init__(train_x=train, test=test)  # pyright: ignore[reportCallIssue]

    def _datums(self, part: list[Item]) -> list[Any]:
        return [
            self.datum(
                impath=str(self.folder / one.impath), label=one.label, classname=one.classname
            )
            for one in part
        ]


def _shots(cfg: Any) -> Any:
    return cfg.DATASET.NUM_SHOTS if cfg.DATASET.NUM_SHOTS > 0 else "all"
