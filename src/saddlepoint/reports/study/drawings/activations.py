"""Figures 11 and 12: the quantised activations fitted to ReLU, and what they cost."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from saddlepoint.defences.activations import ACTIVATIONS, QuantisedActivation
from saddlepoint.errors import InputError
from saddlepoint.reports.style import COLOURS, MARKERS, style, write_powers
from saddlepoint.streams import generator

Data = Literal["normal", "clusters"]

# The label in the legend and the place in the palette.
_LABELS = {
    "naive": ("dynamic thresholds, naive", 0),
    "naive-unaveraged": ("dynamic thresholds, not averaged", 5),
    "piecewise-linear": ("piecewise linear", 4),
    "dtrelu": ("dynamic range (DTReLU)", 2),
    "ddtrelu": ("dynamic thresholds (DDTReLU)", 1),
    "relu": ("ReLU", 6),
}
_BATCH, _LEARNING_RATE, _START = 256, 0.01, 1.0
_SAME, _SHARE = 0.01, 0.001


@dataclass(frozen=True, eq=False)
class ActivationFit:
    """An activation after its fit to ReLU.

    Attributes:
        inputs, outputs: the curve.
        levels: the output levels, ascending (of the piecewise-linear one, the values at the knots).
        left: how many of them are at least 0.01 apart and are the nearest one of at least 0.1 % of
            the data.
        error: the mean squared distance from ReLU on fresh data.
        sample: some of that data.

    >>> fit_activations(steps=0, bits=2)["dtrelu"].levels.round(2)
    array([0.  , 0.33, 0.67, 1.  ], dtype=float32)
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    levels: NDArray[np.float32]
    left: int
    error: float
    sample: NDArray[np.float32]


def fit_activations(
    steps: int = 2000, bits: int = 3, seed: int = 0, data: Data = "normal"
) -> dict[str, ActivationFit]:
    """Fit every activation to ReLU by gradient descent on sampled data, for the figure of the activations.

    Each starts with its levels evenly on [0, 1], far below the data's upper end, and takes `steps`
    steps of Adam (rate 0.01) on the squared distance from ReLU over batches of 256.

    Args:
        steps: of the descent.
        bits: N, for 2^N levels.
        seed: of the data, the same for all.
        data: "normal", N(0, 1); or "clusters", half around 1 and half around 2 with standard
            deviation 0.05, which leaves gaps that no data reaches.

    >>> fits = fit_activations(steps=20, bits=2)
    >>> fits["dtrelu"].error < fits["naive-unaveraged"].error
    True
    """
    if steps < 0:
        raise InputError(f"steps is {steps}; give at least 0")
    if data not in ("normal", "clusters"):
        raise InputError(f'data is "{data}"; it is "normal" or "clusters"')
    return {name: _fit(build(bits), steps, seed, data) for name, build in ACTIVATIONS.items()}


def _fit(layer: QuantisedActivation, steps: int, seed: int, data: Data) -> ActivationFit:
    layer.set_range(_START)
    optimiser = torch.optim.Adam(layer.parameters(), lr=_LEARNING_RATE)
    stream = generator(seed, "figure 11")
    for _ in range(steps):
        x = _draw(_BATCH, data, stream)
        optimiser.zero_grad(set_to_none=True)
        loss = (layer(x) - x.relu()).square().mean()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        fresh = _draw(100_000, data, generator(seed, "figure 11, fresh"))
        y = layer(fresh)
        low, high = min(-1.0, float(fresh.min())), float(fresh.max())
        curve = torch.linspace(low, high, 2001)
        return ActivationFit(
            curve.numpy(),
            layer(curve).numpy(),
            layer.levels().sort().values.numpy(),
            _left(layer.levels(), y),
            float((y - fresh.relu()).square().mean()),
            fresh[:20_000].numpy(),
        )


def _draw(count: int, data: Data, stream: torch.Generator) -> Tensor:
    x = torch.randn(count, generator=stream)
    if data == "normal":
        return x
    return 0.05 * x + 1 + torch.randint(2, (count,), generator=stream)


def _left(levels: Tensor, outputs: Tensor) -> int:
    """Count the levels that are distinct and used."""
    levels = levels.sort().values
    # A level that is nearly the same as the last one kept counts as that one.
    kept: list[float] = []
    for value in levels.tolist():
        if not kept or value - kept[-1] >= _SAME:
            kept.append(value)
    middles = torch.tensor(kept[:-1]).add(torch.tensor(kept[1:])).div(2)
    counts = torch.bucketize(outputs, middles).bincount(minlength=len(kept))
    return int((counts >= _SHARE * len(outputs)).sum())


def activation_fit_figure(results: Mapping[str, ActivationFit]) -> Figure:
    """Return the figure of the fitted curves over ReLU (dark grey) and the data's density (grey).

    >>> len(activation_fit_figure(fit_activations(steps=0)).axes)
    5
    """
    if not results:
        raise InputError("there are no fits to draw; give at least one")
    with style():
        figure = Figure(figsize=(2.4 * len(results), 3.0), layout="constrained")
        row = figure.subplots(1, len(results), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, fit) in zip(row, results.items(), strict=True):
            _draw_fit(axes, name, fit)
        row[0].set_ylabel("output")
        handles: dict[str, Artist] = {}
        for axes in row:
            handles |= {str(line.get_label()): line for line in axes.get_lines()}
            handles |= {str(patch.get_label()): patch for patch in axes.patches}
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4)
    return figure


def _draw_fit(axes: Axes, name: str, fit: ActivationFit) -> None:
    top = max(1.0, float(fit.inputs.max()))
    counts, edges = np.histogram(fit.sample, bins=60)
    density = counts / counts.max() * top / 2  # the scale of the density does not matter
    axes.stairs(density, edges, fill=True, color="0.85", label="data (density)")
    axes.plot(fit.inputs, np.maximum(fit.inputs, 0), color="0.35", label="ReLU", linewidth=1.0)
    label, colour = _LABELS[name]
    axes.plot(fit.inputs, fit.outputs, color=COLOURS[colour], label=label, linewidth=1.6)
    axes.set_xlabel("input")
    axes.annotate(
        f"{fit.left} of {len(fit.levels)} levels used\nerror {fit.error:.2g}",
        (0.04, 0.96), xycoords="axes fraction", va="top", fontsize=8,
    )  # fmt: skip


@dataclass(frozen=True)
class ActivationTimes:
    """Median seconds of one forward and backward pass, per activation and size.

    >>> ActivationTimes((10,), {"relu": (1e-5,)}).seconds["relu"]
    (1e-05,)
    """

    sizes: tuple[int, ...]
    seconds: Mapping[str, tuple[float, ...]]


def activation_times(
    sizes: Sequence[int] = (1_000, 10_000, 100_000, 1_000_000), repeats: int = 7, bits: int = 4
) -> ActivationTimes:
    """Time one forward and backward pass of every activation, and of ReLU, at several sizes.

    The activations take turns, after a warm-up of each; a row is the median of its repeats.

    >>> sorted(activation_times(sizes=(10,), repeats=1).seconds)[:3]
    ['ddtrelu', 'dtrelu', 'naive']
    """
    if repeats < 1 or not sizes or min(sizes) < 1:
        raise InputError(f"sizes {tuple(sizes)} and repeats {repeats} must be at least 1")
    layers: dict[str, nn.Module] = {name: build(bits) for name, build in ACTIVATIONS.items()}
    layers["relu"] = nn.ReLU()
    seconds: dict[str, list[float]] = {name: [] for name in layers}
    for size in sizes:
        x = torch.randn(size, generator=generator(0, "figure 12")).requires_grad_()
        runs: dict[str, list[float]] = {name: [] for name in layers}
        for _ in range(repeats + 1):
            for name, layer in layers.items():
                runs[name].append(_time(layer, x))
        for name, values in runs.items():
            seconds[name].append(statistics.median(values[1:]))
    return ActivationTimes(tuple(sizes), {name: tuple(each) for name, each in seconds.items()})


def _time(layer: nn.Module, x: Tensor) -> float:
    upstream = torch.ones_like(x)
    wanted = [x, *layer.parameters()]
    began = time.perf_counter()
    torch.autograd.grad(layer(x), wanted, upstream)
    return time.perf_counter() - began


def activation_time_figure(times: ActivationTimes) -> Figure:
    """Return the figure of time against the number of entries, both logarithmic.

    >>> activation_time_figure(ActivationTimes((1, 10), {"relu": (1e-5, 2e-5)})).axes[0].get_xscale()
    'log'
    """
    with style():
        figure = Figure(figsize=(6.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for name, seconds in times.seconds.items():
            label, i = _LABELS[name]
            axes.plot(
                times.sizes, [1000 * s for s in seconds],
                color=COLOURS[i], marker=MARKERS[i], label=label,
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        write_powers(axes.xaxis)
        write_powers(axes.yaxis)
        axes.set_xlabel("entries")
        axes.set_ylabel("forward and backward (ms)")
        figure.legend(loc="outside right upper")
    return figure
