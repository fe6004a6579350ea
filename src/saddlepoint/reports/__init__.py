"""Reports: tables and figures of what was measured."""

from __future__ import annotations

from saddlepoint.reports.figures import accuracy_curve, adversarial_grid, drawable
from saddlepoint.reports.style import COLOURS, MARKERS, figure_bytes, style
from saddlepoint.reports.tables import evaluation_rows

__all__ = [
    "COLOURS",
    "MARKERS",
    "accuracy_curve",
    "adversarial_grid",
    "drawable",
    "evaluation_rows",
    "figure_bytes",
    "style",
]
