"""Write the figures of a report, on all cores."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ...results.figures.style import DPI, save
from ..data.prepare import NotPreparedError
from ..machine import cores, start_worker
from ..suggest import RequestError
from .named_figure import NamedFigure

FEWEST = 4  # figures for each process; one starts in the time of two figures
PICTURE_DPI = 110  # of pictures of chips


def draw_all(
    figures: Sequence[NamedFigure],
    folder: Path,
    formats: Sequence[str],
    on_step: Callable[[str], None],
) -> tuple[list[tuple[NamedFigure, Path]], list[str]]:
    """Draw figures into files; return each with its first file, and why others are not drawn.

    Args:
        figures: The figures; their files have their names.
        folder: Folder for the files.
        formats: Formats of a figure; pictures of chips are PNG.
        on_step: Called with the name of each figure.

    Raises:
        RequestError: A process was killed.
    """
    files, skipped = [], []
    processes = min(cores(), len(figures) // FEWEST)
    try:
        with ExitStack() as stack:
            submit = _at_once
            if processes > 1:
                pool = ProcessPoolExecutor(processes, get_context("spawn"), start_worker)
                submit = stack.enter_context(pool).submit
            for one in figures:
                on_step(f"drawing {one.name}")
                try:
                    drawn = one.draw()
                except NotPreparedError as error:
                    skipped.append(f"{one.name}: {error}")
                    continue
                endings, dpi = (["png"], PICTURE_DPI) if one.pixels else (formats, DPI)
                files.append((one, submit(save, drawn, folder, one.name, endings, dpi)))
            return [(one, paths.result()[0]) for one, paths in files], skipped
    except BrokenProcessPool as error:
        raise RequestError(
            "a process that wrote figures was killed, as happens where memory is short; start the "
            "report again with more"
        ) from error


def _at_once(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Do the work here, as an executor would elsewhere."""
    done: Future[Any] = Future()
    done.set_result(work(*arguments))
    return done
