"""The figure of `distillation-jsma`: a saturated softmax, the toy, real logits, and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from saddlepoint.lab.distillation_jsma import EXAMPLE, STEP, JsmaFindings
from saddlepoint.lab.jsma_variants import JSMA_VARIANTS, printed_toy
from saddlepoint.lab.panels import looks, sheet, title_left
from saddlepoint.lab.saturation import PRINTED_LOGITS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OUTCOMES = {"within": "reached within γ", "beyond": "reached beyond γ", "gave_up": "gave up"}
_POINTS = 101


def draw_jsma(found: JsmaFindings) -> Figure:
    """Draw the softmax as the smallest and the largest logit move, the toy's logits as its features
    rise, the logits of real networks by rank, and what became of the real images.

    >>> len(draw_jsma(JsmaFindings({}, (), (), {})).axes)
    4
    """
    with sheet(9.6, 6.0) as figure:
        (nudged, toy), (ranks, outcomes) = figure.subplots(2, 2)
        _nudged(nudged)
        _toy(toy, found)
        _ranks(ranks, found)
        _outcomes(outcomes, found)
    return figure


def _nudged(axes: Axes) -> None:
    steps = torch.linspace(0, STEP, _POINTS)
    logits = torch.tensor(EXAMPLE).expand(_POINTS, -1)
    moves = {
        "smallest logit, −100 to −90": (len(EXAMPLE) - 1, steps),
        "largest logit, 10 to 0": (0, -steps),
    }
    for (name, (place, change)), look in zip(moves.items(), looks(moves).values(), strict=True):
        moved = logits.clone()
        moved[:, place] += change
        line = {**look.line, "marker": ""}
        axes.plot(steps, moved.softmax(1)[:, 0], **line, label=name)
    axes.set(xlabel="moved by", ylabel="F of the largest logit", ylim=(-0.04, 1.04))
    axes.legend(loc="lower left", fontsize=8)
    title_left(axes, "softmax of (10, 0, …, 0, −100)")


def _toy(axes: Axes, found: JsmaFindings) -> None:
    net = printed_toy()
    features = torch.arange(net.in_features + 1)
    with torch.no_grad():
        logits = net(torch.tril(torch.ones(len(features), net.in_features), -1))
    named = looks(["class 5, the answer", "class 3, the target"])
    for (name, look), row in zip(named.items(), (5, 3), strict=True):
        axes.plot(features, logits[:, row], **{**look.line, "marker": ""}, label=name)
    others = logits[:, [row for row in range(logits.shape[1]) if row not in (3, 5)]]
    axes.fill_between(
        features, others.amin(1), others.amax(1), color="#D9D9D9", lw=0, label="the other eight"
    )
    two = found.toy.get("JSMA-Z, two classes", float("nan"))
    if two == two:
        axes.axvline(two, color="#5A5A5A", lw=0.9, ls=":")
        axes.annotate(
            f"{two:.0f} features suffice;\nJSMA-Z gives up at 0", (two, -1250), (two + 0.5, -1250),
            fontsize=8, va="bottom",
        )  # fmt: skip
    axes.set(xlabel="features put to 1", ylabel="logit")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, fontsize=7.5, columnspacing=1.0
    )
    title_left(axes, "linear toy from the printed logits")


def _ranks(axes: Axes, found: JsmaFindings) -> None:
    lines = {f"T = {t:g}": z for t, z in found.examples.items()}
    lines["printed in the notes"] = torch.tensor(PRINTED_LOGITS)
    for (name, z), look in zip(lines.items(), looks(lines).values(), strict=True):
        values = z.sort(descending=True).values
        axes.plot(range(1, len(values) + 1), values, **look.line, markersize=4, label=name)
    axes.set(xlabel="rank of the class", ylabel="logit")
    axes.legend(loc="upper right", fontsize=8)
    title_left(axes, "logits of one image, distilled networks")


def _outcomes(axes: Axes, found: JsmaFindings) -> None:
    hatches = ("", "//", "")
    colours = [look.colour for look in looks(_OUTCOMES).values()]
    colours[-1] = "#D9D9D9"
    labels = []
    for i, (variant, t) in enumerate((v, t) for v in JSMA_VARIANTS for t in found.temperatures):
        left = 0.0
        labels.append(f"{variant}, T = {t:g}")
        for what, colour, hatch in zip(_OUTCOMES, colours, hatches, strict=True):
            width = 100 * found.of(what, variant, t).mean
            label = _OUTCOMES[what] if i == 0 else None
            axes.barh(
                i, width, left=left, color=colour, hatch=hatch, edgecolor="white", label=label
            )
            left += width
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set(xlabel="images (%)", xlim=(0, 100))
    if labels:
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.18), ncols=3, fontsize=8)
    title_left(axes, "distilled networks, towards a random class")
