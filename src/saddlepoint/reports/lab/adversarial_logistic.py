"""The figure of `adversarial-logistic`: errors against eps and λ, and weights as pictures."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from saddlepoint.lab import AdversarialLogistic, LogisticPath
from saddlepoint.reports.lab.panels import handles_of, legend_above, lettered, looks
from saddlepoint.reports.style import style

_PICTURES = 4  # of weights, per kind of training


def draw(found: AdversarialLogistic) -> Figure:
    """Return the errors of both paths, above the weights of some of their classifiers.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 5.
    """
    lines = (
        ("training error", "train_error"),
        ("test error", "error"),
        (f"test error after the worst change of {found.attack_eps:g}", "adversarial_error"),
    )
    named = looks(label for label, _ in lines)
    paths = ((found.adversarial, "eps of adversarial training"), (found.decay, "λ of L1 decay"))
    every = [getattr(path, attribute) for path, _ in paths for _, attribute in lines]
    most = max(1.0, 100 * max(float(each.max()) for each in every))
    pictured = len(found.shape) == 3
    with style():
        figure = Figure(figsize=(8.0, 5.4 if pictured else 3.4), layout="constrained")
        grid = figure.add_gridspec(
            2 if pictured else 1, 2 * _PICTURES, height_ratios=(2.2, 1) if pictured else (1,)
        )
        for i, (path, label) in enumerate(paths):
            axes = figure.add_subplot(grid[0, i * _PICTURES : (i + 1) * _PICTURES])
            for name, attribute in lines:
                values = 100 * getattr(path, attribute)
                axes.plot(path.strength.numpy(), values.numpy(), **named[name].line, markersize=5)
            if i == 1:  # λ spans several powers of ten, and begins at 0
                axes.set_xscale("symlog", linthresh=float(path.strength[1]))
                axes.set_xlim(left=-0.15 * float(path.strength[1]))
            axes.set_xlabel(label)
            axes.set_ylim(-0.03 * most, 1.05 * most)
            if i == 0:
                axes.set_ylabel("error (%)")
            if pictured:
                _pictures(figure, grid, i, path, found)
        legend_above(figure, handles_of(named))
    return figure


def _pictures(
    figure: Figure, grid: GridSpec, i: int, path: LogisticPath, found: AdversarialLogistic
) -> None:
    last = len(path.strength) - 1
    chosen = sorted({round(k * last / (_PICTURES - 1)) for k in range(_PICTURES)})
    for column, k in enumerate(chosen):
        axes: Axes = figure.add_subplot(grid[1, i * _PICTURES + column])
        picture = path.weights[:, k].reshape(found.shape).mean(0).numpy()
        most = abs(picture).max() or 1.0
        axes.imshow(picture, cmap="PuOr", vmin=-most, vmax=most, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
        symbol = "eps" if i == 0 else "λ"
        lettered(axes, f"{symbol} {float(path.strength[k]):g}")
        axes.set_xlabel(f"‖w‖₁ {float(path.norms[k]):.1f}", fontsize=8)
