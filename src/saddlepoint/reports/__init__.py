"""Reports: tables and figures of what was measured."""

from __future__ import annotations

from saddlepoint.reports.activation_figures import (
    activation_fit_figure,
    activation_time_figure,
    activation_times,
    fit_activations,
)
from saddlepoint.reports.boundary_figure import boundary_figure
from saddlepoint.reports.figures import accuracy_curve, adversarial_grid, drawable
from saddlepoint.reports.operator_figures import operator_figure, reshape_figure
from saddlepoint.reports.scheme_figures import (
    network_figure,
    quantisation_figure,
    self_ensemble_figure,
)
from saddlepoint.reports.style import COLOURS, MARKERS, figure_bytes, style
from saddlepoint.reports.tables import evaluation_rows

__all__ = [
    "COLOURS",
    "MARKERS",
    "accuracy_curve",
    "activation_fit_figure",
    "activation_time_figure",
    "activation_times",
    "adversarial_grid",
    "boundary_figure",
    "drawable",
    "evaluation_rows",
    "figure_bytes",
    "fit_activations",
    "network_figure",
    "operator_figure",
    "quantisation_figure",
    "reshape_figure",
    "self_ensemble_figure",
    "style",
]
