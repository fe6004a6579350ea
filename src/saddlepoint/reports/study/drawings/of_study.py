"""The drawings for one study: its reference's network and weights, its settings of the defences."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.reports.study.cells import example_cell
from saddlepoint.reports.study.drawings import activations as fits
from saddlepoint.reports.study.drawings.operators import operator_figure, reshape_figure
from saddlepoint.reports.study.drawings.schemes import network_figure, self_ensemble_figure
from saddlepoint.reports.study.roles import RSE, defence_option
from saddlepoint.studies.results import StudyResults

_FIT_STEPS = 2000
_TIMED_SIZES = (1_000, 10_000, 100_000, 1_000_000)


def network(results: StudyResults) -> Figure:
    """Return the figure of the blocks of the reference's network."""
    model, shape = _reference(results)
    return network_figure(model, shape)


def kernel_matrix(results: StudyResults) -> Figure:
    """Return the figure of the first convolution of the reference as the matrix of its kernels."""
    return reshape_figure(_first_convolution(results))


def convolution_matrix(results: StudyResults) -> Figure:
    """Return the figure of the operator of the centre of the reference's first kernel, 3×3, on 5×5."""
    kernel = _first_convolution(results).weight.detach()[0, 0]
    layer = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    top, left = (max(0, (side - 3) // 2) for side in kernel.shape)
    centre = kernel[top : top + 3, left : left + 3]
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, : centre.shape[0], : centre.shape[1]] = centre
    return operator_figure(layer, (1, 5, 5))


def self_ensemble(results: StudyResults) -> Figure:
    """Return the figure of where the noise goes in, with the study's own levels."""
    defaults = {"sigma_first": 0.2, "sigma_inner": 0.1, "samples": 5}
    options = (defence_option(results, RSE, key, default) for key, default in defaults.items())
    first, inner, samples = options
    return self_ensemble_figure(float(first), float(inner), int(samples))


def activations(results: StudyResults) -> Figure:
    """Return the figure of the activations fitted to ReLU, with the study's own bits."""
    bits = int(defence_option(results, "quantise", "activation_bits", 4))
    return fits.activation_fit_figure(fits.fit_activations(steps=_FIT_STEPS, bits=bits, seed=0))


def activation_times(results: StudyResults) -> Figure:
    """Return the figure of what the activations cost on this machine."""
    return fits.activation_time_figure(fits.activation_times(_TIMED_SIZES, repeats=5))


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
