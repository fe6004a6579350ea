"""The figures of a study in the nine-defences report's numbering, and why some are left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple

from matplotlib.figure import Figure

from saddlepoint.errors import InputError
from saddlepoint.progress import Meter, Progress
from saddlepoint.reports.study import captions
from saddlepoint.reports.study.bars import accuracy_bars
from saddlepoint.reports.study.comparisons import comparisons
from saddlepoint.reports.study.curves import loss_curves, success_curves
from saddlepoint.reports.study.drawings import of_study
from saddlepoint.reports.study.drawings.boundary import boundary_figure
from saddlepoint.reports.study.drawings.schemes import quantisation_figure
from saddlepoint.reports.study.features import feature_maps
from saddlepoint.reports.study.pictures import before_after
from saddlepoint.reports.study.roles import roles
from saddlepoint.studies.results import StudyResults


class StudyFigure(NamedTuple):
    """A figure of the nine-defences report: its number, its file's name, drawing and caption.

    >>> StudyFigure(9, "success", Figure(), "Success against eps.").stem
    '09-success'
    """

    number: int
    slug: str
    figure: Figure
    caption: str

    @property
    def stem(self) -> str:
        """The name of its files without the ending."""
        return f"{self.number:02d}-{self.slug}"


class LeftOut(NamedTuple):
    """A figure of the nine-defences report that this study does not have, and why.

    >>> print(LeftOut(6, "self-ensemble", "no variant uses it"))
    figure 6 (self-ensemble): no variant uses it
    """

    number: int
    slug: str
    reason: str

    def __str__(self) -> str:
        return f"figure {self.number} ({self.slug}): {self.reason}"


def slug(name: str) -> str:
    """Return a name as part of the name of a file: letters, digits and hyphens.

    >>> slug("quantised + adversarial")
    'quantised-adversarial'
    """
    kept = "".join(c if c.isascii() and c.isalnum() else " " for c in name)
    return "-".join(kept.split())[:80] or "unnamed"


class _Plan(NamedTuple):
    number: int
    slug: str
    draw: Callable[[StudyResults], Figure]
    caption: str | Callable[[StudyResults], str]
    needs: str = ""  # the role that some variant must have


_LACKING = {
    "quantised": "no variant is quantised",
    "regularised": "no variant has a penalty on its weights",
    "self_ensemble": "no variant is a random self-ensemble",
    "adversarial": "no variant is trained on adversarial images",
}
_PLANS = (
    _Plan(1, "network", of_study.network, captions.NETWORK),
    _Plan(2, "images", before_after, captions.pictures_caption),
    _Plan(3, "quantisation", lambda r: quantisation_figure(), captions.QUANTISATION, "quantised"),
    _Plan(4, "kernel-matrix", of_study.kernel_matrix, captions.KERNEL_MATRIX, "regularised"),
    _Plan(5, "convolution-matrix", of_study.convolution_matrix, captions.OPERATOR, "regularised"),
    _Plan(6, "self-ensemble", of_study.self_ensemble, captions.SELF_ENSEMBLE, "self_ensemble"),
    _Plan(7, "training-loss", loss_curves, captions.losses_caption),
    _Plan(8, "accuracy", lambda r: accuracy_bars(r, comparisons(r)), captions.bars_caption),
    _Plan(9, "success", success_curves, captions.success_caption),
    _Plan(10, "decision-boundary", lambda r: boundary_figure(), captions.BOUNDARY, "adversarial"),
    _Plan(11, "activations", of_study.activations, captions.ACTIVATIONS, "quantised"),
    _Plan(12, "activation-time", of_study.activation_times, captions.TIMES, "quantised"),
)


def study_figures(
    results: StudyResults,
    *,
    only: Collection[int] | None = None,
    left_out: Callable[[LeftOut], None] | None = None,
    progress: Progress | None = None,
) -> Iterator[StudyFigure]:
    """Yield the figures of the nine-defences report, by number, that make sense for this study.

    1 network, 2 images, 3 to 5 quantisation and convolutions as matrices, 6 random self-ensemble,
    7 losses, 8 accuracies, 9 success, 10 decision boundary, 11 and 12 activations, from 13 the
    feature maps of each variant.

    Args:
        results: of the study.
        only: numbers to draw; None is all of them.
        left_out: called for each figure that does not apply or that the store has no data for.
        progress: is told of each figure before it is drawn.

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> [each.stem for each in study_figures(toy_results(), only=(6, 7, 9))]
    ['07-training-loss', '09-success']
    """
    features = [
        _Plan(
            number,
            f"features-{slug(variant)}",
            partial(feature_maps, variant=variant),
            partial(captions.features_caption, variant=variant),
        )
        for number, variant in enumerate(results.variants, len(_PLANS) + 1)
    ]
    plans = [p for p in (*_PLANS, *features) if only is None or p.number in only]
    found = roles(results).values()
    meter = Meter(progress, len(plans), "figures")
    for done, plan in enumerate(plans):
        meter.done = done
        meter.say(f"figure {plan.number}: {plan.slug}")
        try:
            if plan.needs and not any(getattr(role, plan.needs) for role in found):
                raise InputError(_LACKING[plan.needs])
            drawn = plan.draw(results)
            caption = plan.caption if isinstance(plan.caption, str) else plan.caption(results)
            yield StudyFigure(plan.number, plan.slug, drawn, caption)
        except InputError as error:
            if left_out is not None:
                left_out(LeftOut(plan.number, plan.slug, str(error)))
