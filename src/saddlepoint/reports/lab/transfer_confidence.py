"""The figure of `transfer-confidence`: who is fooled, and from how far, against κ."""

from __future__ import annotations

from matplotlib.figure import Figure

from saddlepoint.lab import TransferConfidence
from saddlepoint.lab.transfer_confidence import AIMS, NOISE
from saddlepoint.reports.lab.panels import handles_of, legend_above, lettered, looks
from saddlepoint.reports.style import style


def draw(found: TransferConfidence) -> Figure:
    """Return a panel per aim with the share of images that fool each network, and the distances.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, figure 9.
    """
    networks = list(found.aims[AIMS[0]].fooled)
    named = looks([*networks, NOISE])
    with style():
        figure = Figure(figsize=(8.6, 3.1), layout="constrained")
        *panels, last = figure.subplots(1, 3, gridspec_kw={"wspace": 0.06})
        for axes, aim in zip(panels, AIMS, strict=True):
            lines = {network: (aim, network) for network in networks}
            if aim == AIMS[0]:
                lines[NOISE] = (NOISE, networks[1])
            for name, key in lines.items():
                shares = found.share(*key)
                low, high = ([100 * getattr(p, end) for p in shares] for end in ("low", "high"))
                axes.fill_between(
                    found.kappa, low, high, color=named[name].colour, alpha=0.15, lw=0
                )
                axes.plot(
                    found.kappa, [100 * p.value for p in shares], **named[name].line, markersize=4
                )
            axes.set_ylim(-2, 102)
            axes.set_ylabel("fooled (%)")
            lettered(axes, f"A attacked towards {aim}")
        for aim, look in zip(AIMS, looks(AIMS).values(), strict=True):
            last.plot(
                found.kappa, found.distance(aim), color="#5A5A5A", linestyle=look.linestyle,
                marker=look.marker, markersize=4, label=aim,
            )  # fmt: skip
        last.set_ylabel("mean L2 distance")
        last.set_ylim(bottom=0)
        last.legend(loc="lower right", fontsize=8)
        lettered(last, "length of the change")
        for axes in (*panels, last):
            axes.set_xlabel(f"κ (logits; A's median margin is {found.margin:.1f})", fontsize=8)
        handles = handles_of(named)
        handles[-1].set_label(f"{NOISE}, on {networks[1]}")
        legend_above(figure, handles)
    return figure
