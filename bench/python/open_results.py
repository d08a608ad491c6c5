"""Stored results as data frames."""

from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pandas as pd

from ..data.set_descriptions import add_stored_cards
from ..grid.schema import read_grid
from ..plan.archived import read_plan
from ..plan.filters import Filters
from ..plan.plan import Plan, make_plan
from ..reporting.chip_predictions import ChipPredictions
from ..reporting.leaderboard import scores_of
from ..store.archive import SUFFIX, ArchivedStore, unpacked
from ..store.records import Store, StoreError
from ..suggest import RequestError
from .frames import cell_frame, history_frame, prediction_frame, run_frame, score_of
from .rows import Rows, rows_of_plan, rows_of_store

if TYPE_CHECKING:  # data frames need no torch
    from torch import nn


def open_store(path: str | Path = "runs", grid: str | Path | None = None) -> "Results":
    """Return the results of a store or an archive.

    Args:
        path: Folder of a store (`--runs` of the commands), or an archive (.zip).
        grid: Only the results of this grid, named as in its tables: a file, or the name of a
            bundled one. An archive has its own.

    Raises:
        StoreError: The store does not exist or has no results.
        ArchiveError: The archive is missing, cut off or edited.
        GridError: The grid cannot be read.
        RequestError: A grid is given with an archive.
    """
    path = Path(path).expanduser()
    resources = ExitStack()
    if path.suffix.lower() == SUFFIX:
        if grid is not None:
            raise RequestError(f"{path} is an archive, which has its own grid; leave out `grid`")
        archived = resources.enter_context(unpacked(path))
        return Results(archived, read_plan(archived, Filters()), resources)
    store = Store(path.resolve())
    if not store.has_results:
        what = "has no results" if path.is_dir() else "does not exist"
        raise StoreError(
            f"the store {path} {what}; give the folder that `sarbench run` wrote with --runs, or "
            "an archive (.zip)"
        )
    add_stored_cards(store.root)
    plan = None if grid is None else make_plan(read_grid(Path(grid)), store, Path("data"))
    return Results(store, plan, resources)


class Results:
    """The finished work of a store, of a grid in it, or of an archive.

    Records are verified against their predictions before they are returned, as in tables. What is
    read once is kept, so open a store again to see later results. Scores are fractions in [0, 1].
    """

    def __init__(self, store: Store, plan: Plan | None, resources: ExitStack) -> None:
        """Keep the store; use `open_store`.

        Args:
            store: The store.
            plan: The grid against the store; None for everything in it.
            resources: Closed with the results.
        """
        self._store, self._plan, self._resources = store, plan, resources

    def runs(self) -> pd.DataFrame:
        """Return one line for each finished run.

        Columns: `row` (as in tables), `method` (its name in the registry), `dataset`, `condition`
        (`clean`, `shift:4`, ...), `protocol`, `shots` (a number, `all` or a share), `readout`,
        `settings` (as in the head of a column), `seed` (of the labelled chips), `pretrain_seed`,
        `accuracy`, `balanced_accuracy`, `macro_f1` and other metrics of the records; then counts,
        versions, digests, provenance, and what describes the pretraining. `key` is that of the run,
        `start` that of its pretraining.

        Raises:
            LeaderboardError: A record disagrees with its predictions or its split.
        """
        self._verify()
        return run_frame(self._rows.runs)

    def cells(self, metric: str = "accuracy") -> pd.DataFrame:
        """Return the mean of each cell of a table, with the limits of its 95% interval.

        Columns: `row`, `method`, `dataset`, `condition`, `protocol`, `shots`, `settings`, `metric`,
        `mean`, `low`, `high`, `n` (finished runs), `pretrain_seeds`, `unit` (of the interval),
        `no_interval` (the reason, where there is none) and versions. `sarbench table` adds places.

        Args:
            metric: A metric of `sarbench table --metric`.

        Raises:
            LeaderboardError: A record disagrees with its predictions, or the metric is missing.
            UnknownMetricError: No metric has this name.
        """
        self._verify()
        if self._plan is None:
            return cell_frame(map(score_of, self._rows.runs), metric, "methods", self._predictions)
        scores = [score for score in scores_of(self._plan) if score.values]
        return cell_frame(scores, metric, self._plan.grid.compare, self._predictions)

    def predictions(self, keys: Iterable[str] | None = None) -> pd.DataFrame:
        """Return one line for each test chip of each run.

        Columns: those that name a run, `chip` (its id), `group` (of near duplicates; -1 where each
        chip is its own), `azimuth_deg`, `depression_deg`, `serial` and `size` (unknown: NaN, or
        empty), `truth`, `predicted`, `correct` and `key`. Texts are categories.

        Args:
            keys: Keys of runs, such as `runs().query("dataset == 'mstar_soc'").key`; all if None.

        Raises:
            LeaderboardError: A record disagrees with its predictions, or they are not here.
            RequestError: A key is not that of a run.
        """
        self._verify()
        runs = self._rows.runs
        if keys is not None:
            wanted = set(keys)
            if unknown := wanted - {run.record.key for run in runs}:
                raise RequestError(
                    f"{len(unknown)} of {len(wanted)} keys are not keys of finished runs, such as "
                    f"{min(unknown)!r}; take them from the column `key` of runs()"
                )
            runs = [run for run in runs if run.record.key in wanted]
        return prediction_frame(runs, self._predictions)

    def history(self) -> pd.DataFrame:
        """Return one line for each logged step of each pretraining.

        Columns: `row`, `method`, `pretrain_seed`, `step`, `epoch`, `loss` (mean since the line
        before), `lr`, what else was logged (`spread`, `rank`, `knn`, `images_per_s`) and `start`.
        """
        return history_frame(self._rows.starts, self._store)

    def encoder(self, key: str) -> "nn.Module":
        """Return the encoder of a pretraining: chips (B, 1, px, px) in [0, 1] to tokens (B, N, D).

        It is in evaluation mode, on the CPU. `has_class_token` says whether token 0 is one.

        Args:
            key: Key of a pretraining (`start` of a run), or its first 12 letters or more.

        Raises:
            NoEncoderError: No or several pretrainings have this key, or it has no encoder.
            RequestError: The results are those of an archive, which has no weights.
        """
        from ..weights.features import encoder_of_key

        if isinstance(self._store, ArchivedStore):
            raise RequestError(
                f"{self._store.path} is an archive, which has no weights; open the store instead"
            )
        network, input_px = encoder_of_key(self._store, key)
        network.input_px = input_px  # pyright: ignore[reportArgumentType], read by `evaluate`
        return network

    def close(self) -> None:
        """Remove the temporary files of an archive; else there is nothing to do."""
        self._resources.close()

    def __enter__(self) -> "Results":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Return the path and the number of finished runs."""
        return f"<results of {self._store.shown}: {len(self._rows.runs)} finished runs>"

    @cached_property
    def _rows(self) -> Rows:
        return rows_of_store(self._store) if self._plan is None else rows_of_plan(self._plan)

    @cached_property
    def _predictions(self) -> ChipPredictions:
        return ChipPredictions(self._store, [run.record for run in self._rows.runs])

    def _verify(self) -> None:
        self._predictions.refuse_false()
