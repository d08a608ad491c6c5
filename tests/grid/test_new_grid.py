"""The grid that `sarbench grids new` writes can be planned, and overwrites nothing."""

import json
import re
import tomllib

import pytest
from commands import call_here

from sarbench.bench.grid.new_grid import first_sentence, grid_text, write_grid
from sarbench.bench.grid.schema import GridError, bundled_grids


def test_a_new_grid_is_planned_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call_here("grids", "new", "first")
    assert done.stdout == "written: first.toml\nnext: sarbench plan first.toml\n"
    planned = call_here("plan", "first.toml", "--json")
    assert planned.returncode == 0, planned.stderr
    assert (
        len(json.loads(planned.stdout)["pretrain"]) == 13
    )  # 2 methods and 2 untrained encoders, pixels


def test_its_examples_are_valid_too():
    examples = [
        line.removeprefix("# ")
        for line in grid_text("first").splitlines()
        if re.match(r"# \w+ = ", line)
    ]
    assert {line.split()[0] for line in examples} == {
        "pool",
        "datasets",
        "conditions",
        "linear",
        "finetune",
    }
    tomllib.loads("\n".join(examples))


def test_a_grid_is_not_overwritten(tmp_path):
    path = write_grid("first", tmp_path)
    path.write_text("mine")
    with pytest.raises(GridError, match="exists and is not overwritten"):
        write_grid("first", tmp_path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "says"),
    [("a b", "cannot name a grid; allowed: letters"), ("../x", "cannot name"), ("demo", "bundled")],
)
def test_a_name_that_is_taken_or_no_name_is_refused(tmp_path, name, says):
    with pytest.raises(GridError, match=says):
        write_grid(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bundled_grids_are_listed_and_shown():
    listed = json.loads(call_here("grids", "ls", "--json").stdout)
    assert [one["name"] for one in listed] == list(bundled_grids())
    assert all(one["about"].endswith(".") for one in listed)
    small = next(one for one in listed if one["name"] == "real_small")
    assert (small["pretrain_seeds"], small["seeds"], len(small["methods"])) == (3, 3, 12)
    path = bundled_grids()["demo"]
    assert call_here("grids", "show", "demo").stdout == path.read_text()
    shown = json.loads(call_here("grids", "show", "demo", "--json").stdout)
    assert (shown["pretrain"]["epochs"], shown["pretrain"]["precision"]) == (5, "fp32")
    status, _, said = call_here("grids", "show", "demi")
    assert (status, "Did you mean 'demo'?" in said) == (2, True)


def test_the_first_sentence_of_a_grid_is_its_description(tmp_path):
    path = tmp_path / "g.toml"
    path.write_text("# Pool v1.2 of\n# one set. More.\nname = 'g'\n")
    assert first_sentence(path) == "Pool v1.2 of one set."
    path.write_text("name = 'g'\n# Later.\n")
    assert first_sentence(path) == ""
