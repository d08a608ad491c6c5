"""`sarbench export runs` and `export predictions`."""

from pathlib import Path

import pandas as pd
import pytest
from commands import call_here

ARCHIVE = Path(__file__).parents[2] / "results/archive/demo.zip"


def test_runs_as_csv_and_parquet_are_the_same(tmp_path):
    for suffix in ("csv", "parquet"):
        done = call_here("export", "runs", ARCHIVE, "-m", "mae", "--out", tmp_path / f"r.{suffix}")
        assert done.returncode == 0, done.stderr
        assert "(12 lines)" in done.stderr
    as_csv = pd.read_csv(tmp_path / "r.csv", dtype={"accuracy": str})  # pandas 2 rounds numbers
    as_parquet = pd.read_parquet(tmp_path / "r.parquet")
    assert as_csv.columns.tolist() == as_parquet.columns.tolist()
    assert [*map(float, as_csv.accuracy)] == as_parquet.accuracy.tolist()
    assert as_csv.key.tolist() == as_parquet.key.tolist()
    assert set(as_csv.method) == {"mae"}


def test_predictions_have_a_line_for_each_test_chip(tmp_path):
    path = tmp_path / "p.parquet"
    done = call_here("export", "predictions", ARCHIVE, "-m", "mae", "-p", "knn", "--out", path)
    assert done.returncode == 0, done.stderr
    found = pd.read_parquet(path)
    assert len(found) == 3 * 1200
    assert found.correct.dtype == bool


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("runs", ARCHIVE, "--out", "x.xlsx"),
            "'.xlsx' is not a format of this command; allowed: .csv",
        ),
        (("runs", ARCHIVE, "-m", "mea", "--out", "x.csv"), "no run of this grid has method 'mea'"),
        (("runs", ARCHIVE, "--runs", "y", "--out", "x.csv"), "leave out --runs"),
        (("predictions", "demo", "--runs", "y", "--out", "x.csv"), "no store at"),
    ],
)
def test_bad_input(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call_here("export", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert not Path("x.csv").exists()
