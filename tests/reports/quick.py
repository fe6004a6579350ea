"""Reports without the minutes that their own small runs take; these have tests of their own."""

from __future__ import annotations

from functools import partial

from saddlepoint.reports.study import figures
from saddlepoint.reports.study.drawings import boundary, of_study


def shorten_runs(monkeypatch):
    """The networks of the decision boundary, the fits and the times of the activations, all short."""
    short = partial(boundary.boundary_figure, epochs=2)
    monkeypatch.setattr(figures, "boundary_figure", short)
    monkeypatch.setattr(of_study, "_FIT_STEPS", 20)
    monkeypatch.setattr(of_study, "_TIMED_SIZES", (100, 1000))
