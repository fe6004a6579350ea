"""The figure of `constant-c`: success and distance against c."""

from __future__ import annotations

from matplotlib.figure import Figure

from saddlepoint.lab import ConstantC, PerModel
from saddlepoint.reports.lab.panels import handles_of, legend_above, looks
from saddlepoint.reports.style import style


def draw(found: PerModel[ConstantC]) -> Figure:
    """Return three panels: success with its interval, mean distance, and the same as a multiple of
    each image's smallest.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, figure 2.
    """
    results = found.results
    named = looks(results)
    values = [c for each in results.values() for c in each.c]
    with style():
        figure = Figure(figsize=(8.6, 2.9), layout="constrained")
        success, distance, excess = figure.subplots(1, 3, gridspec_kw={"wspace": 0.06})
        for name, each in results.items():
            look = {**named[name].line, "markersize": 4}
            shares = each.success()
            low, high = ([100 * getattr(p, end) for p in shares] for end in ("low", "high"))
            success.fill_between(each.c, low, high, color=named[name].colour, alpha=0.18, lw=0)
            success.plot(each.c, [100 * p.value for p in shares], **look)
            distance.plot(each.c, each.mean(), **look)
            excess.plot(each.c, each.excess(), **look)
        success.set_ylabel("success (%)")
        success.set_ylim(-2, 102)
        distance.set_ylabel("mean L2 distance of successes")
        distance.set_ylim(bottom=0)
        excess.set_ylabel("distance / least of the image")
        excess.axhline(1, color="black", lw=0.8, ls=":")
        for axes in (success, distance, excess):
            axes.set(xscale="log", xlim=(0.8 * min(values), 1.25 * max(values)))
            axes.set_xlabel("c")
        legend_above(figure, handles_of(named))
    return figure
