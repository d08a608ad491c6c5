"""Progress of long commands on the error stream: bars on a terminal, lines in a log."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .app import err

SILENT_S = 60.0  # a log that got no line for so long gets a summary
Clock = Callable[[], float]


@dataclass
class Bar:
    """One line of progress, a bar on a terminal.

    Attributes:
        text: Its name.
        total: Units in all; None if not known.
        unit: Plural of what is counted.
        done: Units done.
        detail: The present state, such as a loss.
    """

    text: str
    total: int | None
    unit: str
    done: int = 0
    detail: str = ""

    def __str__(self) -> str:
        """Return the state in words."""
        count = "" if self.total is None else f"{self.done} of {self.total} {self.unit}"
        details = ", ".join(part for part in (count, self.detail) if part)
        return f"{self.text}: {details}" if details else self.text


class Progress:
    """A display of bars, used as a context manager; this one shows nothing."""

    def __enter__(self) -> "Progress":
        """Start the display."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the display."""

    def add(self, bar: Bar) -> None:
        """Show a bar."""

    def update(self, bar: Bar) -> None:
        """Show the changed fields of a bar."""

    def remove(self, bar: Bar) -> None:
        """Remove a bar."""

    def line(self, text: str) -> None:
        """Print a line in a log; on a terminal the bars show the same."""

    def follow(self, bar: Bar) -> Callable[[int, int], None]:
        """Show a bar, and return the function that moves it: (done, total)."""
        self.add(bar)

        def show(done: int, total: int) -> None:
            bar.done, bar.total = done, total
            self.update(bar)

        return show


def progress(delay_s: float = 0.0) -> Progress:
    """Return bars if the error stream is a terminal, lines otherwise.

    Args:
        delay_s: A command that ends within so many seconds shows no bars.
    """
    return _Bars(delay_s) if err.is_terminal else _Lines()


@contextmanager
def stages(name: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the present stage of a command."""
    if err.is_terminal:
        with err.status(name) as status:
            yield lambda text: status.update(f"{text} ...")
        return
    bar = Bar(name, None, "")
    with _Lines() as lines:
        lines.add(bar)
        yield lambda text: setattr(bar, "detail", text)


class _Bars(Progress):
    """A bar for each task, removed at the end."""

    def __init__(self, delay_s: float) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
        )
        self._start_s = time.monotonic() + delay_s
        self._ids = {}  # id of a bar -> its id in rich

    def __enter__(self) -> "Progress":
        self._start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars.live.is_started:
            self._bars.stop()

    def _start(self) -> None:
        if not self._bars.live.is_started and time.monotonic() >= self._start_s:
            self._bars.start()

    def add(self, bar: Bar) -> None:
        self._ids[id(bar)] = self._bars.add_task(_described(bar), total=bar.total, unit=bar.unit)

    def update(self, bar: Bar) -> None:
        self._start()
        self._bars.update(
            self._ids[id(bar)], completed=bar.done, total=bar.total, unit=bar.unit,
            description=_described(bar),
        )  # fmt: skip

    def remove(self, bar: Bar) -> None:
        self._bars.remove_task(self._ids.pop(id(bar)))


def _described(bar: Bar) -> str:
    return f"{bar.text}: {bar.detail}" if bar.detail else bar.text


class _Lines(Progress):
    """A line for each finished part, and a summary once a minute if nothing else was printed."""

    def __init__(
        self,
        write: Callable[[str], None] = lambda text: err.print(text),
        clock: Clock = time.monotonic,
    ) -> None:
        self._write, self._clock = write, clock
        self._shown: list[Bar] = []
        self._began = self._last = clock()
        self._ended = threading.Event()

    def __enter__(self) -> "Progress":
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            self.summarise_if_silent()

    def summarise_if_silent(self) -> None:
        if self._clock() - self._last >= SILENT_S and self._shown:
            minutes = round((self._clock() - self._began) / 60)
            self.line(f"after {minutes} min: " + "; ".join(str(bar).strip() for bar in self._shown))

    def add(self, bar: Bar) -> None:
        self._shown.append(bar)

    def remove(self, bar: Bar) -> None:
        self._shown = [other for other in self._shown if other is not bar]

    def line(self, text: str) -> None:
        self._last = self._clock()
        self._write(text)
