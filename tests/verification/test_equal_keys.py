"""Equal keys in two of our archives have equal results, or the page of findings names them."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "real_small.md"
STATED = re.compile(r"^\| (\d+) \| (.*?)(?: \(.*\))? \|$", re.MULTILINE)
SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "support_digest", "test_count")
EQUAL = 3  # values before it may differ by rounding


class Kept:
    """The results of each key in all archives."""

    def __init__(self) -> None:
        self.weights: dict[str, set[str]] = defaultdict(set)  # key of a pretraining
        # key of a run and its weights -> archive -> what it shows
        self.runs: dict[tuple[str, str], dict[str, tuple[Any, ...]]] = defaultdict(dict)
        self.trained: dict[str, tuple[str, int]] = {}  # key -> method and seed
        for path in sorted((ROOT / "results" / "archive").glob("*.zip")):
            with ZipFile(path) as archive:
                for record in _records(archive, "pretrain.jsonl"):
                    key, identity = record["key"], record["identity"]
                    self.weights[key].add(record["weights_digest"])
                    self.trained[key] = identity["method"], identity["seed"]
                for record in _records(archive, "evaluate.jsonl"):
                    of = record["key"], record["weights_digest"]
                    self.runs[of][path.name] = tuple(record[name] for name in SHOWN)


def _records(archive: ZipFile, name: str) -> Iterator[dict[str, Any]]:
    return map(json.loads, archive.read(name).decode().splitlines())


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept()


def test_pretrainings_with_other_weights_in_another_archive_are_named(kept: Kept):
    section = PAGE.read_text("utf-8").split("## Trained twice\n")[1].split("\n## ")[0]
    stated = {
        (label, int(seed))
        for seed, labels in STATED.findall(section)
        for label in labels.split(", ")
    }
    with ZipFile(ROOT / "results" / "archive" / "real_small.zip") as archive:
        methods = json.loads(archive.read("plan.json"))["methods"]
    differing = [kept.trained[key] for key, digests in kept.weights.items() if len(digests) > 1]
    assert {(methods[name]["label"], seed) for name, seed in differing} == stated


def test_runs_with_equal_keys_and_weights_differ_by_less_than_one_test_chip(kept: Kept):
    compared = 0
    for first, *others in (list(runs.values()) for runs in kept.runs.values()):
        for other in others:
            compared += 1
            assert first[EQUAL:] == other[EQUAL:]  # draw of labelled chips, number of test chips
            assert first[:EQUAL] == pytest.approx(other[:EQUAL], abs=1 / first[-1]), first
    assert compared > 100
