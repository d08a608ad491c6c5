"""Files of other users are read strictly: a value of another type is refused."""

import copy
import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from made_records import make_record
from stores import provenance

from sarbench.bench.reporting.published import FOLDER, PublishedError, read_published
from sarbench.bench.slurm import ledger
from sarbench.bench.slurm.ledger import Array, Element, Submission
from sarbench.bench.slurm.profile import ProfileError, parse_profile
from sarbench.bench.store.records import DamagedRecordError, Store
from sarbench.results.record import Attempt, PretrainRecord, digest_json

FREE = ("identity", "setup")  # hold any JSON value
WRONG = {bool: ("yes", 1), int: ("4", True), float: ("0.5", True), str: (3, None)}
PRETRAINED = PretrainRecord(
    key=digest_json({"seed": 0}), identity={"seed": 0}, provenance=provenance(),
    weights_digest="w", steps=3, images_per_s=1.5, final_loss=0.5, feature_spread=0.25,
)  # fmt: skip
ATTEMPT = Attempt(failure="E", message="m", traceback="t", log_tail=["l"], host="h", time="now")
SUBMISSION = Submission(
    id="20260101T000000-abc", grid="g", user="u", host="h", time=1.5, code="c", profile={},
    arrays=[
        Array(name="000", stage="pretrain", after="1", job_id="2",
              elements=[Element(label="MAE", pretraining="k", runs=["r"])])
    ],
)  # fmt: skip
PROFILE = """
partition = "gpu"
exclude = ["n1"]
nodes = 1
gpus = 2
cpus = 4
memory_gb = 16.5
time_min = 60
setup = ["module load x"]
throttle = 3
threads = 1
signal_s = 60
requeues = 2
pack_min = 5.5
checkpoint_s = 60.0
[pretrain]
cpus = 8
"""


def with_wrong_types(
    value: Any, path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every scalar of a JSON value with each value of another type."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            if key not in FREE:
                yield from with_wrong_types(child, (*path, key))
    else:
        yield from ((path, wrong) for wrong in WRONG.get(type(value), ()))


def with_value(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    whole = copy.deepcopy(whole)
    place = whole
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return whole


def cases(whole: Any) -> list[Any]:
    found = list(with_wrong_types(whole))
    return [pytest.param(p, w, id=f"{'.'.join(map(str, p))}={w!r}") for p, w in found]


RUN, PRETRAIN, FAILURE, SENT = (
    json.loads(each.model_dump_json()) for each in (make_record(), PRETRAINED, ATTEMPT, SUBMISSION)
)
PROFILE_VALUES = tomllib.loads(PROFILE)


@pytest.mark.parametrize(("path", "wrong"), cases(RUN))
def test_a_run_with_a_value_of_another_type_is_damaged(tmp_path, path, wrong):
    refuses(tmp_path, "evaluate", with_value(RUN, path, wrong), RUN["key"])


@pytest.mark.parametrize(("path", "wrong"), cases(PRETRAIN))
def test_a_pretraining_with_a_value_of_another_type_is_damaged(tmp_path, path, wrong):
    refuses(tmp_path, "pretrain", with_value(PRETRAIN, path, wrong), PRETRAIN["key"])


def refuses(folder: Any, kind: Any, content: Any, key: str) -> None:
    store = Store(folder)
    path = store.folder(kind, key) / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedRecordError):
        store.read(kind, key)


@pytest.mark.parametrize(("path", "wrong"), cases(FAILURE))
def test_an_attempt_with_a_value_of_another_type_is_not_read(tmp_path, path, wrong):
    store = Store(tmp_path)
    file = store.folder("evaluate", "k") / "attempt-1.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(with_value(FAILURE, path, wrong)))
    assert store.last_attempt("evaluate", "k") is None


@pytest.mark.parametrize(("path", "wrong"), cases(SENT))
def test_a_submission_with_a_value_of_another_type_is_reported(tmp_path, path, wrong):
    if (path[-1], wrong) in {("after", None), ("job_id", None)}:
        pytest.skip("may be missing")
    store = Store(tmp_path)
    file = ledger.folder(store) / f"{SENT['id']}.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(with_value(SENT, path, wrong)))
    said: list[str] = []
    ledger.read(store, said.append)
    assert len(said) == 1
    assert "is damaged" in said[0]


@pytest.mark.parametrize(("path", "wrong"), cases(PROFILE_VALUES))
def test_a_profile_with_a_value_of_another_type_is_refused(path, wrong):
    if wrong is None:
        pytest.skip("TOML has no null")
    with pytest.raises(ProfileError, match=rf"p\.toml: {path[0]}"):
        parse_profile(with_value(PROFILE_VALUES, path, wrong), "p.toml")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [("seeds = ", 'seeds = "5"'), ("seeds = ", "seeds = true"), ("value = ", 'value = "50.0"'),
     ("value = ", "value = true"), ("shots = 10", 'shots = "10"')],
)  # fmt: skip
def test_published_values_of_another_type_are_refused(tmp_path, line, wrong):
    lines = (FOLDER / "sar_jepa.toml").read_text("utf-8").splitlines()
    index = next(i for i, one in enumerate(lines) if line in one)
    key = line.split(" ")[0]
    before, _, after = lines[index].partition(line)
    rest = after.partition(",")[1:] if line.startswith(("value", "shots")) else ("", "")
    lines[index] = before + wrong + "".join(rest)
    path = tmp_path / "paper.toml"
    path.write_text("\n".join(lines))
    with pytest.raises(PublishedError, match=key):
        read_published(str(path))


def test_a_whole_number_is_allowed_for_a_float(tmp_path):
    store = Store(tmp_path)
    path = store.folder("evaluate", RUN["key"]) / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(with_value(RUN, ("accuracy",), 1)))
    assert store.read("evaluate", RUN["key"]).accuracy == 1.0
    assert parse_profile({"memory_gb": 8, "pack_min": 5}, "p").memory_gb == 8.0
