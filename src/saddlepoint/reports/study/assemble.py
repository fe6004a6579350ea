"""The figures of a study in the report's numbering, and why some are left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.progress import Progress
from saddlepoint.reports.study import captions
from saddlepoint.reports.study.bars import accuracy_bars
from saddlepoint.reports.study.cells import defence_option, example_cell, roles
from saddlepoint.reports.study.comparisons import comparisons
from saddlepoint.reports.study.curves import loss_curves, success_curves
from saddlepoint.reports.study.features import feature_maps
from saddlepoint.reports.study.pictures import before_after
from saddlepoint.studies.results import StudyResults

_FIT_STEPS = 2000
_TIMED_SIZES = (1_000, 10_000, 100_000, 1_000_000)


class StudyFigure(NamedTuple):
    """A figure of the report: its number, the name of its file, the drawing and the caption.

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
    """A figure of the report that this study does not have, and why.

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
    reason: str  # why it is left out; empty where it is drawn
    draw: Callable[[], Figure]
    caption: Callable[[], str]


def study_figures(
    results: StudyResults,
    *,
    only: Collection[int] | None = None,
    left_out: Callable[[LeftOut], None] | None = None,
    progress: Progress | None = None,
) -> Iterator[StudyFigure]:
    """Yield the figures of the report, by number, that make sense for this study.

    1 network, 2 images, 3 to 5 quantisation and convolutions as matrices, 6 random self-ensemble,
    7 losses, 8 accuracies, 9 success, 10 decision boundary, 11 and 12 activations, from 13 the
    feature maps of each variant.

    Args:
        results: of the study.
        only: numbers to draw; None is all of them.
        left_out: called for each figure that does not apply or that the store has no data for.
        progress: called before each figure with (done, in all, its name).

    >>> from saddlepoint.reports.study.toy import toy_results
    >>> [each.stem for each in study_figures(toy_results(), only=(6, 7, 9))]
    ['07-training-loss', '09-success']
    """
    plans = [p for p in _plans(results) if only is None or p.number in only]
    for done, plan in enumerate(plans):
        if progress is not None:
            progress(done, len(plans), f"figure {plan.number}: {plan.slug}")
        reason = plan.reason
        if not reason:
            try:
                yield StudyFigure(plan.number, plan.slug, plan.draw(), plan.caption())
            except InputError as error:
                reason = str(error)
        if reason and left_out is not None:
            left_out(LeftOut(plan.number, plan.slug, reason))


def _plans(results: StudyResults) -> list[_Plan]:
    r = results
    found = roles(r).values()
    quantised = "" if any(v.quantised for v in found) else "no variant is quantised"
    penalties = any(v.regularised for v in found)
    regularised = "" if penalties else "no variant has a penalty on its weights"
    noise = any(v.self_ensemble for v in found)
    ensemble = "" if noise else "no variant is a random self-ensemble"
    adversarial = any(v.adversarial for v in found)
    boundary = "" if adversarial else "no variant is trained on adversarial images"

    def fixed(number: int) -> Callable[[], str]:
        return lambda: captions.FIXED[number]

    plans = [
        _Plan(1, "network", "", lambda: _network(r), fixed(1)),
        _Plan(2, "images", "", lambda: before_after(r), lambda: captions.pictures_caption(r)),
        _Plan(3, "quantisation", quantised, _quantisation, fixed(3)),
        _Plan(4, "kernel-matrix", regularised, lambda: _reshaped(r), fixed(4)),
        _Plan(5, "convolution-matrix", regularised, lambda: _operator(r), fixed(5)),
        _Plan(6, "self-ensemble", ensemble, lambda: _self_ensemble(r), fixed(6)),
        _Plan(7, "training-loss", "", lambda: loss_curves(r), lambda: captions.losses_caption(r)),
        _Plan(
            8, "accuracy", "", lambda: accuracy_bars(r, comparisons(r)),
            lambda: captions.bars_caption(r),
        ),
        _Plan(9, "success", "", lambda: success_curves(r), lambda: captions.success_caption(r)),
        _Plan(10, "decision-boundary", boundary, _boundary, fixed(10)),
        _Plan(11, "activations", quantised, lambda: _activations(r), fixed(11)),
        _Plan(12, "activation-time", quantised, _activation_times, fixed(12)),
    ]  # fmt: skip
    for i, variant in enumerate(r.variants):
        plans.append(
            _Plan(
                13 + i,
                f"features-{slug(variant)}",
                "",
                lambda v=variant: feature_maps(r, v),  # type: ignore[misc]
                lambda v=variant: captions.features_caption(r, v),  # type: ignore[misc]
            )
        )
    return plans


# The figures of other modules are imported when they are drawn: each loads what it needs alone.


def _network(results: StudyResults) -> Figure:
    from saddlepoint.reports.scheme_figures import network_figure

    model, shape = _reference(results)
    return network_figure(model, shape)


def _quantisation() -> Figure:
    from saddlepoint.reports.scheme_figures import quantisation_figure

    return quantisation_figure()


def _reshaped(results: StudyResults) -> Figure:
    from saddlepoint.reports.operator_figures import reshape_figure

    return reshape_figure(_first_convolution(results))


def _operator(results: StudyResults) -> Figure:
    from saddlepoint.reports.operator_figures import operator_figure

    kernel = _first_convolution(results).weight.detach()[0, 0]
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    top, left = (max(0, (side - 3) // 2) for side in kernel.shape)
    centre = kernel[top : top + 3, left : left + 3]
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, : centre.shape[0], : centre.shape[1]] = centre
    return operator_figure(layer, (1, 5, 5))


def _self_ensemble(results: StudyResults) -> Figure:
    from saddlepoint.reports.scheme_figures import self_ensemble_figure

    def option(key: str, default: Any) -> Any:
        return defence_option(results, "random-self-ensemble", key, default)

    return self_ensemble_figure(
        float(option("sigma_first", 0.2)), float(option("sigma_inner", 0.1)),
        int(option("samples", 5)),
    )  # fmt: skip


def _boundary() -> Figure:
    from saddlepoint.reports.boundary_figure import boundary_figure

    return boundary_figure(seed=0)


def _activations(results: StudyResults) -> Figure:
    from saddlepoint.reports.activation_figures import activation_fit_figure, fit_activations

    bits = int(defence_option(results, "quantise", "activation_bits", 4))
    return activation_fit_figure(fit_activations(steps=_FIT_STEPS, bits=bits, seed=0))


def _activation_times() -> Figure:
    from saddlepoint.reports.activation_figures import activation_time_figure, activation_times

    return activation_time_figure(activation_times(_TIMED_SIZES, repeats=5))


def _reference(results: StudyResults) -> tuple[nn.Module, tuple[int, ...]]:
    seed, eps, attack = example_cell(results, results.reference)
    model = results.model(results.reference, seed, eps)
    examples = results.examples(results.reference, seed, eps, attack)
    return model, tuple(examples["images"].shape[1:])


def _first_convolution(results: StudyResults) -> nn.Conv2d:
    model, _ = _reference(results)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return module
    raise InputError("the model of the reference has no convolution")
