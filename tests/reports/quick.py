"""Reports without the minutes that their own small runs and pictures take; both have tests of their
own.
"""

from __future__ import annotations

from functools import partial

from matplotlib.figure import Figure

from saddlepoint.reports.study import figures, write
from saddlepoint.reports.study.drawings import boundary, of_study
from saddlepoint.reports.style import figure_bytes


def shorten_runs(monkeypatch):
    """The networks of the decision boundary, the fits and the times of the activations, all short."""
    short = partial(boundary.boundary_figure, epochs=2)
    monkeypatch.setattr(figures, "boundary_figure", short)
    monkeypatch.setattr(of_study, "_FIT_STEPS", 20)
    monkeypatch.setattr(of_study, "_TIMED_SIZES", (100, 1000))


def leave_pictures_empty(monkeypatch):
    """Every figure is made, and none is painted."""
    blank = {kind: figure_bytes(Figure(figsize=(2, 1)), kind) for kind in ("png", "pdf")}
    monkeypatch.setattr(write, "figure_bytes", lambda figure, kind="png", dpi=0: blank[kind])
