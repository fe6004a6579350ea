"""From a black and from a white image to every class, at the smallest distance in three norms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Attack, CarliniWagnerL0, CarliniWagnerL2, CarliniWagnerLinf
from saddlepoint.errors import InputError
from saddlepoint.lab.experiment import PerModel, Settings
from saddlepoint.lab.outputs import class_count, predictions
from saddlepoint.lab.panels import sheet
from saddlepoint.lab.table import Table
from saddlepoint.lab.targets import other_classes
from saddlepoint.option_values import Count
from saddlepoint.progress import counted
from saddlepoint.threat import L0, L2, Linf

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STARTS: Mapping[str, float] = MappingProxyType({"black": 0.0, "white": 1.0})
_SHOWN = 10  # classes in the figure
_RIGHT, _DOWN = 1.12, 1.36  # from picture to picture, in their own width


@dataclass(frozen=True)
class SyntheticSettings(Settings):
    """Settings of `synthetic_digits`.

    Args:
        steps: of Adam per c, at most.

    >>> SyntheticSettings().steps
    200
    """

    steps: Count = 200


@dataclass(frozen=True, eq=False)
class NearestImages:
    """The nearest images of every class to a uniform one.

    Attributes:
        answer: the class of the uniform image itself.
        images: by norm, (k, …) one per class; the uniform image where the attack failed.
        distance: by norm, (k,); 0 for the class of the uniform image, infinity for a failure.

    >>> NearestImages(0, {}, {"L2": torch.zeros(10)}).distance["L2"].shape
    torch.Size([10])
    """

    answer: int
    images: Mapping[str, Float[Tensor, "k ..."]]
    distance: Mapping[str, Float[Tensor, " k"]]


@dataclass(frozen=True, eq=False)
class SyntheticDigits:
    """What was found from each start, by its name, for one model.

    >>> SyntheticDigits({}).tables()["summary"].rows
    ()
    """

    starts: Mapping[str, NearestImages]

    def tables(self) -> Mapping[str, Table]:
        """Return the distance per start, norm and class."""
        rows = tuple(
            (start, found.answer, norm, k, value)
            for start, found in self.starts.items()
            for norm, distance in found.distance.items()
            for k, value in enumerate(distance.tolist())
        )
        return {"summary": Table(("start", "its class", "norm", "target", "distance"), rows)}


def synthetic_digits(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: SyntheticSettings,
    seed: int = 0,
) -> SyntheticDigits:
    """Attack a black and a white image of the shape of `images` towards every class.

    Raises `InputError` where the images are no pictures.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, section VII and figure 6.

    >>> net, x = nn.Sequential(nn.Flatten(), nn.Linear(3, 3)), torch.zeros(1, 1, 1, 3)
    >>> with torch.no_grad():
    ...     _ = net[1].weight.copy_(torch.eye(3)), net[1].bias.copy_(torch.tensor([0.5, 0.0, 0.1]))
    >>> found = synthetic_digits(net, x, torch.zeros(1).long(), SyntheticSettings(steps=60))
    >>> found.starts["black"].distance["L0"].tolist()
    [0.0, 1.0, 1.0]
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(
            f"the images have shape {tuple(images.shape[1:])}; give grey or RGB pictures"
        )
    # Projected: the change of variables starts where tanh has hardly a slope, on the bounds.
    attacks: dict[str, Attack] = {
        "L2": CarliniWagnerL2(L2(), steps=settings.steps, box="projected"),
        "L0": CarliniWagnerL0(L0(), steps=settings.steps, box="projected"),
        "Linf": CarliniWagnerLinf(Linf(), steps=settings.steps, box="projected"),
    }
    classes = class_count(model, images)
    uniform = torch.stack([torch.full_like(images[0], value) for value in STARTS.values()])
    answered, _ = predictions(model, uniform)
    x, labels = (each.repeat_interleave(classes - 1, 0) for each in (uniform, answered))
    targets = other_classes(answered, classes)
    nearest = {norm: uniform.cpu().float()[:, None].repeat(1, classes, 1, 1, 1) for norm in attacks}
    distance = {norm: torch.zeros(len(uniform), classes) for norm in attacks}
    rows = torch.arange(len(uniform))[:, None].expand(-1, classes - 1).flatten()
    at = (rows, targets.flatten().cpu())
    for norm, attack in counted(attacks.items(), "norms"):
        result = attack(model, x, labels, targets.flatten(), seed=seed)
        nearest[norm][at] = result.adversarials.cpu().float()
        distance[norm][at] = result.distance.cpu().float()
    return SyntheticDigits(
        {
            name: NearestImages(
                int(answered[i]),
                {norm: each[i] for norm, each in nearest.items()},
                {norm: each[i] for norm, each in distance.items()},
            )
            for i, name in enumerate(STARTS)
        }
    )


def draw_synthetic_digits(found: PerModel[SyntheticDigits]) -> Figure:
    """Draw a block per model and start: a row per norm, a column per class.

    The class that the uniform image has already is framed.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, figure 6.

    >>> one = NearestImages(0, {"L2": torch.zeros(2, 1, 2, 2)}, {"L2": torch.zeros(2)})
    >>> figure = draw_synthetic_digits(PerModel({"standard": SyntheticDigits({"black": one})}))
    >>> len(figure.axes[0].images)
    2
    """
    blocks = [
        (model, start, found)
        for model, each in found.results.items()
        for start, found in each.starts.items()
    ]
    classes = min(_SHOWN, len(next(iter(blocks[0][2].distance.values()))))
    with sheet(0.72 * max(classes, 4) + 0.7, 2.9 * len(blocks)) as figure:
        panels = figure.subplots(len(blocks), 1, squeeze=False)[:, 0]
        for axes, (model, start, each) in zip(panels, blocks, strict=True):
            title = f"{model} network, from {start} (class {each.answer})"
            _draw_block(axes, title, each, classes)
    return figure


def _draw_block(axes: Axes, title: str, found: NearestImages, classes: int) -> None:
    for row, (norm, images) in enumerate(found.images.items()):
        axes.text(-0.12, row * _DOWN + 0.5, norm, ha="right", va="center", fontsize=9)
        for k in range(classes):
            _draw_picture(axes, images[k], (k * _RIGHT, row * _DOWN), own=k == found.answer)
            axes.text(
                k * _RIGHT + 0.5, row * _DOWN + 1.04, _distance(found, norm, k), ha="center",
                va="top", fontsize=7,
            )  # fmt: skip
    for k in range(classes):
        axes.text(k * _RIGHT + 0.5, -0.05, str(k), ha="center", va="bottom", fontsize=8)
    axes.text(0, -0.34, title, ha="left", va="bottom", fontsize=9)
    rows = len(found.images)
    axes.set(xlim=(-0.5, classes * _RIGHT), ylim=(rows * _DOWN, -0.6), aspect="equal")
    axes.set_axis_off()


def _draw_picture(axes: Axes, image: Tensor, corner: tuple[float, float], *, own: bool) -> None:
    from matplotlib.patches import Rectangle

    from saddlepoint.reports.style import COLOURS

    array = image.clamp(0, 1).permute(1, 2, 0).numpy()
    x, y = corner
    axes.imshow(
        array, extent=(x, x + 1, y + 1, y), cmap="gray", vmin=0, vmax=1, interpolation="nearest"
    )
    colour, width = (COLOURS[1], 2.0) if own else ("#888888", 0.6)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=colour, linewidth=width))


def _distance(found: NearestImages, norm: str, k: int) -> str:
    distance = float(found.distance[norm][k])
    unit = " pixel" + "s" * (distance != 1) if norm == "L0" else ""
    return "none" if math.isinf(distance) else f"{distance:.3g}{unit}"
