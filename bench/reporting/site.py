"""A static site of leaderboards from archives: pages, figures and records to download."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ...results.page.html_page import Drawing, Report, SitePart, report_page
from ...results.page.site_pages import index_page, method_page
from ..plan.archived import read_plan
from ..plan.filters import Filters
from ..plan.plan import Plan
from ..store.archive import GRID, SUFFIX, ArchivedStore, unpacked
from ..suggest import RequestError
from ..verification.declaration import (
    VERIFIED_WORDS,
    Declaration,
    declaration_file,
    has_declaration,
    manifest_digest,
    read_declaration,
    rows_of,
)
from .html_report import OnStep, report_of
from .method_pages import Board, page_of_method
from .named_figure import NamedFigure, figure_name

if TYPE_CHECKING:
    from pandas import DataFrame

MARKER = "site.json"  # in the folder of a site, which may then be replaced
FORMAT = "sarbench site"
TITLE = "sarbench: leaderboards"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # first letters that spreadsheets compute
RunFrame = Callable[[Plan], "DataFrame"]


def write_site(
    archives: Sequence[Path],
    folder: Path,
    run_frame: RunFrame,
    on_step: OnStep = lambda text: None,
) -> None:
    """Write the site of some archives; a site in the folder is replaced as a whole.

    Args:
        archives: The archives, in the order of their boards.
        folder: The folder of the site.
        run_frame: Returns the finished runs of a plan, one line each.
        on_step: Called with the name of each step.

    Raises:
        RequestError: The folder exists and is not a site, or two archives have the same name.
        ArchiveError: A file is not a whole, unchanged archive.
        DeclarationError: The declaration next to an archive cannot be read.
        LeaderboardError: Records disagree with their predictions.
    """
    refuse_other_folder(folder)
    names = _names(archives)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        _write(names, new, run_frame, on_step)
        new.chmod(0o755)  # a temporary folder is private
        _replace(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def refuse_other_folder(folder: Path) -> None:
    """Refuse a path that exists, unless it is a site or an empty folder.

    Raises:
        RequestError: The message says what to do.
    """
    if not folder.exists():
        return
    if folder.is_dir() and (_is_site(folder / MARKER) or not any(folder.iterdir())):
        return
    kind = "a folder, but not a site of sarbench" if folder.is_dir() else "a file"
    raise RequestError(
        f"--out {folder} is {kind}; a site replaces only a site or an empty folder: give another "
        "path, or remove it yourself"
    )


def _is_site(marker: Path) -> bool:
    try:
        return FORMAT in json.loads(marker.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _names(archives: Sequence[Path]) -> dict[str, Path]:
    """Return the archives by the name of their pages."""
    found: dict[str, Path] = {}
    for path in archives:
        name = figure_name(path.name.removesuffix(SUFFIX)) or "board"
        if name in found:
            raise RequestError(
                f"{found[name]} and {path} would have the same page, {name}.html; give each "
                "archive once, under a name of its own"
            )
        found[name] = path
    return found


def _replace(new: Path, folder: Path) -> None:
    """Put a new folder in the place of an old one, which comes back if that fails."""
    old = new.with_name(f"{new.name}.old")
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write(names: dict[str, Path], folder: Path, run_frame: RunFrame, on_step: OnStep) -> None:
    reports, boards = list[Report](), list[Board]()
    pages: dict[str, str] = {}  # method -> name of its page
    with ExitStack() as opened:
        for name, path in names.items():
            on_step(f"{name}: reading")
            store = opened.enter_context(unpacked(path))
            plan = read_plan(store, Filters())
            for entry in plan.pretrain:
                pages.setdefault(entry.planned.method, _page_name(entry.planned.method, pages))
            report = _board(name, store, plan, pages, folder, on_step)
            _records(name, run_frame(plan), folder)
            part = report.part
            if part is None:
                continue
            reports.append(report)
            boards.append(Board(plan, report.boards[0], part))
            _add(folder / "boards" / f"{name}.html", report_page(report))
        on_step("pages of methods")
        methods = []
        for method, file in sorted(pages.items()):
            having = [
                one for one in boards if method in {e.planned.method for e in one.plan.pretrain}
            ]
            methods.append(page_of_method(method, file, having))
            _add(folder / "methods" / f"{file}.html", method_page(methods[-1]))
    _add(folder / "index.html", index_page(TITLE, reports, methods, VERIFIED_WORDS))
    about = {name: {"archive": path.name, "manifest": manifest_digest(path)}
             for name, path in names.items()}  # fmt: skip
    marker = {FORMAT: version("sarbench"), "boards": about}
    _add(folder / MARKER, json.dumps(marker, indent=1) + "\n")


def _page_name(method: str, taken: dict[str, str]) -> str:
    """Return the name of a method's page; names of plug-ins come from files."""
    name = figure_name(method)[:60]
    used = name in taken.values() or not name.strip(".")
    return f"{name}-{sha256(method.encode()).hexdigest()[:8]}" if used else name


def _board(
    name: str,
    store: ArchivedStore,
    plan: Plan,
    pages: dict[str, str],
    folder: Path,
    on_step: OnStep,
) -> Report:
    """Write everything of a board but its page; return its report."""
    if not plan.counts().get("done"):
        raise RequestError(f"{store.path} holds no finished run, so it has no board; leave it out")
    declared = read_declaration(store.path) if has_declaration(store.path) else None
    files = _archive(name, store.path, folder)
    report = report_of(
        plan, store, store.root / GRID, None, _linked, folder / "boards" / name, ["svg"],
        encoders=False, on_step=lambda step: on_step(f"{name}: {step}"),
    )  # fmt: skip
    part = SitePart(
        name=name,
        title=name,
        facts=_facts(plan, declared),
        files=files,
        methods={e.planned.row: pages[e.planned.method] for e in plan.pretrain},
        verified={row: (declared or Declaration()).verified(row) for row in rows_of(plan)},
    )
    skipped = [text for text in report.skipped if "(switched off)" not in text]
    return replace(report, title=name, part=part, skipped=skipped)


def _facts(plan: Plan, declared: Declaration | None) -> list[tuple[str, str]]:
    """Return the name of the grid, and the statements of a declaration."""
    if declared is None:
        return [("grid", plan.grid.name), ("declaration", "none")]
    stated = {
        "grid": plan.grid.name, "made by": declared.made_by, "contact": declared.contact,
        "hardware": declared.hardware, "left out": declared.left_out,
        "uncommitted changes": declared.uncommitted, "own methods": ", ".join(declared.own_rows),
    }  # fmt: skip
    return [(name, text.strip()) for name, text in stated.items() if text.strip()]


def _records(name: str, frame: "DataFrame", folder: Path) -> None:
    """Write the runs of a board."""
    text = frame.select_dtypes(exclude=["number", "bool"]).map(_as_text)
    _add(folder / "records" / f"{name}.csv", frame.assign(**text).to_csv(index=False))
    plain = frame.astype(object).where(frame.notna(), None)  # to_json would round
    text = json.dumps(plain.to_dict("records"), indent=1, allow_nan=False)
    _add(folder / "records" / f"{name}.json", f"{text}\n")


def _as_text(cell: object) -> object:
    """Return a cell of a CSV file; spreadsheets would compute text that begins as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _archive(name: str, source: Path, folder: Path) -> list[tuple[str, str]]:
    """Copy the archive of a board; return labels and addresses of everything to download."""
    found = [("runs (CSV)", f"records/{name}.csv"), ("runs (JSON)", f"records/{name}.json")]
    target = folder / "archives" / f"{name}{SUFFIX}"
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)
    found.append(("archive", f"archives/{target.name}"))
    if has_declaration(source):
        shutil.copyfile(declaration_file(source), declaration_file(target))
        found.append(("declaration", f"archives/{declaration_file(target).name}"))
    return found


def _linked(one: NamedFigure, path: Path) -> Drawing:
    """Return a figure as a file next to the page of its board."""
    return Drawing(one.title, one.caption, file=f"{path.parent.name}/{path.name}")


def _add(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
