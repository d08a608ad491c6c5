"""The report of a plan: page, figures, and tables in other formats."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...results.figures.style import FORMATS, inline_svg, rendered
from ...results.leaderboard import METRICS
from ...results.page.html_page import Drawing, Report, RunLine, report_page
from ...results.published.schema import Published
from ...results.published.sheets import paper_sheets
from ...results.record import RunRecord
from ...results.scores import LeaderboardError
from ...results.tables.blocks import LINE
from ...results.tables.render import SUFFIXES, render, render_sheets
from ..grid.expand import PlannedRun
from ..grid.schema import grid_file
from ..plan.entry import Cause, Entry
from ..plan.plan import Plan, counted, describe_pretraining, describe_run
from ..store.atomic import write_atomic
from ..store.records import Store
from ..suggest import RequestError, unknown
from ..verification.check import Checked, check_plan
from .breakdown import report_breakdowns
from .draw import draw_all
from .figures import all_figures, interquartile_means
from .leaderboard import leaderboard, notes_of, predictions_of, scores_of, tabulate
from .metric_values import recorded_metrics
from .named_figure import NamedFigure
from .published import compare_with

MOST_FINDINGS = 20  # listed on the page
OnStep = Callable[[str], None]


def write_report(
    plan: Plan,
    store: Store,
    grid_path: Path,
    folder: Path,
    paper: Published | None,
    *,
    encoders: bool,
    on_step: OnStep,
) -> Path:
    """Write the report of a grid; return the page.

    Args:
        plan: The whole grid, or the part to report.
        store: The store with its records.
        grid_path: The grid file, shown on the page.
        folder: Folder for `index.html`, `figures/` and the tables in other formats.
        paper: Published values to compare with, if any.
        encoders: Draw t-SNE and attention distances; this runs the encoders.
        on_step: Called with the name of each step.
    """
    report = report_of(
        plan, store, grid_path, paper, _inline, folder / "figures", FORMATS, encoders=encoders,
        on_step=on_step,
    )  # fmt: skip
    report = replace(report, runs=[_line(entry.planned, entry) for entry in plan.runs])
    for suffix, style in SUFFIXES.items():
        if style == "html":  # the page
            continue
        layout = "paper" if style == "latex" else "leaderboard"
        board = report.boards[0]
        if style == "latex":  # for a paper: as `table` prints it without options
            board = replace(board, gains=None)
        text = render(board, style, layout, notes=style != "latex", width=LINE)
        write_atomic(folder / f"leaderboard{suffix}", text.encode())
    if report.paper:
        for suffix, style in ((".md", "markdown"), (".tex", "latex")):
            text = render_sheets([*report.paper], style, notes=True)
            write_atomic(folder / f"paper{suffix}", text.encode())
    on_step("page")
    page = folder / "index.html"
    write_atomic(page, report_page(report).encode())
    return page


def report_of(
    plan: Plan,
    store: Store,
    grid_path: Path,
    paper: Published | None,
    show: Callable[[NamedFigure, Path], Drawing],
    folder: Path,
    formats: Sequence[str],
    *,
    encoders: bool,
    on_step: OnStep,
) -> Report:
    """Return the content of a report, without the list of its runs.

    Args:
        plan: As in `write_report`.
        store: As in `write_report`.
        grid_path: As in `write_report`.
        paper: As in `write_report`.
        show: Returns a figure for the page; it gets the figure and its first file.
        folder: Folder for the figures.
        formats: Formats of the figures; pictures of chips are PNG.
        encoders: As in `write_report`.
        on_step: As in `write_report`.
    """
    predictions = predictions_of(plan, store)
    on_step("checking records")
    checked = check_plan(plan, store, encoders=False, verifier=predictions.verifier)
    on_step("leaderboards")
    scores, notes = scores_of(plan), notes_of(plan, predictions)
    boards = {
        metric: tabulate(plan, scores, metric, notes, predictions, gain=True) for metric in METRICS
    }
    for metric in recorded_metrics(plan):
        with suppress(LeaderboardError):  # a run without it, or a metric that fails here
            boards[metric] = tabulate(plan, scores, metric, notes, predictions, gain=True)
    board = boards["accuracy"]
    on_step("breakdowns")
    breakdowns = report_breakdowns(board, scores, predictions)
    on_step("figures")
    figures, skipped = all_figures(plan, store, predictions, board, encoders=encoders)
    sheets = []
    if paper:
        on_step("paper")
        # in a table of checkpoints the intervals over test chips would change the comparison
        ours = boards[paper.metric] if plan.grid.compare == "methods" else None
        cells, orders, differing = compare_with(plan, paper, scores, ours)
        if any(one.published and one.cell for one in cells):
            sheets = paper_sheets(paper, cells, orders, differing, [])
        else:
            skipped.append("paper: this grid measures no published value of it")
    files, not_drawn = draw_all(figures, folder, formats, on_step)
    return Report(
        title=f"sarbench: {plan.grid.name}",
        about=plan.grid.about,
        facts=_facts(plan, checked),
        boards=list(boards.values()),
        drawings=[show(one, path) for one, path in files],
        paper=sheets,
        runs=[],
        failures=_failures(plan),
        skipped=skipped + not_drawn,
        commands=_commands(plan, grid_path),
        grid=grid_file(grid_path).read_text(),
        ranking=interquartile_means(board, scores),
        breakdowns=breakdowns,
    )


def write_figure(
    plan: Plan, store: Store, name: str, path: Path, about: Mapping[str, str]
) -> NamedFigure:
    """Draw one figure of a grid into a file and return it; no other figure is computed.

    Args:
        plan: The whole grid, or the part to draw.
        store: The store with its records.
        name: Name of the figure.
        path: The file; its suffix is one of `FORMATS`.
        about: Metadata of an SVG, by the names of Dublin Core.

    Raises:
        RequestError: The grid has no figure of this name; the message lists those that it has.
        NotPreparedError: The figure shows chips whose pixels are missing.
    """
    predictions = predictions_of(plan, store)
    board = leaderboard(plan, predictions=predictions)
    figures, skipped = all_figures(
        plan, store, predictions, board, encoders=True, every=name.startswith("cost-")
    )
    found = {one.name: one for one in figures}
    if name not in found:
        reasons = "".join(f"\nmissing: {reason}" for reason in skipped)
        raise RequestError(unknown("figure", name, found) + reasons)
    one = found[name]
    about = {"Title": one.title, **about}
    (content,) = rendered(one.draw(), [path.suffix[1:].lower()], about=about)
    write_atomic(path, content)
    return one


def _inline(one: NamedFigure, path: Path) -> Drawing:
    """Return a figure as part of the page."""
    if one.pixels:
        return Drawing(one.title, one.caption, png=path.read_bytes())
    return Drawing(one.title, one.caption, svg=inline_svg(path))


def _facts(plan: Plan, checked: Checked) -> list[tuple[str, str]]:
    finished = [entry.record.provenance.started for entry in plan.runs if entry.record]
    newest = max(finished, default="none")[:16].replace("T", " ")
    facts = [
        ("newest result", f"{newest} UTC"),
        ("runs", f"{len(plan.runs)}: {counted(plan.counts())}"),
        ("pretrainings", str(len(plan.pretrain))),
    ]
    done = [entry.record.provenance for entry in plan.runs if entry.record]
    for training in plan.trainings():  # the time of the longest has that of the others in it
        done += [start.record.provenance for start, _ in training if start.record][:1]
    if done:
        hours = sum(one.wall_s for one in done) / 3600
        hosts = len({one.host for one in done})
        facts.append(("computed", f"{hours:.1f} process-hours on {hosts} machine(s), "
                      + ", ".join(sorted({one.device for one in done}))))  # fmt: skip
        versions: dict[str, dict[str, None]] = {}
        for one in done:
            for name, version in one.versions.items():
                versions.setdefault(name, {})[version] = None
        facts.append(("versions", ", ".join(f"{n} {'/'.join(v)}" for n, v in versions.items())))
    facts.append(("records", checked.summary(weights=False)))
    facts += [("finding", finding.line()) for finding in checked.findings[:MOST_FINDINGS]]
    if len(checked.findings) > MOST_FINDINGS:
        more = len(checked.findings) - MOST_FINDINGS
        facts.append(("finding", f"and {more} more; `sarbench check` lists all"))
    return facts


def _line(run: PlannedRun, entry: Entry[PlannedRun]) -> RunLine:
    record = entry.record if isinstance(entry.record, RunRecord) else None
    return RunLine(
        method=run.pretraining.row,
        column=run.column,
        pretrain_seed=run.pretraining.seed,
        seed=run.seed,
        state=entry.state,
        score=record.accuracy if record else None,
        wall_s=record.provenance.wall_s if record else None,
        device=record.provenance.device if record else "",
        commit=record.provenance.commit if record else "",
        key=entry.key or "",
    )


def _failures(plan: Plan) -> list[tuple[str, str]]:
    """Return failures with their reasons; runs of a failed pretraining are counted with it."""
    lines = []
    for start, own in plan.grouped():
        if start.state == "failed":
            name = describe_pretraining(start.planned)
            lines.append((f"pretraining of {name}, with its {len(own)} runs", start.reason))
    for entry in plan.runs:
        if entry.state == "failed" and entry.cause != Cause.PRETRAINING_FAILED:
            lines.append((describe_run(entry.planned), entry.reason))
    return lines


def _commands(plan: Plan, grid_path: Path) -> str:
    """Return the commands that reproduce every number."""
    commits = sorted({e.record.provenance.commit for e in plan.runs if e.record} - {"unknown"})
    checkout = "".join(f"git checkout {commit}\n" for commit in commits[:1])
    if len(commits) > 1:
        checkout = f"# runs of several commits, check out that of a run: {', '.join(commits)}\n"
    name = grid_path.name
    return (
        f"{checkout}pip install -e .\n"
        f"sarbench run {name}                  # every number; stored results are kept\n"
        f"sarbench run {name} -m METHOD -d DATA -p PROTOCOL -k SHOTS -s SEED --force   # one run\n"
        f"sarbench table {name} --format latex --layout paper\n"
        f"sarbench compare {name} A B\n"
        f"sarbench report {name} --out DIR"
    )
