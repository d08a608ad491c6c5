"""Given encoders in a plan: identity by content, what the store remembers, missing files."""

import os
import shutil
import time
from pathlib import Path

import pytest
from given_files import EVALUATE, grid_text, write_weights
from small_grids import grid_of

from sarbench.bench.execution.given_import import OtherWeightsError, import_given
from sarbench.bench.given_file import GivenFile, Stated
from sarbench.bench.grid.schema import GridError
from sarbench.bench.identity import Resources
from sarbench.bench.plan import given_files
from sarbench.bench.plan.plan import Plan, make_plan
from sarbench.bench.store.records import Store
from sarbench.bench.weights.find_encoder import find_encoder
from sarbench.methods._encoders import encoder_from_json


@pytest.fixture
def store(tmp_path) -> Store:
    (tmp_path / "runs").mkdir()
    return Store(tmp_path / "runs")


def plan_of(folder: Path, store: Store, encoders: str, more: str = "") -> Plan:
    return make_plan(grid_of(folder, grid_text(encoders, more)), store, folder)


def rows(plan: Plan, method: str = "given") -> list:
    return [entry.planned for entry in plan.pretrain if entry.planned.method == method]


def settle(path: Path) -> None:
    """Let a file look older than the resolution of its times; the time of its inode is now."""
    past = time.time() - 100
    os.utime(path, (past, past))


def test_an_entry_has_the_identity_of_its_file(tmp_path, store):
    path = write_weights(tmp_path / "mae.pth.tar")
    (start,) = rows(plan_of(tmp_path, store, '{weights = "mae.pth.tar", heads = 3, mean = 0.5}'))
    found = find_encoder(path, Stated(heads=3, mean=(0.5,)))
    assert start.identity == found.identity()
    assert (start.label, start.row, start.seed, start.pool) == ("mae", "mae", 0, [])
    assert start.given.file == "mae.pth.tar"


def test_the_values_of_every_field_reach_the_file(tmp_path, store):
    write_weights(tmp_path / "mae.pth", "mae")
    encoders = (
        '{weights = "mae.pth", label = "A", heads = 6, input_px = 64, channels = 3, channel = 1, '
        "mean = [0.1, 0.2, 0.3], std = [1, 2, 4], seen = ['x'], labels = true}, "
        '{weights = "mae.pth", label = "B", heads = 6, input_px = 64, mean = [], std = []}'
    )
    first, second = rows(plan_of(tmp_path, store, encoders))
    assert first.encoder["heads"] == 6
    assert first.encoder["input_px"] == 64
    wanted = {"channels": 3, "channel": 1, "mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 4.0]}
    assert wanted.items() <= first.config.items()
    assert not {"mean", "std", "channel"} & second.config.keys()
    assert (first.given.seen, first.given.labels) == (("x",), True)
    assert not {"seen", "labels"} & (first.identity.to_json().keys() | first.config.keys())


def test_the_part_of_a_file_with_two_encoders_is_chosen(tmp_path, store):
    write_weights(tmp_path / "a.pth", "i_jepa_encoder")
    encoders = ", ".join(
        f'{{weights = "a.pth", label = "{part}", heads = 3, part = "{part}"}}'
        for part in ("target_encoder", "encoder")
    )
    first, second = rows(plan_of(tmp_path, store, encoders))
    assert (first.config["part"], second.config["part"]) == ("target_encoder", "encoder")
    assert first.config["digest"] != second.config["digest"]


def test_an_untrained_control_has_the_architecture_and_the_input(tmp_path, store):
    write_weights(tmp_path / "a.pth")
    write_weights(tmp_path / "b.pth", added=1.0)
    write_weights(tmp_path / "c.pth", "lomar")
    encoders = ", ".join(
        ['{weights = "a.pth", heads = 3}', '{weights = "b.pth", heads = 3}', '"c.pth"',
         '{weights = "a.pth", label = "d", heads = 3, std = 0.5}']
    )  # fmt: skip
    plan = plan_of(tmp_path, store, encoders)
    controls = rows(plan, "random_init")
    given = {start.label: start for start in rows(plan)}
    assert [start.label for start in controls] == [
        "Random init (given:48x2x3@32/8)", "Random init (given:48x2x3@32/8, as c)",
        "Random init (given:48x2x3@32/8, as d)",
    ]  # fmt: skip
    for control, label in zip(controls, "acd", strict=True):
        assert control.encoder == given[label].encoder
        for name in ("channels", "std"):
            assert control.config.get(name) == given[label].config.get(name)
    assert {start.method for start in (entry.planned for entry in plan.pretrain)} == {
        "given", "random_init", "raw_pixels",
    }  # fmt: skip


def test_a_grid_with_encoders_compares_checkpoints(tmp_path, store):
    write_weights(tmp_path / "a.pth")
    entry = '{weights = "a.pth", heads = 3}'
    assert plan_of(tmp_path, store, entry).grid.compare == "checkpoints"
    with pytest.raises(GridError, match='write compare = "checkpoints"'):
        plan_of(tmp_path, store, entry, 'compare = "methods"')
    text = grid_text(entry, 'methods = ["mae"]', f"[pretrain]\nseeds = 3\n{EVALUATE}")
    with pytest.raises(GridError, match="has 3 seeds"):
        make_plan(grid_of(tmp_path, text), store, tmp_path)


def test_a_file_is_read_once(tmp_path, store, monkeypatch):
    path = write_weights(tmp_path / "a.pth")
    entry = '{weights = "a.pth", heads = 3}'
    monkeypatch.setattr(given_files, "SETTLED_S", -1.0)
    plan_of(tmp_path, store, entry)
    with monkeypatch.context() as blocked:
        blocked.setattr(given_files, "_read_weights", None)
        before = rows(plan_of(tmp_path, store, entry))
        shutil.rmtree(tmp_path / "runs" / "sets", ignore_errors=True)
        assert rows(plan_of(tmp_path, store, entry)) == before
        path.touch()
        with pytest.raises(GridError, match="not callable"):  # it would be read
            plan_of(tmp_path, store, entry)
        (tmp_path / "runs" / given_files.FILE).write_text("damaged")
        with pytest.raises(GridError, match="not callable"):
            plan_of(tmp_path, store, entry)
    assert rows(plan_of(tmp_path, store, entry)) == before


def test_a_file_of_the_same_size_and_time_with_other_weights_is_another_encoder(
    tmp_path, store, monkeypatch
):
    path = write_weights(tmp_path / "a.pth")
    entry = '{weights = "a.pth", heads = 3}'
    monkeypatch.setattr(given_files, "SETTLED_S", -1.0)
    settle(path)
    times = path.stat()
    (before,) = rows(plan_of(tmp_path, store, entry))
    content = write_weights(tmp_path / "b.pth", added=1.0).read_bytes()
    assert len(content) == times.st_size
    path.write_bytes(content)  # the inode stays
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_mtime_ns == times.st_mtime_ns
    (after,) = rows(plan_of(tmp_path, store, entry))
    assert after.identity.key != before.identity.key
    assert after.config["digest"] != before.config["digest"]


def test_a_young_file_is_read_again(tmp_path, store, monkeypatch):
    write_weights(tmp_path / "a.pth")
    plan_of(tmp_path, store, '{weights = "a.pth", heads = 3}')
    monkeypatch.setattr(given_files, "_read_weights", None)
    with pytest.raises(GridError, match="not callable"):
        plan_of(tmp_path, store, '{weights = "a.pth", heads = 3}')


def imported(plan: Plan, store: Store) -> None:
    for start in rows(plan):
        import_given(start.identity, plan.files[start.identity.key], store, Resources())


def test_a_missing_file_is_known_by_its_record(tmp_path, store):
    write_weights(tmp_path / "a.pth")
    entry = '{weights = "a.pth", heads = 3}'
    plan = plan_of(tmp_path, store, entry)
    (tmp_path / "a.pth").rename(tmp_path / "b.pth")
    with pytest.raises(GridError, match=r"a\.pth is missing, and the store .* has no encoder from"):
        plan_of(tmp_path, store, entry)
    (tmp_path / "b.pth").rename(tmp_path / "a.pth")
    imported(plan, store)
    (tmp_path / "a.pth").unlink()
    again = plan_of(tmp_path, store, entry)
    assert rows(again)[0].identity == rows(plan)[0].identity
    assert rows(again)[0].given.missing
    assert [entry.state for entry in again.pretrain if entry.planned.given] == ["done"]
    with pytest.raises(GridError, match="put it there"):
        plan_of(tmp_path, store, '{weights = "a.pth", heads = 6}')


@pytest.mark.parametrize("written", ["b/checkpoint.pth", "checkpoint.pth", "x/../checkpoint.pth"])
def test_a_path_that_never_existed_shows_no_other_file_of_its_name(tmp_path, store, written):
    (tmp_path / "a").mkdir()
    write_weights(tmp_path / "a" / "checkpoint.pth")
    plan = plan_of(tmp_path, store, '{weights = "a/checkpoint.pth", heads = 3}')
    imported(plan, store)
    with pytest.raises(GridError, match=r"checkpoint\.pth is missing, and the store .* has no enc"):
        plan_of(tmp_path, store, f'{{weights = "{written}", heads = 3, label = "SARATR-X"}}')


def test_a_project_that_moved_without_its_files_keeps_its_rows(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "runs").mkdir(parents=True)
    write_weights(old / "a.pth")
    entry = '{weights = "a.pth", heads = 3}'
    plan = plan_of(old, Store(old / "runs"), entry)
    imported(plan, Store(old / "runs"))
    old.rename(new)
    (new / "a.pth").unlink()
    (again,) = rows(plan_of(new, Store(new / "runs"), entry))
    assert again.identity == rows(plan)[0].identity
    assert again.given.missing


def test_files_of_one_name_in_an_archive_are_told_apart_by_their_labels(tmp_path, store):
    for folder, added in (("a", 0.0), ("b", 1.0)):
        (tmp_path / folder).mkdir()
        write_weights(tmp_path / folder / "checkpoint.pth", added=added)
    entries = ", ".join(
        f'{{weights = "{one}/checkpoint.pth", heads = 3, label = "{one.upper()}"}}' for one in "ab"
    )
    plan = plan_of(tmp_path, store, entries)
    (tmp_path / "unpacked").mkdir()
    joined = Store(tmp_path / "unpacked")
    starts = [entry.planned for entry in plan.pretrain]
    given_files.remember(plan.grid, plan.methods, starts, tmp_path / "given.zip", joined.root)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = rows(plan_of(elsewhere, joined, entries))
    assert [one.identity for one in again] == [one.identity for one in rows(plan)]
    assert again[0].identity != again[1].identity
    with pytest.raises(GridError, match="has no encoder from it"):
        plan_of(elsewhere, joined, '{weights = "checkpoint.pth", heads = 3, label = "C"}')


def test_the_last_encoder_of_a_missing_file_counts(tmp_path, store):
    entry = '{weights = "a.pth", heads = 3}'
    for added in (0.0, 1.0):
        write_weights(tmp_path / "a.pth", added=added)
        plan = plan_of(tmp_path, store, entry)
        imported(plan, store)
    (tmp_path / "a.pth").unlink()
    assert rows(plan_of(tmp_path, store, entry))[0].identity == rows(plan)[0].identity


def test_an_import_stores_the_encoder_of_the_plan_and_no_other(tmp_path, store):
    write_weights(tmp_path / "a.pth")
    plan = plan_of(tmp_path, store, '{weights = "a.pth", heads = 3}')
    (start,) = rows(plan)
    file = plan.files[start.identity.key]
    assert file == GivenFile(str(tmp_path / "a.pth"), Stated(heads=3))
    write_weights(tmp_path / "a.pth", added=1.0)
    with pytest.raises(OtherWeightsError, match="but the plan was made for"):
        import_given(start.identity, file, store, Resources())
    (tmp_path / "a.pth").unlink()
    with pytest.raises(OtherWeightsError, match="is not visible on"):
        import_given(start.identity, file, store, Resources())
    assert store.keys("pretrain") == set()
    path = write_weights(tmp_path / "a.pth")
    import_given(start.identity, file, store, Resources())
    record = store.read("pretrain", start.identity.key)
    wanted = find_encoder(path, file.stated)
    assert record.identity == wanted.identity().to_json()
    count = sum(t.numel() for t in wanted.network().parameters())
    assert record.architecture.encoder_parameters == count
    assert encoder_from_json(record.identity["encoder"]) == wanted.encoder


def test_the_job_of_a_given_encoder_has_its_file(tmp_path, store):
    write_weights(tmp_path / "a.pth")
    plan = plan_of(tmp_path, store, '{weights = "a.pth", heads = 3}')
    jobs = {job.pretraining.method: job.given for job in plan.jobs()}
    assert jobs["given"] == GivenFile(str(tmp_path / "a.pth"), Stated(heads=3))
    assert jobs["random_init"] is None
