"""The report of a grid as an HTML page, alone or in a site; every text is escaped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..leaderboard import Leaderboard
from ..scores import Column
from ..tables.sheets import Sheet
from .templates import render_page


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: our own SVG element, a PNG, or the address of a picture."""

    title: str
    caption: str
    svg: str = ""
    png: bytes = b""
    file: str = ""


@dataclass(frozen=True)
class Breakdown:
    """Scores on parts of the test chips, one sheet for each column."""

    title: str
    sheets: Sequence[Sheet]


@dataclass(frozen=True)
class SitePart:
    """The place of a report in a site; addresses are relative to the site's folder.

    Attributes:
        name: Its page is `boards/NAME.html`.
        title: Name of the board.
        facts: Names and values that its archive and declaration give.
        files: Labels and addresses to download.
        methods: Row of its leaderboards -> name of the page of its method, without the ending.
        verified: Row -> who has verified it.
    """

    name: str
    title: str
    facts: Sequence[tuple[str, str]]
    files: Sequence[tuple[str, str]]
    methods: Mapping[str, str]
    verified: Mapping[str, str]


@dataclass(frozen=True)
class RunLine:
    """One run of the grid with its provenance."""

    method: str
    column: Column
    pretrain_seed: int
    seed: int
    state: str
    score: float | None
    wall_s: float | None
    device: str
    commit: str
    key: str


@dataclass(frozen=True)
class Report:
    """Content of the page, from top to bottom.

    Attributes:
        facts: Names and values.
        boards: One leaderboard per metric; the first one is open.
        paper: Comparison with published values.
        about: Sentences below the title.
        failures: Failed pretrainings and runs, with reasons.
        skipped: Parts that are missing on the page, with reasons.
        commands: Commands that reproduce the numbers.
        grid: Text of the grid file.
        ranking: Sentences below the leaderboards.
        breakdowns: Scores by facts about the test chips.
        part: Its place in a site; None for a page of its own, which loads nothing.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    boards: Sequence[Leaderboard]
    drawings: Sequence[Drawing]
    paper: Sequence[Sheet]
    runs: Sequence[RunLine]
    failures: Sequence[tuple[str, str]]
    about: str = ""
    skipped: Sequence[str] = ()
    commands: str = ""
    grid: str = ""
    ranking: Sequence[str] = ()
    breakdowns: Sequence[Breakdown] = ()
    part: SitePart | None = None


def report_page(report: Report) -> str:
    """Return the page as one HTML text; outside a site it has no references to other files."""
    return render_page("page.html", title=report.title, report=report)
