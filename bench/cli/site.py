"""Commands on shared archives: site, submit-check."""

from pathlib import Path
from typing import Annotated

import typer

from ..plan.archived import read_plan
from ..plan.filters import Filters
from ..store.archive import unpacked
from ..suggest import RequestError
from ..verification.declaration import declaration_template, write_template
from ..verification.submission import check_submission
from ..verification.verify_data import with_raw_data
from .app import app, out, print_json
from .options import Json, new_file, new_folder
from .progress import stages
from .records import checking

DATA_HELP = "derive digests and overlaps again from the data sets in this folder; takes minutes"
TEMPLATE_HELP = "print an empty declaration for this archive, or write it with --out"
TEMPLATE_OUT_HELP = "with --template, the file to write; an existing one is not overwritten"
SITE_HELP = "folder to write; a site in it is replaced as a whole"


@app.command()
def site(
    archives: Annotated[
        list[Path], typer.Argument(metavar="ARCHIVE...", help="archives (.zip), one board each")
    ],
    folder: Annotated[Path, typer.Option("--out", help=SITE_HELP)],
) -> None:
    """Write a static site of leaderboards from archives.

    It has a page for each board and each method, figures, and the runs to download. It needs no
    server and loads nothing from elsewhere.
    """
    target = folder.expanduser().resolve()
    new_folder(target.parent)
    from ..python.frames import run_frame  # imports pandas
    from ..python.rows import rows_of_plan
    from ..reporting.site import write_site  # imports matplotlib

    paths = [path.expanduser() for path in archives]
    with stages("site") as on_step:
        write_site(paths, target, lambda plan: run_frame(rows_of_plan(plan).runs), on_step)
    out.print(
        f"written: {folder / 'index.html'} ({len(archives)} board{'s' * (len(archives) > 1)})"
    )


@app.command("submit-check")
def submit_check(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="archive (.zip)")],
    data: Annotated[Path | None, typer.Option("--data", help=DATA_HELP)] = None,
    template: Annotated[bool, typer.Option("--template", help=TEMPLATE_HELP)] = False,
    target: Annotated[
        Path | None, typer.Option("--out", callback=new_file, help=TEMPLATE_OUT_HELP)
    ] = None,
    as_json: Json = False,
) -> None:
    """Check an archive and its declaration before they join a board.

    The declaration is a TOML file of the same name next to the archive.
    """
    if target and not template:
        raise RequestError("--out is the file of --template; add --template, or leave --out out")
    path = archive.expanduser()
    with unpacked(path) as store:
        plan = read_plan(store, Filters())
        if template:
            if target:
                write_template(path, plan, target)
                out.print(f"written: {target}")
            else:
                out.file.write(declaration_template(path, plan))
            return
        with checking() as on_progress:
            found = check_submission(store, plan, _contract, on_progress)
        if data is not None:
            with stages("deriving") as on_set:
                found = with_raw_data(found, store, plan, data.expanduser(), on_set)
    if as_json:
        print_json(found.to_json())
    else:
        for finding in found.checked.findings:
            out.print(finding.line())
        out.print(found.checked.summary())
        for text in found.unchecked:
            out.print(f"not checked: {text}")
        if data is None:
            out.print(
                "not checked: pixels, splits, groups of near duplicates and chips that pools share "
                "with test sets; --data DIR derives them again"
            )
    raise typer.Exit(1 if found.checked.findings else 0)


def _contract(name: str) -> list[str] | None:
    """Return the failures of a plug-in's contract; None if it is not installed here."""
    from ...methods import _registry

    try:
        method = _registry.get(name)
    except _registry.UnknownMethodError:
        return None
    except _registry.BrokenMethodError as error:
        return [str(error)]
    from ..contract.checks import run_checks  # imports torch

    return [f"{check}: {problem}" for check, problem in run_checks(method) if problem is not None]
