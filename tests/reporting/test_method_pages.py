"""The page of a method of a site has the columns that its lines have values for."""

from pathlib import Path

from sarbench.bench.plan.archived import read_plan
from sarbench.bench.plan.filters import Filters
from sarbench.bench.reporting.leaderboard import leaderboard
from sarbench.bench.reporting.method_pages import Board, page_of_method
from sarbench.bench.store.archive import unpacked
from sarbench.results.page.html_page import SitePart

ARCHIVE = Path(__file__).parent.parent / "readme" / "small.zip"


def test_a_control_has_no_columns_of_the_cost_of_training():
    with unpacked(ARCHIVE) as store:
        plan = read_plan(store, Filters())
        board = leaderboard(plan)
    part = SitePart("small", "Small", [], [], {}, dict.fromkeys(board.rows, "nobody"))
    costs, scores = {}, {}
    for name in ("mae", "raw_pixels"):
        page = page_of_method(name, name, [Board(plan, board, part)])
        ((_, sheet),) = page.pretraining
        costs[name] = [head for head, _ in sheet.heads[0]]
        assert {len(line) for line in sheet.sections[0]} == {len(costs[name]) + 1}
        ((_, sheet),) = page.scores
        scores[name] = [head for head, _ in sheet.heads[0]]
    assert {"GFLOP per chip and step", "steps", "TFLOP", "hours"} <= set(costs["mae"])
    assert not {"GFLOP per chip and step", "steps", "TFLOP", "hours"} & set(costs["raw_pixels"])
    assert "seeds" in costs["raw_pixels"]
    assert "place" not in scores["raw_pixels"]
    assert "score" in scores["raw_pixels"]
