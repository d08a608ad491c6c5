"""Published values of a paper: reading their file, and comparison with a plan."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...results.leaderboard import Leaderboard
from ...results.published.schema import Published
from ...results.published.verdicts import (
    CheckedCell,
    CheckedOrder,
    check_cells,
    check_orders,
    setup_differences,
)
from ...results.scores import Score
from ..grid.expand import pools_of
from ..grid.schema import describe_pool
from ..identity import Recipe
from ..plan.plan import Plan
from ..seeding import stream
from ..suggest import unknown
from ..toml_file import read_toml
from .leaderboard import tabulate

FOLDER = files("sarbench.results.published")


class PublishedError(ValueError):
    """A file of published values that is missing or invalid."""


def papers() -> list[str]:
    """Return the names of the bundled papers."""
    names = [path.name for path in FOLDER.iterdir()]
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def read_published(name: str) -> Published:
    """Read a bundled paper by its name, or another file by its path.

    Raises:
        PublishedError: The file is missing or invalid; the message lists every problem.
    """
    bundled = papers()
    path = Path(str(FOLDER / f"{name}.toml")) if name in bundled else Path(name)
    if not path.is_file():
        raise PublishedError(
            f"{unknown('paper', name, bundled)}, or the path of a TOML file with the same fields"
        )
    paper = read_toml(path, Published, PublishedError)
    try:
        paper.check_names()
    except ValueError as error:
        raise PublishedError(f"{path}: {error}") from None
    return paper


def compare_with(
    plan: Plan, paper: Published, scores: Sequence[Score], board: Leaderboard | None = None
) -> tuple[list[CheckedCell], list[CheckedOrder], list[str]]:
    """Return verdicts on cells, verdicts on statements of order, and differences in set-up.

    Args:
        plan: The grid against its store.
        paper: The published values.
        scores: Every run of the plan.
        board: Their leaderboard in the metric of the paper; by default it is tabulated here,
            without intervals over test chips.
    """
    rows = rows_of(plan)
    if board is None:
        board = tabulate(plan, scores, paper.metric, [])
    return (
        check_cells(paper, board, scores, rows),
        check_orders(paper, scores, rows, stream(0, "statistics")),
        setup_differences(paper, setup_of(plan), plan.grid.evaluate.datasets),
    )


def rows_of(plan: Plan) -> dict[str, list[str]]:
    """Return the rows of each method."""
    found: dict[str, dict[str, None]] = {}
    for entry in plan.pretrain:
        start = entry.planned
        found.setdefault(start.method, {})[start.row] = None
    return {method: list(rows) for method, rows in found.items()}


def setup_of(plan: Plan) -> dict[str, Any]:
    """Return the settings of a grid, named as in the set-up of a paper."""
    starts = [entry.planned.identity for entry in plan.pretrain]
    trained = [start for start in starts if start and start.recipe]
    pools = pools_of(entry.planned for entry in plan.pretrain) or [plan.grid.pretrain.pool]
    facts: dict[str, Any] = {
        "pool": list(pools[0]) if len(pools) == 1 else "; ".join(map(describe_pool, pools)),
        "precision": plan.grid.pretrain.precision,
        "pretraining_seeds": len({start.seed for start in trained}) or 1,
    }
    if trained:
        facts["encoder"] = _one_or_all([(start.encoder or {}).get("name") for start in trained])
        for field in Recipe.__dataclass_fields__:
            facts[field] = _one_or_all([(start.recipe or {}).get(field) for start in trained])
    return facts


def _one_or_all(values: list[Any]) -> Any:
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else distinct
