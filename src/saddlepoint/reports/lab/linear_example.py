"""The figure of `linear-example`: the ten features, and the probability in more dimensions."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from saddlepoint.lab import LinearExample
from saddlepoint.reports.lab.panels import looks
from saddlepoint.reports.style import AFTER, BEFORE, style


def draw(found: LinearExample) -> Figure:
    """Return x before and after, feature by feature, and P(y = 1) against the dimension."""
    with style():
        figure = Figure(figsize=(8.4, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.08})
        at = np.arange(1, len(found.weights) + 1)
        left.bar(
            at - 0.2,
            found.image.numpy(),
            0.4,
            color=BEFORE,
            label=f"x: P(y = 1) = {100 * found.before:.1f} %",
        )
        left.bar(
            at + 0.2, found.adversarial.numpy(), 0.4, color=AFTER,
            label=f"x + {found.eps[0]:g}·sign(w): P(y = 1) = {100 * found.after:.1f} %",
        )  # fmt: skip
        left.axhline(0, color="black", lw=0.8)
        left.set_xticks(
            at, [f"{i}\n{w:+.0f}" for i, w in zip(at, found.weights.tolist(), strict=True)]
        )
        left.set_xlabel("feature, and its weight")
        left.set_ylabel("value")
        left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1)
        named = looks(f"{eps:g}" for eps in found.eps)
        for (name, look), line in zip(named.items(), found.probability, strict=True):
            right.plot(found.dimensions, line.numpy(), **look.line, label=name, markersize=5)
        right.axhline(found.before, color="black", lw=1, ls=":", label="before")
        right.set_xscale("log")
        right.set_ylim(-0.02, 1.02)
        right.set_xlabel("dimension")
        right.set_ylabel("P(y = 1) after FGSM")
        right.legend(
            title="change of every feature", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3
        )
    return figure
