"""The figures of a study by name, those of the nine-defences report, and why some are left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple

from matplotlib.figure import Figure

from saddlepoint.errors import InputError, unknown
from saddlepoint.progress import Meter, Progress
from saddlepoint.reports.study import captions
from saddlepoint.reports.study.axis import accuracy_against_axis, has_axis
from saddlepoint.reports.study.bars import accuracy_bars, nine_defences_bars
from saddlepoint.reports.study.curves import accuracy_curves, success_curves
from saddlepoint.reports.study.drawings import of_study
from saddlepoint.reports.study.drawings.boundary import boundary_figure
from saddlepoint.reports.study.drawings.schemes import quantisation_figure
from saddlepoint.reports.study.errors import errors_by_epoch, has_errors
from saddlepoint.reports.study.features import feature_maps
from saddlepoint.reports.study.findings.study import is_nine_defences
from saddlepoint.reports.study.losses import loss_curves
from saddlepoint.reports.study.names import slugs
from saddlepoint.reports.study.pictures import before_after
from saddlepoint.reports.study.roles import roles
from saddlepoint.reports.study.time import accuracy_against_time, has_validation
from saddlepoint.studies.results import StudyResults

LEAD = "accuracy-against-eps"
"""The figure that a report begins with."""


class StudyFigure(NamedTuple):
    """A figure of a study.

    Attributes:
        name: of its files, and of its place on the page.
        figure: the drawing.
        caption: what it shows.
        theirs: whether it is one of the nine-defences report alone, which no other study has.

    >>> StudyFigure("success", Figure(), "Success against eps.").theirs
    False
    """

    name: str
    figure: Figure
    caption: str
    theirs: bool = False


class LeftOut(NamedTuple):
    """A figure that this study does not have, and why.

    >>> print(LeftOut("self-ensemble", "no variant uses it"))
    figure 'self-ensemble': no variant uses it
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"figure '{self.name}': {self.reason}"


class _Plan(NamedTuple):
    name: str
    draw: Callable[[StudyResults], Figure]
    caption: str | Callable[[StudyResults], str]
    number: str = ""  # of it in the nine-defences report
    needs: str = ""  # the role that some variant must have


_LACKING = {
    "quantised": "no variant is quantised",
    "regularised": "no variant has a penalty on its weights",
    "self_ensemble": "no variant is a random self-ensemble",
    "adversarial": "no variant is trained on adversarial images",
}
_RESULTS = (
    _Plan(LEAD, accuracy_curves, captions.accuracy_caption),
    _Plan("accuracy", accuracy_bars, captions.bars_caption),
    _Plan("success", success_curves, captions.success_caption, "9"),
    _Plan("training-loss", loss_curves, captions.losses_caption, "7"),
    _Plan("images", before_after, captions.pictures_caption, "2"),
    _Plan("network", of_study.network, captions.NETWORK, "1"),
)
# What a study has only where it varies a number, or looks at validation images.
_SOMETIMES = (
    (has_axis, _Plan("accuracy-against-axis", accuracy_against_axis, captions.axis_caption)),
    (has_errors, _Plan("errors-by-epoch", errors_by_epoch, captions.errors_caption)),
    (has_validation, _Plan("accuracy-against-time", accuracy_against_time, captions.time_caption)),
)
# About the methods, not about the results of a study: of the nine-defences report alone.
_THEIRS = (
    _Plan("nine-defences-test", nine_defences_bars, captions.nine_defences_caption, "8"),
    _Plan("quantisation", lambda r: quantisation_figure(), captions.QUANTISATION, "3", "quantised"),
    _Plan(
        "kernel-matrix", of_study.kernel_matrix, captions.KERNEL_MATRIX, "4", "regularised"
    ),
    _Plan(
        "convolution-matrix", of_study.convolution_matrix, captions.OPERATOR, "5", "regularised"
    ),
    _Plan(
        "self-ensemble", of_study.self_ensemble, captions.SELF_ENSEMBLE, "6", "self_ensemble"
    ),
    _Plan(
        "decision-boundary", lambda r: boundary_figure(), captions.BOUNDARY, "10", "adversarial"
    ),
    _Plan("activations", of_study.activations, captions.ACTIVATIONS, "11", "quantised"),
    _Plan("activation-time", of_study.activation_times, captions.TIMES, "12", "quantised"),
)  # fmt: skip
_FEATURES = "13 to 21"


def study_figures(
    results: StudyResults,
    *,
    only: Collection[str] | None = None,
    left_out: Callable[[LeftOut], None] | None = None,
    progress: Progress | None = None,
) -> Iterator[StudyFigure]:
    """Yield the figures that make sense for this study: accuracy against eps, and what is behind it.

    "accuracy-against-eps", "accuracy" (before and after), "success", "training-loss", "images",
    "network", "accuracy-against-axis" where the study has an axis, "errors-by-epoch" and
    "accuracy-against-time" where trainings have validation images, and "features-…" of each
    variant. The nine defences have those of their report too:
    "nine-defences-test" (its own stars), "quantisation", "kernel-matrix", "convolution-matrix",
    "self-ensemble", "decision-boundary", "activations" and "activation-time".

    Args:
        results: of the study.
        only: names to draw, those of the nine-defences report of any study; None is all that apply.
        left_out: called for each figure that does not apply or that the store has no data for.
        progress: is told of each figure before it is drawn.

    Raises `InputError` for a name in `only` that no figure has.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> names = ("success", "self-ensemble", "accuracy-against-eps")
    >>> [each.name for each in study_figures(toy_results(), only=names)]
    ['accuracy-against-eps', 'success']
    """
    plans = _plans(results, only)
    found = roles(results).values()
    meter = Meter(progress, len(plans), "figures")
    for done, plan in enumerate(plans):
        meter.done = done
        meter.say(f"figure {plan.name}")
        try:
            if plan.needs and not any(getattr(role, plan.needs) for role in found):
                raise InputError(_LACKING[plan.needs])
            drawn = plan.draw(results)
            caption = plan.caption if isinstance(plan.caption, str) else plan.caption(results)
            if plan.number and is_nine_defences(results):
                several = "Figures" if " " in plan.number else "Figure"
                caption += f" {several} {plan.number} of the nine-defences report."
            yield StudyFigure(plan.name, drawn, caption, plan in _THEIRS)
        except InputError as error:
            if left_out is not None:
                left_out(LeftOut(plan.name, str(error)))


def _plans(results: StudyResults, only: Collection[str] | None) -> list[_Plan]:
    features = [
        _Plan(
            f"features-{name}",
            partial(feature_maps, variant=variant),
            partial(captions.features_caption, variant=variant),
            _FEATURES,
        )
        for variant, name in slugs(results.variants).items()
    ]
    some = [plan for has, plan in _SOMETIMES if has(results) or (only and plan.name in only)]
    general = [*_RESULTS, *some, *features]
    if only is None:
        return [*general, *_THEIRS] if is_nine_defences(results) else general
    plans = {plan.name: plan for plan in (*general, *_THEIRS)}
    for name in only:
        if name not in plans:
            raise unknown("figure", name, plans)
    return [plan for plan in plans.values() if plan.name in only]
