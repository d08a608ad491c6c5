"""Stored results as data frames, compared with records, tables and predictions."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import call_here
from stores import pooled_grid, share

import sarbench
from sarbench.bench.grid.schema import GridError
from sarbench.bench.store.archive import ArchiveError
from sarbench.bench.store.records import StoreError
from sarbench.bench.suggest import RequestError
from sarbench.results.metric import UnknownMetricError
from sarbench.results.scores import LeaderboardError

ARCHIVE = Path(__file__).parents[2] / "results/archive/demo.zip"
NAMED = (
    "row",
    "method",
    "dataset",
    "protocol",
    "shots",
    "seed",
    "pretrain_seed",
    "accuracy",
    "key",
)


@pytest.fixture(scope="module")
def archived():
    with sarbench.open_store(ARCHIVE) as found:
        yield found


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    from stores import filled_store

    def right(run, labels):
        level = 0.3 + 0.1 * run.pretraining.seed
        return share(level, run.seed, len(labels))

    return filled_store(tmp_path_factory.mktemp("python"), pooled_grid("g", ["mae"]), right)


def test_runs_have_the_promised_columns_and_the_values_of_the_records(stored):
    runs = sarbench.open_store(stored.runs).runs()
    assert list(runs.columns[:2]) == ["row", "method"]
    assert set(NAMED) <= set(runs.columns)
    record = json.loads(next((stored.runs / "evaluate").glob("*/record.json")).read_text())
    line = runs.set_index("key").loc[record["key"]]
    assert line.accuracy == record["accuracy"]
    assert line.shots == record["identity"]["shots"]
    assert line.start == record["identity"]["start"]
    assert line.readout == record["identity"]["settings"]["readout"]
    start = json.loads((stored.runs / "pretrain" / line.start / "record.json").read_text())
    assert line.pretrain_seed == start["identity"]["seed"]
    assert not runs.duplicated(
        ["row", "dataset", "protocol", "shots", "seed", "pretrain_seed"]
    ).any()


def test_a_store_names_rows_after_methods_and_a_grid_after_its_labels(stored):
    runs = sarbench.open_store(stored.runs).runs()
    assert {"mae", "raw_pixels"} <= set(runs.row)
    assert set(sarbench.open_store(stored.runs, stored.grid).runs().row) == {
        "MAE", "Raw pixels", "Random init"
    }  # fmt: skip


def test_cells_are_those_of_a_table(archived):
    done = call_here("table", ARCHIVE, "--format", "json")
    table = pd.DataFrame(json.loads(done.stdout)).rename(columns={"method": "row"})
    cells = archived.cells()
    on = ["row", "dataset", "protocol", "shots", "settings"]
    joined = cells.merge(table[table["mean"].notna()], on=on, suffixes=("", "_of_table"))
    assert len(joined) == len(cells) == table["mean"].notna().sum()
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(joined[name], joined[f"{name}_of_table"])


def test_cells_of_a_store_are_those_of_its_grid(stored):
    on = ["method", "dataset", "protocol", "shots", "settings"]
    free = sarbench.open_store(stored.runs).cells().set_index(on).sort_index()
    grid = sarbench.open_store(stored.runs, stored.grid).cells().set_index(on).sort_index()
    pd.testing.assert_frame_equal(
        free[["mean", "low", "high", "n"]], grid[["mean", "low", "high", "n"]]
    )


def test_predictions_give_the_accuracy_of_their_run(archived):
    runs = archived.runs().set_index("key")
    predictions = archived.predictions()
    found = predictions.groupby("key", observed=True).correct.mean()
    assert len(found) == len(runs)
    np.testing.assert_allclose(found, runs.accuracy.loc[found.index])
    assert (
        predictions.correct == (predictions.truth.astype(str) == predictions.predicted.astype(str))
    ).all()


def test_predictions_of_some_runs(archived):
    key = archived.runs().key.iloc[0]
    found = archived.predictions([key])
    assert found.key.unique().tolist() == [key]
    assert found.chip.is_unique
    with pytest.raises(
        RequestError, match=r"1 of 1 keys are not keys of finished runs, such as 'x'"
    ):
        archived.predictions(["x"])


def test_history_has_every_logged_step(archived):
    history = archived.history()
    trained = archived.runs().query("not control").start.unique()
    assert set(history.start[history.loss.notna()]) == set(trained)
    assert (history.groupby("start").step.diff().dropna() > 0).all()


def test_another_metric(stored):
    cells = sarbench.open_store(stored.runs).cells("macro_f1")
    assert set(cells.metric) == {"macro_f1"}
    with pytest.raises(
        UnknownMetricError, match=r"unknown metric 'acuracy'. Did you mean 'accuracy'"
    ):
        sarbench.open_store(stored.runs).cells("acuracy")


def test_a_record_that_does_not_follow_from_its_predictions_is_refused(tmp_path):
    from stores import filled_store

    made = filled_store(tmp_path, pooled_grid("g", ["mae"]), lambda run, labels: labels > 2)
    path = next((made.runs / "evaluate").glob("*/record.json"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"accuracy": 0.99}))
    opened = sarbench.open_store(made.runs)
    for call in (opened.runs, opened.cells, opened.predictions):
        with pytest.raises(LeaderboardError, match="1 records disagree"):
            call()


def test_what_cannot_be_opened(tmp_path, stored):
    with pytest.raises(StoreError, match="does not exist; give the folder"):
        sarbench.open_store(tmp_path / "nothing")
    with pytest.raises(StoreError, match="has no results"):
        sarbench.open_store(tmp_path)
    with pytest.raises(ArchiveError, match="no archive"):
        sarbench.open_store(tmp_path / "nothing.zip")
    with pytest.raises(RequestError, match="leave out `grid`"):
        sarbench.open_store(ARCHIVE, "demo")
    with pytest.raises(GridError, match="no grid file"):
        sarbench.open_store(stored.runs, "nothing")


def test_an_archive_has_no_encoders(archived):
    with pytest.raises(RequestError, match="an archive, which has no weights"):
        archived.encoder(archived.runs().start.iloc[0])


def test_closing_removes_the_temporary_files_of_an_archive():
    with sarbench.open_store(ARCHIVE) as found:
        folder = found._store.root
        assert folder.is_dir()
    assert not folder.exists()
