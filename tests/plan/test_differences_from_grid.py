"""Everything that a plan in an archive says otherwise than its grid is named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sarbench.bench.plan.archived import read_plan
from sarbench.bench.plan.differences_from_grid import differences_from_grid
from sarbench.bench.plan.expand_again import Expanded, compare_with_grid, expand_again
from sarbench.bench.plan.filters import Filters
from sarbench.bench.plan.plan import Plan
from sarbench.bench.store.archive import unpacked

pytestmark = pytest.mark.slow
STUDY = Path(__file__).parents[2] / "results" / "archive" / "study_pools.zip"


@pytest.fixture(scope="module")
def whole() -> tuple[Plan, Expanded]:
    with unpacked(STUDY) as store:
        plan = read_plan(store, Filters())
        return plan, expand_again(plan, store)


def labelled(plan: Plan, labels: dict[str, str]) -> Plan:
    """Return a plan with other labels of rows."""
    new = {
        id(one.planned): replace(
            one.planned, label=labels.get(one.planned.label, one.planned.label)
        )
        for one in plan.pretrain
    }
    pretrain = [replace(one, planned=new[id(one.planned)]) for one in plan.pretrain]
    runs = [
        replace(one, planned=replace(one.planned, pretraining=new[id(one.planned.pretraining)]))
        for one in plan.runs
    ]
    return replace(plan, pretrain=pretrain, runs=runs)


def with_start(plan: Plan, **fields: Any) -> Plan:
    """Return a plan with other fields of its first pretraining."""
    first, *others = plan.pretrain
    return replace(
        plan, pretrain=[replace(first, planned=replace(first.planned, **fields)), *others]
    )


def with_fact(plan: Plan, method: str, **facts: Any) -> Plan:
    return replace(plan, methods=plan.methods | {method: replace(plan.methods[method], **facts)})


def with_settings(plan: Plan) -> Plan:
    first, *others = plan.runs
    return replace(
        plan, runs=[replace(first, planned=replace(first.planned, settings={})), *others]
    )


def test_a_whole_plan_differs_in_nothing(whole: tuple[Plan, Expanded]):
    plan, expanded = whole
    assert list(differences_from_grid(plan, expanded)) == []
    part = replace(plan, pretrain=plan.pretrain[3:9], runs=plan.runs[9:27])
    assert list(differences_from_grid(part, expanded)) == []


CASES: dict[str, tuple[Callable[[Plan], Plan], str]] = {
    "recipe name": (lambda plan: with_start(plan, recipe_name="paper"), "values of recipe_name"),
    "identity": (
        lambda plan: with_start(plan, identity=replace(plan.pretrain[0].planned.identity, seed=8)),
        "values of identity.seed"),
    "tuned": (lambda plan: with_start(plan, tuned={"batch": 16}), "values of tuned"),
    "order of rows": (
        lambda plan: replace(plan, pretrain=plan.pretrain[::-1]), "its rows in another order"),
    "order of runs": (
        lambda plan: replace(plan, runs=[plan.runs[1], plan.runs[0], *plan.runs[2:]]),
        "its runs in another order"),
    "settings": (with_settings, "other settings than the grid"),
    "control": (
        lambda plan: with_fact(plan, "random_init", control=False),
        "control than this version for the methods random_init"),
    "label of a method": (lambda plan: with_fact(plan, "mae", label="x"), "values of label than"),
    "unconfirmed": (
        lambda plan: with_fact(plan, "sar_jepa", unconfirmed=True), "values of unconfirmed"),
    "protocols": (lambda plan: with_fact(plan, "mae", protocols=["knn"]), "values of protocols"),
    "not applicable": (
        lambda plan: replace(plan, not_applicable=[("LoMaR", "encoder vit_nano", "x")]),
        "calls not applicable what this version can do: LoMaR, encoder vit_nano"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_difference_from_the_grid_is_named(name: str, whole: tuple[Plan, Expanded]):
    edit, said = CASES[name]
    plan, expanded = whole
    (text,) = differences_from_grid(edit(plan), expanded)
    assert said in text


def test_exchanged_labels_of_two_rows_are_named(whole: tuple[Plan, Expanded]):
    plan, expanded = whole
    labels = {
        one.planned.label for one in plan.pretrain if one.planned.method in ("mae", "sar_jepa")
    }
    one, other = sorted(labels)[0], sorted(labels)[-1]
    edited = labelled(plan, {one: other, other: one})
    assert compare_with_grid(edited, expanded).undeclared == []
    assert "method" in next(differences_from_grid(edited, expanded))


def test_what_is_not_applicable_may_not_be_left_out(whole: tuple[Plan, Expanded]):
    plan, expanded = whole
    row = plan.pretrain[0].planned.row
    expanded = replace(
        expanded, not_applicable=[(row, "logistic with readout 'class'", "no token")]
    )
    (text,) = differences_from_grid(plan, expanded)
    assert (
        text == f"the plan leaves out what is not applicable: {row}, logistic with readout 'class'"
    )
    part = replace(plan, runs=[one for one in plan.runs if one.planned.protocol == "knn"])
    assert len(part.runs) < len(plan.runs)
    assert list(differences_from_grid(part, expanded)) == []
