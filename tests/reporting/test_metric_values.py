"""Metrics of scores in tables: from predictions, from records, and for runs without them."""

import json
import shutil

import numpy as np
import pytest
from chips import write_pool
from commands import call_here
from sklearn.metrics import recall_score, roc_auc_score
from stores import fill, planned, pooled_grid, write_run, write_scored_run

from sarbench.bench.data.prepare import prepare
from sarbench.bench.reporting.metric_values import chosen_metric
from sarbench.bench.store.records import Store
from sarbench.results.plugin_metrics import plugin_metrics

GRID = pooled_grid("scored", ["mae"], "seeds = 2")
PLUGIN = """
def spread(truth, scores, classes):
    assert truth.shape == (len(scores),) and scores.shape[1] == len(classes)
    return scores.std()

spread.lower_is_better = True

def broken(truth, scores, classes):
    raise ValueError("on purpose")
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    write_pool(folder / "runs" / "data")
    (folder / "grid.toml").write_text(GRID)
    fill(folder / "grid.toml", folder / "runs", None)
    return folder


@pytest.fixture
def copy(home, tmp_path):
    shutil.copytree(home, tmp_path / "copy")
    return tmp_path / "copy"


def call(home, *words, grid=None):
    runs = home / "runs"
    where = ["--runs", runs, "--data", runs / "data"] if grid is None else []
    return call_here(words[0], grid or home / "grid.toml", *words[1:], *where)


def cells(home, *words, grid=None):
    done = call(home, "table", "--json", *words, grid=grid)
    assert done.returncode == 0, done.stderr
    return {(one["method"], one["protocol"]): one for one in json.loads(done.stdout)}


def records(home):
    return [json.loads(path.read_text()) for path in home.glob("runs/evaluate/*/record.json")]


def test_an_auc_is_that_of_scikit_learn_on_the_stored_scores(home):
    chips = prepare("synthetic", home / "runs" / "data", Store(home / "runs").prepared).chips
    labels = chips.labels[chips.is_test]
    expected = []
    for record in records(home):
        if (record["identity"]["method"], record["identity"]["protocol"]) == ("mae", "linear"):
            with np.load(home / "runs" / "evaluate" / record["key"] / "predictions.npz") as file:
                assert file.files == ["classes", "scores"]
                scores = np.exp(file["scores"].astype(np.float64))
                assert file["scores"].dtype == np.float16
            expected.append(roc_auc_score(
                labels, scores / scores.sum(1, keepdims=True), multi_class="ovr"
            ))  # fmt: skip
            assert record["metrics"]["auc"] == pytest.approx(expected[-1], abs=1e-12)
    assert len(expected) == 6
    cell = cells(home, "--metric", "auc")["MAE", "linear"]
    assert cell["metric"] == "auc"
    assert cell["mean"] == pytest.approx(np.mean(expected), abs=1e-12)


def test_columns_without_probabilities_are_left_out_of_calibration(home):
    assert {protocol for _, protocol in cells(home, "--metric", "nll")} == {"linear"}
    shown = call(home, "table", "--metric", "calibration_error").stdout
    assert "Calibration error in percent (lower is better): mean" in shown
    assert "Left out: synthetic/knn/all (knn has no probabilities)." in shown
    alone = call(home, "table", "--metric", "nll", "-p", "knn")
    assert alone.returncode == 2
    assert "no run of this table has nll (knn has no probabilities)" in alone.stderr
    compared = call(home, "compare", "mae", "random_init", "--metric", "nll").stdout
    assert "Negative log-likelihood (lower is better), A minus B" in compared


@pytest.mark.slow
def test_an_archive_without_scores_keeps_the_metrics(home, tmp_path):
    path = tmp_path / "small.zip"
    assert call(home, "archive", "--no-scores", "--out", path).returncode == 0
    for metric in ("auc", "top_5", "calibration_error"):
        assert cells(home, "--metric", metric, grid=path) == cells(home, "--metric", metric)
    text = call(home, "table", "--metric", "auc", grid=path).stdout
    assert "Not verified: AUC" in text
    assert call(home, "check", grid=path).returncode == 0


def test_a_table_has_the_metric_of_the_predictions_and_check_finds_an_edit(copy):
    before = cells(copy, "--metric", "auc")
    assert call(copy, "check").returncode == 0
    path = next(copy.glob("runs/evaluate/*/record.json"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"metrics": record["metrics"] | {"auc": 0.999}}))
    done = call(copy, "check")
    assert done.returncode == 1
    assert "auc is 0.999000 in the record, 0." in done.stdout
    assert cells(copy, "--metric", "auc") == before


def test_runs_without_scores_are_named(copy):
    plan, store = planned(copy / "grid.toml", copy / "runs")
    entry = next(one for one in plan.runs if one.planned.pretraining.method == "mae")
    store.move_aside("evaluate", entry.key)
    chips = prepare("synthetic", copy / "runs" / "data", store.prepared).chips
    write_run(store, entry.planned, chips, lambda run, labels: np.arange(len(labels)) % 2 == 0)
    done = call(copy, "table", "--metric", "auc")
    assert done.returncode == 2
    assert "1 of " in done.stderr
    assert "MAE in synthetic/linear/5: the scores of all classes are not stored" in done.stderr
    assert "sarbench run GRID --force" in done.stderr
    assert call(copy, "table").returncode == 0
    assert call(copy, "check").returncode == 0


def test_an_unknown_metric_lists_those_of_packages_too(home, package):
    package("plugin_spread", PLUGIN, "spread = plugin_spread:spread",
            "accuracy = plugin_spread:spread", group="metrics")  # fmt: skip
    done = call(home, "table", "--metric", "spred")
    assert done.returncode == 2
    assert "unknown metric 'spred'. Did you mean 'spread'? Allowed: accuracy," in done.stderr
    assert "nll, spread, recall:CLASS" in done.stderr


@pytest.mark.slow
def test_a_metric_of_a_package_is_in_records_tables_and_archives(copy, tmp_path, package):
    package(
        "plugin_spread", PLUGIN, "spread = plugin_spread:spread", "broken = plugin_spread:broken",
        "auc = plugin_spread:spread", group="metrics",
    )  # fmt: skip
    plan, store = planned(copy / "grid.toml", copy / "runs")
    shutil.rmtree(copy / "runs" / "evaluate")
    chips = prepare("synthetic", copy / "runs" / "data", store.prepared).chips
    warned = []
    for entry in plan.runs:
        write_scored_run(store, entry.planned, chips, warned.append)
    assert set(warned) == {
        "metric broken raised ValueError: on purpose; it is left out of the record",
        "metric auc is left out of the records: plugin_spread:spread has the name of a metric of "
        "sarbench; rename it",
    }
    assert all(record["lower_is_better"] == ["spread"] for record in records(copy))
    assert all("broken" not in record["metrics"] for record in records(copy))
    mean = cells(copy, "--metric", "spread")["MAE", "linear"]["mean"]
    assert 0 < mean < 1
    assert "Spread (lower is better): mean ±" in call(copy, "table", "--metric", "spread").stdout
    broken = call(copy, "table", "--metric", "broken")
    assert broken.returncode == 2
    assert "metric broken raised ValueError: on purpose; correct its package" in broken.stderr
    assert call(copy, "check").returncode == 0
    path = tmp_path / "small.zip"
    assert call(copy, "archive", "--no-scores", "--out", path).returncode == 0
    for name in ("plugin_spread-1.dist-info", "plugin_spread.py"):  # another machine
        one = tmp_path / name
        shutil.rmtree(one) if one.is_dir() else one.unlink()
    plugin_metrics.cache_clear()
    assert cells(copy, "--metric", "spread", grid=path)["MAE", "linear"]["mean"] == mean
    text = call(copy, "table", "--metric", "spread", grid=path).stdout
    assert "Spread (lower is better): mean ±" in text
    assert "is as in the records; its package is not here" in text
    store.move_aside("evaluate", plan.runs[0].key)
    write_scored_run(store, plan.runs[0].planned, chips)
    done = call(copy, "table", "--metric", "spread")
    assert done.returncode == 2
    assert "1 of " in done.stderr
    assert "the package of the metric is not installed here; install it" in done.stderr


def test_the_recall_of_each_class_is_that_of_scikit_learn(home):
    chips = prepare("synthetic", home / "runs" / "data", Store(home / "runs").prepared).chips
    labels, expected = chips.labels[chips.is_test], []
    for record in records(home):
        if (record["identity"]["method"], record["identity"]["protocol"]) == ("mae", "linear"):
            with np.load(home / "runs" / "evaluate" / record["key"] / "predictions.npz") as file:
                expected.append(recall_score(labels, file["classes"], average=None))
    done = call(home, "table", "--per-class", "-p", "linear", "-m", "mae", "--json")
    lines = json.loads(done.stdout)
    assert [one["class"] for one in lines] == list(chips.classes)
    assert [one["test_chips"] for one in lines] == np.bincount(labels).tolist()
    assert [one["recall"] for one in lines] == pytest.approx(np.mean(expected, axis=0))
    text = call(home, "table", "--per-class").stdout
    assert "Recall in synthetic/linear/5" in text
    assert "synthetic/knn/all: recall of each class in percent" in text
    refused = call(home, "table", "--per-class", "--gain")
    assert refused.returncode == 2
    assert "--per-class shows recalls only" in refused.stderr


def test_a_package_cannot_hide_a_metric_of_sarbench(package):
    package("plugin_metric", PLUGIN, "accuracy = plugin_metric:spread", group="metrics")
    assert chosen_metric([], "accuracy").name == "accuracy"
