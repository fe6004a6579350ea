"""Schemes: a network block by block, the two kinds of quantisation, the random self-ensemble."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.model import Guard, Normalised, RandomLayer
from saddlepoint.reports.study.drawings.boxes import BLUE, GREEN, GREY, ORANGE, Canvas
from saddlepoint.reports.style import COLOURS, style

_PER_ROW, _MOST = 7, 13


def network_figure(model: nn.Module, shape: Sequence[int]) -> Figure:
    """Return the blocks of a network in the order it runs them, with the size of each one's output.

    Blocks, layers and sizes are those of a real pass of one image: a block is a convolution or a
    linear layer and what follows it. A network of more than 13 blocks is drawn by its parts.

    Args:
        model: from images of `shape` to logits; it comes out as it went in.
        shape: (c, h, w), or (d,) for vectors.

    Raises `InputError` where the model cannot take such an image.

    >>> from saddlepoint.zoo import build_model
    >>> figure = network_figure(build_model("simple-cnn", classes=10, shape=(3, 32, 32)), (3, 32, 32))
    >>> [text.get_text() for text in figure.axes[0].texts][2:4]
    ['Conv 5×5\\nBatchNorm\\nReLU\\nAvgPool 2×2', '32×16×16']
    """
    normalised = ["normalised"] if any(isinstance(m, Normalised) for m in model.modules()) else []
    blocks = [_Block(["image", *normalised], GREY, tuple(shape)), *_blocks(model, tuple(shape))]
    rows = math.ceil(len(blocks) / _PER_ROW)
    columns = math.ceil(len(blocks) / rows)
    wide, tall = 1.1, 0.2 + 0.16 * max(len(block.lines) for block in blocks)
    across, down = wide + 0.35, tall + 0.45
    with style():
        canvas = Canvas.of(across * columns, down * rows)
        for i, block in enumerate(blocks):
            row, column = divmod(i, columns)
            x, y = across * (column + 0.5), down * (rows - row - 0.5) + 0.12
            canvas.box((x, y), "\n".join(block.lines), block.colour, wide, tall)
            size = "×".join(str(side) for side in block.size)
            canvas.text((x, y - tall / 2 - 0.06), size, ha="center", va="top")
            if column > 0:
                canvas.arrow((x - across + wide / 2, y), (x - wide / 2, y))
            elif row > 0:  # the rest of an arrow from the end of the row above
                canvas.arrow((x - across / 2, y), (x - wide / 2, y))
            if column == columns - 1 and i + 1 < len(blocks):
                canvas.arrow((x + wide / 2, y), (x + across / 2, y), arrowstyle="-")
    return canvas.figure


@dataclass
class _Block:
    lines: list[str]
    colour: str
    size: tuple[int, ...]


def _blocks(model: nn.Module, shape: tuple[int, ...]) -> list[_Block]:
    """Return the blocks of one pass, by layers, or by parts where there are too many."""
    outputs: dict[nn.Module, tuple[int, ...]] = {}  # in the order in which modules finish

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            outputs.setdefault(module, tuple(output.shape[1:]))

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        with Guard(model, 1) as guard:
            guard.logits(torch.zeros(1, *shape, device=guard.device))
    finally:
        for handle in handles:
            handle.remove()
    named = {module: name.rpartition(".")[2] for name, module in model.named_modules()}
    blocks = _grouped([_Layer.of(m, named[m], outputs[m]) for m in outputs if _is_leaf(m)])
    if len(blocks) <= _MOST and all(len(block.lines) <= 8 for block in blocks):
        return blocks
    whole = model
    while len(children := [child for child in whole.children() if child in outputs]) == 1:
        whole = children[0]
    return _grouped([_Layer.of(m, named[m], outputs[m]) for m in outputs if m in children])


def _grouped(layers: Sequence[_Layer]) -> list[_Block]:
    """Return the layers, in their order, in blocks that begin at a coloured one."""
    blocks: list[_Block] = []
    waiting: list[str] = []  # the lines that go before those of the next block
    for layer in layers:
        if layer.first:
            waiting += layer.lines
        elif layer.colour or not blocks:
            blocks.append(_Block([*waiting, *layer.lines], layer.colour or GREY, layer.size))
            waiting = []
        else:
            blocks[-1].lines += layer.lines
            blocks[-1].size = layer.size
    return blocks


def _is_leaf(module: nn.Module) -> bool:
    """Whether a module is one layer; what hangs on its weights is no layer of its own."""
    known = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._BatchNorm)
    return isinstance(module, known) or not any(True for _ in module.children())


@dataclass(frozen=True)
class _Layer:
    """A module as it is drawn: no lines where it does nothing, a colour where it begins a block."""

    lines: list[str]
    size: tuple[int, ...]
    colour: str = ""
    first: bool = False

    @classmethod
    def of(cls, module: nn.Module, name: str, size: tuple[int, ...]) -> _Layer:
        kind = type(module).__name__.removeprefix("Parametrized")
        if isinstance(module, nn.Conv2d):
            stride = f", stride {module.stride[0]}" if module.stride[0] > 1 else ""
            return cls([f"Conv {_sides(module.kernel_size)}{stride}"], size, BLUE)
        if isinstance(module, nn.Linear):
            return cls(["Linear"], size, ORANGE)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            return cls(["BatchNorm"], size)
        if isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
            return cls([f"{kind.removesuffix('2d')} {_sides(module.kernel_size)}"], size)
        if isinstance(module, RandomLayer):
            return cls([f"+ noise {getattr(module, 'sigma', '')}".rstrip()], size, first=True)
        if isinstance(module, nn.Identity | nn.Dropout):
            return cls([], size)
        if not _is_leaf(module):
            count = sum(isinstance(m, nn.Conv2d) for m in module.modules())
            lines = [name] + ([f"{count} convolution{'s' * (count > 1)}"] if count else [])
            return cls(lines, size, BLUE if len(size) > 1 and count else "")
        return cls([kind.removesuffix("2d")], size, first=isinstance(module, nn.Flatten))


def _sides(kernel: int | tuple[int, ...]) -> str:
    return "×".join(str(k) for k in (kernel if isinstance(kernel, tuple) else (kernel, kernel)))


def quantisation_figure() -> Figure:
    """Return the two kinds of quantised network: in integers, and simulated while training.

    After Jacob et al. 2017, arXiv:1712.05877, figure 1.1.

    >>> [text.get_text() for text in quantisation_figure().axes[0].texts][0]
    'integer network (inference only)'
    """
    integer = [
        ("input, int8", GREY), ("convolution in integers", BLUE), ("sum, int32", GREY),
        ("+ bias, int32", BLUE), ("ReLU, rescale, round", BLUE), ("output, int8", GREY),
    ]  # fmt: skip
    simulated = [
        ("input, float", GREY), ("convolution in float", BLUE), ("sum, float", GREY),
        ("+ bias, float", BLUE), ("quantised activation", GREEN), ("output, float on $2^N$ levels", GREY),
    ]  # fmt: skip
    with style():
        canvas = Canvas.of(7.6, 3.75)
        wide, tall, step = 1.75, 0.32, 0.55
        for left, title, flow in (
            (0.1, "integer network (inference only)", integer),
            (3.9, "simulated quantisation (also in training)", simulated),
        ):
            canvas.text((left + 1.75, 3.6), title, 9, ha="center", va="center", weight="bold")
            x = left + 2.6
            for i, (text, colour) in enumerate(flow):
                y = 3.2 - step * i
                canvas.box((x, y), text, colour, wide, tall, maths=True)
                if i:
                    canvas.arrow((x, y + step - tall / 2), (x, y + tall / 2))
        side = 0.75
        canvas.box((side, 3.2 - step), "weights, int8", GREY, 1.2, tall)
        canvas.arrow((side + 0.6, 3.2 - step), (2.7 - wide / 2, 3.2 - step))
        side = 4.55
        canvas.box((side, 3.2), "weights, float", GREY, 1.2, tall)
        canvas.box((side, 3.2 - step), "simulated\nquantisation", GREEN, 1.2, 0.4)
        canvas.arrow((side, 3.2 - tall / 2), (side, 3.2 - step + 0.2))
        canvas.arrow((side + 0.6, 3.2 - step), (6.5 - wide / 2, 3.2 - step))
        _straight_through(canvas, (side - 0.35, 3.2 - step + 0.2), (side - 0.35, 3.2 - tall / 2))
        up = 6.5 + wide / 2 - 0.1
        _straight_through(canvas, (up, 3.2 - 4 * step + tall / 2), (up, 3.2 - 3 * step - tall / 2))
        _straight_through(canvas, (side - 0.6, 1.3), (side - 0.25, 1.3))
        canvas.text(
            (side - 0.15, 1.3), "gradient, passed\nstraight through\nthe rounding", va="center"
        )
    return canvas.figure


def _straight_through(canvas: Canvas, start: tuple[float, float], end: tuple[float, float]) -> None:
    canvas.arrow(start, end, color=COLOURS[1], linestyle="--")


def self_ensemble_figure(
    sigma_first: float = 0.2, sigma_inner: float = 0.1, samples: int = 5
) -> Figure:
    """Return a network before and after `random_self_ensemble`: where the noise goes in.

    Raises `InputError` for a negative standard deviation and fewer than one pass.

    >>> len(self_ensemble_figure(0.2, 0.1, 5).axes[0].texts) > 10
    True
    """
    if not (sigma_first >= 0 and sigma_inner >= 0 and samples >= 1):
        raise InputError(
            f"deviations {sigma_first}, {sigma_inner} and {samples} passes: give at least 0, 0, 1"
        )
    flow = [
        ("image", GREY), ("block 1: Conv, BN,\nReLU, AvgPool", BLUE),
        ("block 2: Conv, BN,\nReLU, AvgPool", BLUE), ("further blocks", BLUE),
        ("fully connected", ORANGE), ("logits", GREY),
    ]  # fmt: skip
    noise = {
        1: (sigma_first, "0"),
        2: (sigma_inner, "1"),
        3: (sigma_inner, "1"),
    }  # of the steps of the flow
    with style():
        canvas = Canvas.of(6.4, 6.0)
        wide, tall, step = 1.5, 0.4, 0.9
        for x, title in ((1.0, "original"), (5.1, "random self-ensemble")):
            canvas.text((x, 5.8), title, 9, ha="center", va="center", weight="bold")
            for i, (text, colour) in enumerate(flow):
                y = 5.35 - step * i
                each = ",\nnoise before each" if title != "original" and i == 3 else ""
                canvas.box((x, y), text + each, colour, wide, tall)
                if i and (title == "original" or i not in noise):
                    canvas.arrow((x, y + step - tall / 2), (x, y + tall / 2))
                elif i:
                    _noise(canvas, (x, y + step / 2), (step - tall) / 2, *noise[i])
        passes = (
            f"mean of {samples} passes,\neach with its own noise" if samples > 1 else "one pass"
        )
        canvas.text(
            (5.0, 0.42), f"in evaluation: {passes}", ha="center", va="center", linespacing=1.3
        )
    return canvas.figure


def _noise(
    canvas: Canvas, middle: tuple[float, float], half: float, sigma: float, index: str
) -> None:
    """Draw a sum in the way of an arrow, and the noise that goes into it."""
    x, y = middle
    canvas.arrow((x, y + half), (x, y + 0.11), arrowstyle="-")
    canvas.plus(middle)
    canvas.arrow((x, y - 0.11), (x, y - half))
    text = rf"$\mathcal{{N}}(0, \sigma_{index})$, $\sigma_{index}$ = {sigma:g}"
    canvas.box((x - 1.65, y), text, "#F6DCEB", 1.6, 0.28, maths=True)
    canvas.arrow((x - 0.85, y), (x - 0.11, y))
