"""Records are complete or missing, written once, and checked against their key."""

import json
import multiprocessing
import os
import time

import pytest
from made_records import make_record
from pydantic import ValidationError

from sarbench.bench.store.atomic import ABANDONED_S, read_file, write_atomic, write_once
from sarbench.bench.store.history import read_history
from sarbench.bench.store.records import DamagedRecordError, Store
from sarbench.results.record import Attempt, RunRecord


def test_a_written_record_reads_back_equal(tmp_path):
    store, record = Store(tmp_path), make_record()
    assert store.write("evaluate", record)
    assert store.read("evaluate", record.key) == record
    assert store.keys("evaluate") == {record.key}


def test_a_second_writer_loses_and_changes_nothing(tmp_path):
    store = Store(tmp_path)
    first, second = make_record(accuracy=0.1), make_record(accuracy=0.9)
    assert store.write("evaluate", first)
    assert not store.write("evaluate", second)
    assert store.read("evaluate", first.key).accuracy == 0.1
    assert [p.name for p in store.folder("evaluate", first.key).iterdir()] == ["record.json"]


def test_temporary_files_of_killed_processes_are_removed_after_a_day(tmp_path):
    target = tmp_path / "[a].npz"
    old, new = tmp_path / ".[a].npz.17.4000", tmp_path / ".[a].npz.18.4000"
    others = [tmp_path / ".a.npz.17.4000", tmp_path / ".[a].npz.backup", tmp_path / "[a].npz.1.2"]
    for path in (old, new, *others):
        path.write_bytes(b"x")
        if path != new:
            os.utime(path, (time.time() - ABANDONED_S - 60,) * 2)
    write_atomic(target, b"y")
    assert sorted(tmp_path.iterdir()) == sorted([target, new, *others])


def _race(root, accuracy, queue):
    queue.put(Store(root).write("evaluate", make_record(accuracy=accuracy)))


def test_of_many_writers_at_once_exactly_one_wins(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, i / 10, queue)) for i in range(6)]
    for racer in racers:
        racer.start()
    wins = [queue.get(timeout=30) for _ in racers]
    for racer in racers:
        racer.join()
    assert sum(wins) == 1


@pytest.mark.parametrize("cut", [0, 1, 40, -3])
def test_an_incomplete_record_is_an_error_and_not_a_result(tmp_path, cut):
    store, record = Store(tmp_path), make_record()
    store.write("evaluate", record)
    path = store.folder("evaluate", record.key) / "record.json"
    path.write_text(path.read_text()[:cut])
    with pytest.raises(DamagedRecordError, match=r"record\.json"):
        store.read("evaluate", record.key)


def test_a_record_in_the_wrong_folder_is_refused(tmp_path):
    store, record = Store(tmp_path), make_record()
    store.write("evaluate", record)
    other = make_record(seed=1)
    store.folder("evaluate", record.key).rename(store.folder("evaluate", other.key))
    with pytest.raises(DamagedRecordError, match="holds"):
        store.read("evaluate", other.key)


def test_a_record_whose_identity_was_edited_is_refused(tmp_path):
    store, record = Store(tmp_path), make_record()
    store.write("evaluate", record)
    path = store.folder("evaluate", record.key) / "record.json"
    data = json.loads(path.read_text())
    data["identity"]["seed"] = 7
    path.write_text(json.dumps(data))
    with pytest.raises(DamagedRecordError):
        store.read("evaluate", record.key)


@pytest.mark.parametrize(
    "change",
    [{"accuracy": 1.2}, {"accuracy": float("nan")}, {"surprise": 1}, {"schema_version": 2}],
)
def test_a_record_with_impossible_or_unknown_values_is_refused(change):
    data = make_record().model_dump() | change
    with pytest.raises(ValidationError):
        RunRecord.model_validate(data)


@pytest.mark.parametrize("name", ["wall_s", "gpu_s", "peak_memory_mb"])
def test_a_negative_cost_is_refused(name):
    data = make_record().model_dump()
    data["provenance"][name] = -5.0
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        RunRecord.model_validate(data)


def test_attempts_are_numbered_and_kept_with_a_record(tmp_path):
    store, record = Store(tmp_path), make_record()
    for i in range(11):
        attempt = Attempt(failure="E", message=str(i), traceback="", host="h", time="t")
        store.write_attempt("evaluate", record.key, attempt)
    assert store.last_attempt("evaluate", record.key).message == "10"
    assert store.read("evaluate", record.key) is None
    assert store.write("evaluate", record)


def test_forcing_moves_the_old_folder_aside_and_keeps_it(tmp_path):
    store, record = Store(tmp_path), make_record()
    store.write("evaluate", record)
    aside = store.move_aside("evaluate", record.key)
    assert (aside / "record.json").exists()
    assert store.read("evaluate", record.key) is None
    assert store.keys("evaluate") == set()


def test_a_failing_write_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")

    def write(temporary):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"no space left to write .*file"):
        write_atomic(target, write)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_first_writer_of_a_file_wins(tmp_path):
    assert write_once(tmp_path / "file", b"first")
    assert not write_once(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_fifo_a_folder_or_nan_in_place_of_a_record_is_an_error(tmp_path):
    store, record = Store(tmp_path), make_record()
    store.write("evaluate", record)
    path = store.folder("evaluate", record.key) / "record.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": NaN'))
    with pytest.raises(DamagedRecordError, match="identity: "):
        store.read("evaluate", record.key)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DamagedRecordError, match="not a regular file"):
        store.read("evaluate", record.key)
    path.unlink()
    path.mkdir()
    with pytest.raises(DamagedRecordError, match="cannot be read"):
        store.read("evaluate", record.key)


def test_files_with_names_like_attempts_are_ignored(tmp_path):
    store = Store(tmp_path)
    attempt = Attempt(failure="E", message="m", traceback="t", host="h", time="2026-01-01")
    store.write_attempt("evaluate", "k", attempt)
    folder = store.folder("evaluate", "k")
    (folder / "attempt-1 (copy).json").write_text("{}")
    os.mkfifo(folder / "attempt-2.json")
    assert store.last_attempt("evaluate", "k") == attempt


def test_a_history_ends_at_a_line_that_is_nested_too_deeply(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n' + "[" * 100_000)
    assert read_history(path) == [{"step": 1, "loss": 0.5}]


def test_a_folder_or_a_pipe_in_place_of_a_file_is_named_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "pipe", OSError)):
        with pytest.raises(error, match=path.name):
            read_file(path)
