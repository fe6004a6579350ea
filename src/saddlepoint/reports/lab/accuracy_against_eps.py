"""The figure of `accuracy-against-eps`: both attacks, measured in both norms."""

from __future__ import annotations

from matplotlib.figure import Figure

from saddlepoint.lab import AccuracyAgainstEps, PerModel
from saddlepoint.reports.lab.panels import handles_of, legend_above, looks
from saddlepoint.reports.style import style


def draw(found: PerModel[AccuracyAgainstEps]) -> Figure:
    """Return a panel per norm and a line per model and attack.

    Reference: Madry et al. 2018, arXiv:1706.06083, figure 6.
    """
    results = found.results
    attacks = list(next(iter(results.values())).attacks)
    named = looks(f"{model}, {attack} PGD" for model in results for attack in attacks)
    with style():
        figure = Figure(figsize=(7.6, 3.4), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, measure in zip(panels, ("Linf", "L2"), strict=True):
            for model, each in results.items():
                for attack in attacks:
                    eps, accuracy = each.curve(attack, measure)
                    look = named[f"{model}, {attack} PGD"]
                    axes.plot(eps, [100 * a for a in accuracy], **look.line, markersize=4)
            axes.set_xlabel(f"eps ({measure}, pixels)")
            axes.set_xlim(left=0)
            axes.set_ylim(-1, 101)
        panels[0].set_ylabel("accuracy (%)")
        legend_above(figure, handles_of(named), columns=min(4, len(named)))
    return figure
