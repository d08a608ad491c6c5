"""Figures of a report are written by several processes as by one."""

import os
import signal
from functools import partial

import pytest
from matplotlib.figure import Figure

from sarbench.bench.data.prepare import NotPreparedError
from sarbench.bench.reporting import draw
from sarbench.bench.reporting.draw import draw_all
from sarbench.bench.reporting.named_figure import NamedFigure
from sarbench.bench.suggest import RequestError
from sarbench.results.figures.style import figure


def a_line(slope: float) -> Figure:
    drawn = figure(2, 1)
    drawn.subplots().plot([0, 1], [0, slope], label="line")
    drawn.axes[0].set(xlabel="x", ylabel="y")
    return drawn


def without_pixels() -> Figure:
    raise NotPreparedError("prepare it")


class Deadly(Figure):
    """Kills the process that reads it."""

    def __setstate__(self, state: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def lines(count: int) -> list[NamedFigure]:
    return [
        NamedFigure(f"line-{n}", "", "", partial(a_line, n), pixels=n == 1) for n in range(count)
    ]


def test_several_processes_write_the_same_files_as_one(tmp_path, monkeypatch):
    steps: list[str] = []
    wanted = [*lines(8), NamedFigure("chips", "", "", without_pixels)]
    monkeypatch.setattr(draw, "cores", lambda: 2)
    files, skipped = draw_all(wanted, tmp_path / "two", ["svg", "png"], steps.append)
    monkeypatch.setattr(draw, "cores", lambda: 1)
    draw_all(wanted, tmp_path / "one", ["svg", "png"], steps.append)
    assert [path.name for _, path in files] == [
        f"line-{n}.{'png' if n == 1 else 'svg'}" for n in range(8)
    ]
    assert skipped == ["chips: prepare it"]
    assert steps[:2] == ["drawing line-0", "drawing line-1"]
    two, one = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("two", "one"))
    assert len(one) == 15
    assert two == one


@pytest.mark.slow
def test_a_killed_process_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(draw, "cores", lambda: 2)
    wanted = [*lines(7), NamedFigure("deadly", "", "", Deadly)]
    with pytest.raises(RequestError, match="a process that wrote figures was killed"):
        draw_all(wanted, tmp_path, ["svg"], lambda step: None)
