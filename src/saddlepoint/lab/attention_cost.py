"""What attention, recurrence and convolution cost: seconds against the length and the width."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.lab.bench import Bench
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count
from saddlepoint.progress import counted
from saddlepoint.streams import generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KERNEL = 3  # k, of the convolution
_WINDOW = 16  # r, of restricted attention
Layer = Callable[[Tensor], Tensor]
"""From (n, d) to (n, d)."""


@dataclass(frozen=True)
class Kind:
    """A layer of the table: how it is made for a width, and what it costs and connects.

    Attributes:
        make: returns the layer for a width and a generator.
        cost: exponents of n and d.
        memory: the largest number of entries that it holds, of n and d.
        path: the longest way between two places.

    >>> KINDS["attention"].cost, KINDS["recurrence"].path(100)
    ((2, 1), 100.0)
    """

    make: Callable[[int, torch.Generator], Layer]
    cost: tuple[int, int]
    memory: Callable[[int, int], int]
    path: Callable[[int], float]


def dot_product(d: int, draw: torch.Generator) -> Layer:
    """Return softmax(XXᵀ/√d)X, without projections.

    >>> dot_product(4, torch.Generator())(torch.ones(3, 4)).shape
    torch.Size([3, 4])
    """
    return lambda x: (x @ x.T / math.sqrt(d)).softmax(-1) @ x


def additive(d: int, draw: torch.Generator) -> Layer:
    """Return attention with the scores vᵀ tanh(q + k) of Bahdanau et al. 2015, arXiv:1409.0473,
    without projections.

    >>> additive(4, torch.Generator())(torch.ones(3, 4)).shape
    torch.Size([3, 4])
    """
    v = torch.randn(d, generator=draw)
    return lambda x: ((x[:, None] + x[None]).tanh() @ v).softmax(-1) @ x


def restricted(d: int, draw: torch.Generator) -> Layer:
    """Return attention to the 16 places around each.

    >>> restricted(4, torch.Generator())(torch.ones(40, 4)).shape
    torch.Size([40, 4])
    """

    def layer(x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        first = _WINDOW // 2
        near = functional.pad(x, (0, 0, first, _WINDOW - 1 - first)).unfold(0, _WINDOW, 1)
        scores = (x[:, None] @ near).squeeze(1) / math.sqrt(d)
        places = torch.arange(len(x))[:, None] + torch.arange(_WINDOW) - first
        scores = scores.masked_fill((places < 0) | (places >= len(x)), -math.inf)
        return (near @ scores.softmax(-1)[..., None]).squeeze(-1)

    return layer


def recurrence(d: int, draw: torch.Generator) -> Layer:
    """Return h_t = tanh(W x_t + U h_{t−1}).

    >>> recurrence(4, torch.Generator())(torch.ones(3, 4)).shape
    torch.Size([3, 4])
    """
    layer = nn.RNN(d, d)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=d**-0.5, generator=draw)
    return lambda x: layer(x[:, None])[0][:, 0]


def convolution(d: int, draw: torch.Generator) -> Layer:
    """Return a convolution of kernel 3 from all features to all.

    >>> convolution(4, torch.Generator())(torch.ones(3, 4)).shape
    torch.Size([3, 4])
    """
    weight = torch.randn(d, d, _KERNEL, generator=draw) * d**-0.5
    return lambda x: functional.conv1d(x.T[None], weight, padding=_KERNEL // 2)[0].T


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "attention": Kind(dot_product, (2, 1), lambda n, d: n * n, lambda n: 1.0),
        "additive attention": Kind(additive, (2, 1), lambda n, d: n * n * d, lambda n: 1.0),
        "restricted attention": Kind(
            restricted, (1, 1), lambda n, d: n * _WINDOW * d, lambda n: n / _WINDOW
        ),
        "recurrence": Kind(recurrence, (1, 2), lambda n, d: n * d, lambda n: float(n)),
        "convolution": Kind(
            convolution, (1, 2), lambda n, d: n * d, lambda n: math.log(n, _KERNEL)
        ),
    }
)
"""The layers by name. The path of a convolution is that of dilated ones."""


@dataclass(frozen=True)
class CostSettings(Settings):
    """Settings of `attention_cost`.

    Args:
        lengths: n, at the width `width`.
        widths: d, at the length `length`.
        length, width: that stay.
        repeats: of each measurement, of which the fastest counts.

    >>> CostSettings(lengths=(64, 32)).lengths
    (32, 64)
    """

    lengths: tuple[Count, ...] = (64, 128, 256, 512, 1024)
    widths: tuple[Count, ...] = (64, 128, 256, 512, 1024)
    length: Count = 128
    width: Count = 64
    repeats: Count = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        self._sort("lengths")
        self._sort("widths")


@dataclass(frozen=True)
class Timing:
    """The seconds of one forward pass of a layer."""

    layer: str
    length: int
    width: int
    seconds: float


@dataclass(frozen=True)
class AttentionCost:
    """What was measured, against the length and against the width.

    >>> pair = tuple(Timing("attention", n, 64, n * n / 1e6) for n in (100, 200))
    >>> AttentionCost(pair, ()).slope("attention", "length")
    2.0
    """

    by_length: tuple[Timing, ...]
    by_width: tuple[Timing, ...]

    def slope(self, layer: str, axis: str) -> float:
        """Return the slope of log seconds against log n or log d, fitted to the three largest sizes."""
        rows = self.by_length if axis == "length" else self.by_width
        own = [(getattr(e, axis), e.seconds) for e in rows if e.layer == layer][-3:]
        if len(own) < 2:
            return math.nan
        x, y = (torch.tensor(each, dtype=torch.float64).log() for each in zip(*own, strict=True))
        x = x - x.mean()
        return round(float((x * y).sum() / (x * x).sum()), 12)

    def tables(self) -> Mapping[str, Table]:
        """Return the slopes beside the exponents of operations, and every measurement."""
        longest = self.by_length[-1] if self.by_length else Timing("", 1, 1, math.nan)
        summary = [
            (name, self.slope(name, "length"), kind.cost[0], self.slope(name, "width"), kind.cost[1],
             kind.memory(longest.length, longest.width), kind.path(longest.length))
            for name, kind in KINDS.items()
        ]  # fmt: skip
        return {
            "summary": Table(
                ("layer", "slope in n", "operations in n", "slope in d", "operations in d",
                 "entries held", "longest path"), tuple(summary),
            ),
            "seconds": Table(
                ("layer", "length", "width", "seconds"),
                tuple((e.layer, e.length, e.width, e.seconds)
                      for e in (*self.by_length, *self.by_width)),
            ),
        }  # fmt: skip


def attention_cost(bench: Bench, settings: CostSettings) -> AttentionCost:
    """Measure one forward pass of each layer of one sentence, on the CPU.

    Vaswani et al. 2017, arXiv:1706.03762, table 1: n²d for attention, nd² for recurrence, knd² for
    convolution, rnd for restricted attention. Operations are not seconds: what is small is bound by
    the start of a kernel, and recurrence waits for itself at every token.

    >>> from saddlepoint.data import load_data
    >>> bench = Bench(load_data("digits", limit=2), lambda: None)
    >>> found = attention_cost(bench, CostSettings((8, 16), (8, 16), 8, 8, 1))
    >>> len(found.by_length), len(found.by_width)
    (10, 10)
    """
    lengths = [(n, settings.width) for n in settings.lengths]
    widths = [(settings.length, d) for d in settings.widths]
    found = [
        Timing(name, n, d, _seconds(kind, n, d, bench.seed, settings.repeats))
        for name, kind in counted(KINDS.items(), "layers")
        for n, d in (*lengths, *widths)
    ]
    each = len(lengths) + len(widths)
    return AttentionCost(
        tuple(row for i, row in enumerate(found) if i % each < len(lengths)),
        tuple(row for i, row in enumerate(found) if i % each >= len(lengths)),
    )


@torch.no_grad()
def _seconds(kind: Kind, n: int, d: int, seed: int, repeats: int) -> float:
    draw = generator(seed, "attention cost", n, d)
    layer, x = kind.make(d, draw), torch.randn(n, d, generator=draw)
    layer(x)
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        layer(x)
        best = min(best, time.perf_counter() - start)
    return best


def draw_attention_cost(found: AttentionCost) -> Figure:
    """Draw the seconds against the length, and against the width.

    >>> rows = tuple(Timing(k, n, n, n / 1e6) for k in KINDS for n in (8, 16))
    >>> len(draw_attention_cost(AttentionCost(rows, rows)).axes)
    2
    """
    named = looks(KINDS)
    with sheet(8.0, 3.4) as figure:
        panels = figure.subplots(1, 2)
        for axes, rows, axis in zip(
            panels, (found.by_length, found.by_width), ("length", "width"), strict=True
        ):
            for name, look in named.items():
                own = [each for each in rows if each.layer == name]
                line = {**look.line, "markersize": 3, "linewidth": 1.0}
                places = [math.log2(getattr(e, axis)) for e in own]
                axes.plot(places, [1000 * e.seconds for e in own], **line)
            sizes = sorted({getattr(e, axis) for e in rows})
            axes.set_xticks([math.log2(size) for size in sizes], [str(size) for size in sizes])
            axes.set_yscale("log")
            axes.set_xlabel(f"{axis} {'n' if axis == 'length' else 'd'}")
            axes.set_ylabel("milliseconds")
        title_left(panels[0], "against the length")
        title_left(panels[1], "against the width")
        legend_above(figure, keys_of(named), columns=3)
    return figure
