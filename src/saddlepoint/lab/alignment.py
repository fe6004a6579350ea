"""How far the perturbation that PGD finds still points along the gradient at the clean image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import PGD
from saddlepoint.lab.experiment import PerModel, Settings
from saddlepoint.lab.outputs import loss_gradients
from saddlepoint.lab.panels import keys_of, legend_above, looks, sheet
from saddlepoint.lab.table import Table
from saddlepoint.lab.trajectories import trace
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import counted
from saddlepoint.threat import Linf
from saddlepoint.threat.norms import unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANELS = (
    ("inner", "⟨δ, gradient⟩"),
    ("cosine", "cosine of δ and gradient"),
    ("attained", "share of the largest product"),
)


@dataclass(frozen=True)
class AlignmentSettings(Settings):
    """Settings of `alignment`.

    Args:
        eps: the Linf budgets, in pixels.
        steps: of PGD.

    >>> AlignmentSettings().steps
    40
    """

    eps: tuple[Positive, ...] = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
    steps: Count = 40


@dataclass(frozen=True, eq=False)
class Alignment:
    """The products of perturbation and gradient, for one model.

    Attributes:
        eps: the e budgets.
        inner: (e, n) ⟨δ, g⟩, g the gradient of the loss at the clean image.
        cosine: (e, n) ⟨δ, g⟩ / (‖δ‖₂ ‖g‖₂).
        attained: (e, n) ⟨δ, g⟩ as a share of the largest that ball and range permit, which FGSM
            attains.

    >>> Alignment((0.1,), *[torch.ones(1, 2)] * 3).tables()["summary"].rows[0][0]
    0.1
    """

    eps: tuple[float, ...]
    inner: Float[Tensor, "e n"]
    cosine: Float[Tensor, "e n"]
    attained: Float[Tensor, "e n"]

    def tables(self) -> Mapping[str, Table]:
        """Return means and shares per budget, and all values."""
        measured = {
            "inner product": self.inner,
            "cosine": self.cosine,
            "share attained": self.attained,
        }
        means = {name: [float(row.mean()) for row in rows] for name, rows in measured.items()}
        negative = (self.inner < 0).double().mean(1)
        images = range(self.inner.shape[1])
        return {
            "summary": Table.of({"eps": self.eps, **means, "negative": negative}),
            "images": Table.long({"eps": self.eps, "image": images}, measured),
        }


def alignment(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: AlignmentSettings,
    seed: int = 0,
) -> Alignment:
    """Attack at every budget, to the end, and multiply what was found with the clean gradient.

    An image whose gradient is zero counts as 0.

    Reference: Madry et al. 2018, arXiv:1706.06083, section 3.1.

    >>> net, x, y = nn.Linear(2, 2), torch.full((1, 2), 0.5), torch.zeros(1).long()
    >>> found = alignment(net, x, y, AlignmentSettings(eps=(0.1,)))
    >>> round(float(found.attained), 4)  # of a linear model
    1.0
    """
    gradients = loss_gradients(model, images, labels).flatten(1)
    clean = images.cpu()
    ids = torch.arange(len(images))
    inner, cosine, attained = [], [], []
    for eps in counted(settings.eps, "budgets"):
        attack = PGD(Linf(eps), steps=settings.steps, loss="softmax-cross-entropy")
        delta = trace(model, images, labels, attack, ids, seed).end - clean
        steepest = (clean + eps * gradients.sign().reshape(clean.shape)).clamp(0, 1) - clean
        product = (delta.flatten(1) * gradients).sum(1)
        most = (steepest.flatten(1) * gradients).sum(1)
        inner.append(product)
        cosine.append((unit(delta.flatten(1), 2) * unit(gradients, 2)).sum(1))
        attained.append(product / torch.where(most > 0, most, 1.0))
    stacked = (torch.stack(each) for each in (inner, cosine, attained))
    return Alignment(settings.eps, *stacked)


def draw_alignment(found: PerModel[Alignment]) -> Figure:
    """Draw medians over the images against eps, with the middle half of the images shaded.

    >>> one = Alignment((0.1, 0.2), *[torch.ones(2, 3)] * 3)
    >>> len(draw_alignment(PerModel({"standard": one})).axes)
    3
    """
    named = looks(found.results)
    with sheet(8.4, 2.9) as figure:
        for axes, (attribute, label) in zip(
            figure.subplots(1, 3, gridspec_kw={"wspace": 0.06}), _PANELS, strict=True
        ):
            for name, each in found.results.items():
                values = getattr(each, attribute).numpy()
                low, high = np.quantile(values, (0.25, 0.75), axis=1)
                axes.fill_between(each.eps, low, high, color=named[name].colour, alpha=0.18, lw=0)
                axes.plot(each.eps, np.median(values, axis=1), **named[name].line, markersize=4)
            axes.set_xlabel("eps (Linf, pixels)")
            axes.set_ylabel(label)
            axes.set_xlim(left=0)
            if attribute != "inner":
                axes.set_ylim(top=1.02)
            axes.axhline(0, color="black", lw=0.8)
        legend_above(figure, keys_of(named))
    return figure
