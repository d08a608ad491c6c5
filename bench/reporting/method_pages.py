"""The page of each method of a site: its description, scores and pretrainings on all boards."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...results.leaderboard import Cell, Leaderboard
from ...results.page.html_page import SitePart
from ...results.page.site_pages import MethodPage
from ...results.record import PretrainRecord
from ...results.scores import labels_in_words
from ...results.statistics.units import OVER
from ...results.tables.caption import caption, notes
from ...results.tables.sheets import Entry, Sheet, format_cell, row_title
from ..grid.expand import PlannedPretraining
from ..grid.schema import describe_pool
from ..method_facts.description import method_description
from ..method_facts.method_info import NO_FAMILY, MethodInfo
from ..plan.comparability import describe_given, describe_recipe
from ..plan.entry import Entry as Planned
from ..plan.plan import Plan
from .compute_figure import pretraining_tflop

HEADS = (
    "score", "gain", "data set", "protocol", "settings", "labels", "condition", "interval", "place",
    "runs", "verified by",
)  # fmt: skip
OPTIONAL = ("gain", "settings", "condition", "interval", "place")  # left out where no line has one
COSTS = ("encoder", "weights", "GFLOP per chip and step", "steps", "TFLOP", "hours", "device",
         "seeds", "pool", "recipe")  # fmt: skip
LISTS = ("Differs from the source", "Unknown")


@dataclass(frozen=True)
class Board:
    """A board of a site: its plan, its leaderboard of accuracies, and its place in the site."""

    plan: Plan
    leaderboard: Leaderboard
    part: SitePart


def page_of_method(name: str, file: str, boards: Sequence[Board]) -> MethodPage:
    """Return the page of a method.

    Args:
        name: Its name in the registry.
        file: Name of its page, without the ending.
        boards: The boards that have rows of it.
    """
    infos = [board.plan.methods[name] for board in boards]
    described = method_description(name)
    info = infos[-1]
    families = [one.family for one in infos if one.family != NO_FAMILY]
    family = families[-1] if families else info.family
    versions = dict.fromkeys(str(one.version) for one in infos)
    facts = [
        ("name in grids", name),
        ("family", family),
        ("version", ", ".join(versions)),
        *((heading.lower(), " ".join(described[heading]))
          for heading in ("Hidden", "Predicted", "Paper", "Source") if heading in described),
    ]  # fmt: skip
    if "Paper" not in described:
        facts.append(("paper", info.paper))
    facts += _remarks(info, installed=bool(described))
    return MethodPage(
        file=file,
        label=info.label,
        family=family,
        facts=facts,
        lists=[(heading, described[heading]) for heading in LISTS if heading in described],
        scores=[(board.part, _scores(board, name)) for board in boards],
        pretraining=[(board.part, _pretrainings(board, name)) for board in boards],
    )


def _remarks(info: MethodInfo, *, installed: bool) -> list[tuple[str, str]]:
    remarks = [
        ("note", "a control: it learns nothing, and is not ranked") if info.control else None,
        ("note", "† its paper does not define it completely") if info.unconfirmed else None,
        ("note", "it needs the labels of its pool") if info.needs_labels else None,
        None if installed else ("note", "its code is not installed where this site was made"),
    ]
    return [one for one in remarks if one]


def _scores(board: Board, name: str) -> Sheet:
    """Return a line for each cell of a method, with everything that describes its column."""
    found = board.leaderboard
    lines = [
        _score(board, cell)
        for row in found.rows
        for column in found.columns
        if (cell := found.cell(row, column)) and cell.name == name
    ]
    shown = [
        head for head in HEADS
        if head not in OPTIONAL or any(line[head].text not in ("", "clean") for line in lines)
    ]  # fmt: skip
    first = "method" if len({line["method"].text for line in lines}) > 1 else "data set"
    shown = [head for head in shown if head != first]
    section = [[line[first], *(line[head] for head in shown)] for line in lines]
    heads = [[(head, 1) for head in shown]]
    text = caption(found, notes(found))
    return Sheet(found.measure.heading, heads, [section], text, first_head=first)


def _score(board: Board, cell: Cell) -> dict[str, Entry]:
    measure, over = board.leaderboard.measure, OVER[cell.unit]
    gains = board.leaderboard.gains
    gain = gains.differences.get((cell.method, cell.column)) if gains else None
    return {
        "method": Entry(row_title(board.leaderboard, cell.method)),
        "score": Entry(format_cell(cell, measure), cell.place, cell.mean),
        "gain": Entry(measure.signed(gain.mean), None, gain.mean) if gain else Entry(""),
        "data set": Entry(cell.dataset),
        "protocol": Entry(cell.protocol),
        "settings": Entry(cell.settings),
        "labels": Entry(labels_in_words(cell.shots)),
        "condition": Entry(cell.condition or "clean"),
        "interval": Entry(over if cell.low is not None else str(cell.no_interval or "")),
        "place": Entry(str(cell.place or "")),
        "runs": Entry(f"{cell.n} of {cell.expected}", None, float(cell.n)),
        "verified by": Entry(board.part.verified[cell.method]),
    }


def _pretrainings(board: Board, name: str) -> Sheet:
    """Return a line for each row of a method: network, cost, seeds, pool and recipe.

    Columns without a value are left out, as the cost of a control.
    """
    rows: dict[str, list[Planned[PlannedPretraining]]] = {}
    for entry in board.plan.pretrain:
        if entry.planned.method == name:
            rows.setdefault(entry.planned.row, []).append(entry)
    lines = [[Entry(row), *_cost(entries)] for row, entries in rows.items()]
    kept = [n for n in range(1, len(COSTS) + 1) if any(line[n].text for line in lines)]
    lines = [[line[n] for n in (0, *kept)] for line in lines]
    text = (
        "Cost of one pretraining, the mean over its seeds. A multiplication and an addition are "
        "two FLOPs; hours are those of the machine that it ran on."
    )
    return Sheet("Pretraining", [[(COSTS[n - 1], 1) for n in kept]], [lines], [text])


def _cost(entries: Sequence[Planned[PlannedPretraining]]) -> list[Entry]:
    start = entries[0].planned
    records = [one.record for one in entries if isinstance(one.record, PretrainRecord)]
    built = next((one.architecture for one in records if one.architecture), None)
    tflop = [cost for one in records if (cost := pretraining_tflop(one)) is not None]
    seeds = sorted({one.planned.seed for one in entries})
    trained = start.recipe is not None
    return [
        Entry(built.encoder if built else str((start.encoder or {}).get("name", "none"))),
        _number(built and built.encoder_parameters, "{:,.0f}"),
        _number(built and built.step_gflop, "{:.3g}"),
        _mean([one.steps for one in records if trained], "{:,.0f}"),
        _mean(tflop, "{:.3g}"),
        _mean([one.provenance.wall_s / 3600 for one in records if trained], "{:.2g}"),
        Entry(", ".join(dict.fromkeys(one.provenance.device for one in records)) or "unknown"),
        Entry(", ".join(map(str, seeds))),
        Entry(describe_pool(start.pool) if start.pool else "none"),
        Entry(_recipe(start)),
    ]


def _recipe(start: PlannedPretraining) -> str:
    parts = [f"{start.recipe_name}: {describe_recipe(start.recipe)}"] if start.recipe else []
    if start.given:
        seen = start.given.seen_in_words
        parts.append(f"weights of {describe_given(start)}; they have seen: {seen}")
    changed = ", ".join(f"{name} {value}" for name, value in start.config.items())
    return "; ".join([*parts, *([f"settings: {changed}"] if changed and not start.given else [])])


def _number(value: float | None, form: str) -> Entry:
    return Entry("" if value is None else form.format(value), None, value)


def _mean(values: Sequence[float], form: str) -> Entry:
    return _number(sum(values) / len(values) if values else None, form)
