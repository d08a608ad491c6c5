"""The example notebook runs, and its numbers are those of `sarbench table`."""

import json
import os
from pathlib import Path

import pytest
from commands import call_here

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_notebook_runs(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(ROOT / "docs/notebooks")
    notebook = json.loads(Path("shifts.ipynb").read_text("utf-8"))
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "commit it without outputs"
            exec("".join(cell["source"]), names)  # cells of one notebook share their names
    table = call_here(
        "table", os.path.relpath("../../results/archive/shifts.zip"), "--json", "-p", "logistic"
    )
    of_table = {
        (one["method"], one["condition"] or "clean"): one["mean"]
        for one in json.loads(table.stdout)
        if one["shots"] == "all" and one["settings"] == "readout patch_mean_std"
    }
    cells = names["cells"].set_index(["row", "condition"])["mean"].to_dict()
    assert cells == pytest.approx(of_table)
    lines = names["axes"].get_lines()
    assert [line.get_label() for line in lines] == [
        "SAR-JEPA", "MAE", "Raw pixels", "Random init (relative positions)", "Random init"
    ]  # fmt: skip
    assert lines[0].get_color() == lines[3].get_color()
    drawn = 100 * of_table["SAR-JEPA", "shift:12"]
    assert lines[0].get_ydata()[-1] == pytest.approx(drawn)
