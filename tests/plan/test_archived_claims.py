"""A plan in an archive that contradicts its records is refused, with the reason."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sarbench.bench.plan.archived import read_plan
from sarbench.bench.plan.filters import Filters
from sarbench.bench.plan.plan import Plan
from sarbench.bench.store.archive import PLAN, ArchivedStore, ArchiveError, unpacked

STUDY = Path(__file__).parents[2] / "results" / "archive" / "study_pools.zip"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def store() -> Iterator[ArchivedStore]:
    with unpacked(STUDY) as opened:
        yield opened


@pytest.fixture
def read(store: ArchivedStore) -> Iterator[Callable[[Callable[[Json], object]], Plan]]:
    """Read the plan of the archive after an edit."""
    path = store.root / PLAN
    content = path.read_bytes()

    def edited(edit: Callable[[Json], object]) -> Plan:
        plan = json.loads(content)
        edit(plan)
        path.write_text(json.dumps(plan))
        return read_plan(store, Filters())

    yield edited
    path.write_bytes(content)


def of(plan: Json, method: str) -> Json:
    """Return the first planned pretraining of a method."""
    return next(one["planned"] for one in plan["pretrain"] if one["planned"]["method"] == method)


def exchange(name: str, one: Json, other: Json) -> None:
    assert one[name] != other[name]
    one[name], other[name] = other[name], one[name]


def shared(plan: Json) -> Json:
    """Return the counts of the pool of three sets."""
    pool, datasets = plan["sharing"][0]
    assert len(pool) == 3
    return datasets["mstar_soc"]


def other_start(plan: Json) -> None:
    first = plan["runs"][0]["start"]
    for run in plan["runs"]:
        run["start"] = {first: first + 3, first + 3: first}.get(run["start"], run["start"])


EDITS: list[tuple[str, Callable[[Json], object]]] = [
    ("differ in pretraining", other_start),
    ("the plan has 0 to 20", lambda plan: plan["runs"][-1].update(start=-1)),
    ("differ in method", lambda plan: exchange("method", of(plan, "mae"), of(plan, "sar_jepa"))),
    ("differ in seed", lambda plan: of(plan, "mae").update(seed=2)),
    ("differ in recipe", lambda plan: of(plan, "mae")["recipe"].update(epochs=7)),
    ("differ in tuned recipe", lambda plan: of(plan, "mae").update(tuned={"base_lr": 1.0})),
    ("differ in settings", lambda plan: of(plan, "mae")["config"].update(mask_ratio=0.5)),
    ("differ in encoder", lambda plan: of(plan, "mae")["encoder"].update(name="vit_base")),
    ("differ in pool", lambda plan: of(plan, "mae").update(pool=["mstar_rest/without_eoc"])),
    ("differ in first weights", lambda plan: of(plan, "mae").update(init={"version": 1})),
    ("differ in share of the steps", lambda plan: of(plan, "mae").update(axes={"at": 0.5})),
    ("differ in version", lambda plan: plan["methods"]["mae"].update(version=2)),
    ("differ in condition", lambda plan: plan["runs"][0]["planned"].update(condition="shift:4")),
    ("differ in shots", lambda plan: plan["runs"][0]["planned"].update(shots=3)),
    ("differ in seed", lambda plan: plan["runs"][0]["planned"].update(seed=9)),
    ("differ in protocol", lambda plan: plan["runs"][0]["planned"].update(protocol="lora")),
    ("differ in settings", lambda plan: plan["runs"][0]["planned"].update(settings={})),
    ("differ in data set", lambda plan: plan["runs"][0]["planned"].update(dataset="sar_acd")),
    ("1 pretrainings or runs are in its plan twice",
     lambda plan: plan["runs"].append(copy.deepcopy(plan["runs"][0]))),
    ("1 of its records, such as evaluate/", lambda plan: plan["runs"].pop()),
    ("1 of its records, such as evaluate/",
     lambda plan: plan["runs"][0].update(state="failed", cause="error", detail="broken")),
    ("impossible numbers of chips for the pool", lambda plan: shared(plan)["drawn"].pop()),
    ("impossible numbers of chips for the pool",
     lambda plan: shared(plan).update(drawn=[843, 1613, 6496])),
    ("impossible numbers of chips of mstar_soc", lambda plan: shared(plan).update(test=10**6)),
    ("impossible numbers of chips of mstar_soc", lambda plan: shared(plan).update(vehicles=-1)),
    ("impossible numbers of chips of mstar_soc", lambda plan: shared(plan).update(copied=2426)),
    ("impossible numbers of chips of mstar_soc", lambda plan: plan.update(own=[
        [["mstar_soc:train"], {"mstar_soc": {**shared(plan), "copied": 2426}}]])),
]  # fmt: skip


@pytest.mark.parametrize(("said", "edit"), EDITS, ids=[f"{n}-{e[0]}" for n, e in enumerate(EDITS)])
def test_a_plan_that_contradicts_its_records_is_refused(said: str, edit, read):
    with pytest.raises(ArchiveError) as refused:
        read(edit)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{STUDY}: ")


def test_the_state_of_a_finished_run_is_that_of_its_record(read):
    whole = read(lambda plan: None)
    plan = read(lambda plan: plan["runs"][0].update(
        detail="never", cause="error", failure_class="node_failure"))  # fmt: skip
    assert plan.runs[0] == whole.runs[0]
    assert plan.runs[0].reason == plan.runs[0].record.provenance.started[:10]
