"""What samples of a generator are worth: likelihood, neighbours, classes."""

from __future__ import annotations

from saddlepoint.evaluation.generative.coverage import ClassHistogram, class_histogram
from saddlepoint.evaluation.generative.measures import SampleMeasures, measure_samples
from saddlepoint.evaluation.generative.neighbours import Neighbours, nearest
from saddlepoint.evaluation.generative.parzen import Parzen, log_densities, parzen_log_likelihood
from saddlepoint.evaluation.generative.sampling import draw_samples
from saddlepoint.evaluation.generative.sheet import (
    SAMPLES_FILE,
    SHEET_FILE,
    save_samples,
    sheet,
    sheet_png,
)

__all__ = [
    "SAMPLES_FILE",
    "SHEET_FILE",
    "ClassHistogram",
    "Neighbours",
    "Parzen",
    "SampleMeasures",
    "class_histogram",
    "draw_samples",
    "log_densities",
    "measure_samples",
    "nearest",
    "parzen_log_likelihood",
    "save_samples",
    "sheet",
    "sheet_png",
]
