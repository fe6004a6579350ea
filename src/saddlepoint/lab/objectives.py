"""Carlini and Wagner's seven objectives with their three treatments of the valid range."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import MINIMUM_NORM, Batch, Nearest, Targeted, judge
from saddlepoint.attacks.core.targets import TargetCase
from saddlepoint.attacks.minimum_norm.carlini_wagner.box import BoxName
from saddlepoint.attacks.minimum_norm.carlini_wagner.loop import Descent, descend, first_gradient
from saddlepoint.attacks.minimum_norm.carlini_wagner.objectives import ObjectiveName
from saddlepoint.lab.experiment import PerModel, Settings
from saddlepoint.lab.outputs import class_count, predictions
from saddlepoint.lab.panels import sheet, title_left
from saddlepoint.lab.table import Table
from saddlepoint.lab.targets import other_classes
from saddlepoint.model import Guard
from saddlepoint.option_values import Count, Positive
from saddlepoint.progress import counted
from saddlepoint.streams import Keys
from saddlepoint.threat import L2

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

CASES: Mapping[TargetCase, str] = MappingProxyType(
    {"best": "easiest target", "average": "all targets", "worst": "hardest target"}
)
_MISSING = "#DDDDDD"
_MOST = 1.5  # times the least, from where the colour stays


@dataclass(frozen=True)
class ObjectiveSettings(Settings):
    """Settings of `compare_objectives`.

    Args:
        objectives: of "f1" … "f7" and "f5b"; the objectives of the paper.
        boxes: of "tanh", "clipped" and "projected", the treatments of the range.
        steps: Adam's iterations per c; a descent ends early after a tenth of them without progress.
        learning_rate: Adam's.
        searches: values of c: ten times the last until the first success, then the middle of the
            bracket.
        first_c: the first of them.

    >>> ObjectiveSettings().searches
    7
    """

    objectives: tuple[ObjectiveName, ...] = ("f1", "f2", "f3", "f4", "f5", "f5b", "f6", "f7")
    boxes: tuple[BoxName, ...] = ("tanh", "clipped", "projected")
    steps: Count = 200
    learning_rate: Positive = 0.02
    searches: Count = 7
    first_c: Positive = 0.01


@dataclass(frozen=True)
class CaseStatistics:
    """What one pair came to in one case: a cell of the paper's table.

    Attributes:
        success: the share of attacks that succeed.
        distance: the mean L2 distance of those that do; NaN where none does.
        c: the 10th, 50th and 90th percentile of the smallest c that succeeds, among those that do.

    >>> CaseStatistics(1.0, 0.5, (0.1, 0.2, 0.4)).c[1]
    0.2
    """

    success: float
    distance: float
    c: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class ObjectiveComparison:
    """What every objective and treatment found of one model.

    Attributes:
        objectives, boxes: the o and the b names.
        targets: (n, t) the classes aimed at: all but the model's own answer.
        distance: (o, b, n, t) L2 distances; infinity where the attack failed.
        c: (o, b, n, t) the smallest c that succeeded; infinity where none did.

    >>> two = torch.tensor([[[[1.0, 3.0]]]])
    >>> found = ObjectiveComparison(("f6",), ("tanh",), torch.tensor([[1, 2]]), two, two / 2)
    >>> [found.statistics("f6", "tanh", case).distance for case in CASES]
    [1.0, 2.0, 3.0]
    """

    objectives: tuple[str, ...]
    boxes: tuple[str, ...]
    targets: Int64[Tensor, "n t"]
    distance: Float[Tensor, "o b n t"]
    c: Float[Tensor, "o b n t"]

    def statistics(self, objective: str, box: str, case: TargetCase) -> CaseStatistics:
        """Return what is found for the easiest target of each image, for all, or for the hardest.

        Where one target is out of reach, the hardest is.
        """
        at = (self.objectives.index(objective), self.boxes.index(box))
        distance, c = self.distance[at], self.c[at]
        if case != "average":
            picked = distance.argmin(1) if case == "best" else distance.argmax(1)
            distance, c = (each.gather(1, picked[:, None]) for each in (distance, c))
        won = distance.isfinite()
        if not bool(won.any()):
            return CaseStatistics(0.0, float("nan"), (float("nan"),) * 3)
        low, middle, high = c[won].double().quantile(torch.tensor([0.1, 0.5, 0.9]).double())
        return CaseStatistics(
            float(won.double().mean()),
            float(distance[won].mean()),
            (float(low), float(middle), float(high)),
        )

    def tables(self) -> Mapping[str, Table]:
        """Return a row per objective, treatment and case, and one per attack."""
        pairs = [(objective, box) for objective in self.objectives for box in self.boxes]
        pairs = list(itertools.product(self.objectives, self.boxes))
        summary = [
            (case, *pair, found.success, found.distance, *found.c)
            for case in CASES
            for pair in pairs
            for found in (self.statistics(*pair, case),)
        ]
        columns = ("case", "objective", "box", "success", "distance")
        flat = zip(pairs, self.distance.flatten(0, 1), self.c.flatten(0, 1), strict=True)
        attacks = [
            (*pair, image, *values)
            for pair, distance, c in flat
            for image, row in enumerate(zip(self.targets, distance, c, strict=True))
            for values in zip(*(each.tolist() for each in row), strict=True)
        ]
        return {
            "summary": Table((*columns, "c, 10 %", "c, median", "c, 90 %"), tuple(summary)),
            "attacks": Table(
                ("objective", "box", "image", "target", "distance", "c"), tuple(attacks)
            ),
        }


def compare_objectives(
    model: nn.Module,
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    settings: ObjectiveSettings,
    seed: int = 0,
) -> ObjectiveComparison:
    """Attack every image towards every class but the model's answer, with every pair.

    The label is not asked for: an image that is wrong before is attacked away from the answer too.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, table III.

    >>> net, x, y = nn.Flatten(), torch.tensor([[0.5, 0.25]]), torch.zeros(1).long()
    >>> found = compare_objectives(net, x, y, ObjectiveSettings(objectives=("f6",), steps=200))
    >>> [round(float(d), 2) for d in found.distance.flatten()]  # 0.25/√2
    [0.18, 0.18, 0.18]
    """
    answered, _ = predictions(model, images)
    classes = class_count(model, images)
    targets = other_classes(answered, classes)
    x = images.repeat_interleave(classes - 1, 0)
    patience = max(1, settings.steps // 10)
    distances, chosen = [], []
    for objective in counted(settings.objectives, "objectives"):
        for box in settings.boxes:
            how = Descent(objective, box, settings.steps, settings.learning_rate, patience, 1e-4, 0)
            distance, c = search_c(
                model, x, targets.flatten(), how, settings.searches, settings.first_c, seed
            )
            distances.append(distance)
            chosen.append(c)
    shape = (len(settings.objectives), len(settings.boxes), *targets.shape)
    return ObjectiveComparison(
        settings.objectives, settings.boxes, targets.cpu(),
        torch.stack(distances).reshape(shape), torch.stack(chosen).reshape(shape),
    )  # fmt: skip


def search_c(
    model: nn.Module,
    images: Float[Tensor, "m ..."],
    targets: Int64[Tensor, " m"],
    how: Descent,
    searches: int,
    first_c: float,
    seed: int = 0,
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """Return the judged distances and the smallest c that succeeded, by the published search.

    Every c starts from the clean image.

    >>> how = Descent("f6", "tanh", 200, 0.01, 20, 1e-4, 0)
    >>> x, target = torch.tensor([[0.5, 0.25]]), torch.tensor([1])
    >>> distance, c = search_c(nn.Flatten(), x, target, how, 9, 0.01)
    >>> round(float(distance), 2), bool(0.2 < c < 0.3)  # c = 2·0.25/‖(1, −1)‖²
    (0.18, True)
    """
    rows = torch.arange(len(images), device=images.device)
    with Guard(model, len(images), seed=seed) as guard:
        batch = Batch(guard, L2(), Targeted(), images, targets, Keys(seed, rows), rows)
        nearest, clean = Nearest(images), batch.logits(images)
        first = first_gradient(batch, images, how)
        c = torch.full((len(images),), first_c, device=images.device)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for _ in range(searches):
            found, _ = descend(batch, nearest, images, c, how, first=first)
            low, high = torch.where(found, low, c), torch.where(found, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high) / 2)
        result = MINIMUM_NORM.settle(judge(batch, nearest.images, clean), images, clean)
    return result.distance.cpu(), torch.where(result.success, high, torch.inf).cpu()


def draw_objectives(found: PerModel[ObjectiveComparison]) -> Figure:
    """Draw a panel per model and case, a row per objective and a column per treatment.

    The colour compares distances with the nearest of the panel, only where every attack succeeds:
    the mean of fewer is that of easier targets.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, table III.

    >>> two = torch.tensor([[[[1.0, 3.0]]]])
    >>> one = ObjectiveComparison(("f6",), ("tanh",), torch.tensor([[1, 2]]), two, two / 2)
    >>> draw_objectives(PerModel({"standard": one})).axes[0].texts[0].get_text()
    '1.00 · 100 %\\nc 0.5'
    """
    results = found.results
    first = next(iter(results.values()))
    rows, columns = len(first.objectives), len(first.boxes)
    with sheet(3.0 + 2.2 * columns, len(results) * (0.34 * rows + 0.5) + 0.6) as figure:
        grid = figure.subplots(len(results), len(CASES), squeeze=False, sharex=True, sharey=True)
        for panels, (name, each) in zip(grid, results.items(), strict=True):
            for axes, (case, title) in zip(panels, CASES.items(), strict=True):
                image = _draw_cells(axes, each, case)
                title_left(axes, f"{name}, {title}")
            panels[0].set_ylabel("objective")
        bar = figure.colorbar(image, ax=grid, fraction=0.03, pad=0.01, extend="max")
        bar.set_label("distance, times the least of the panel (grey: not all succeed)")
        figure.supxlabel(
            "treatment of the range. In a cell: mean L2 distance of the successes, success; below,"
            " the median of the smallest sufficient c",
            fontsize=9,
        )
    return figure


def _draw_cells(axes: Axes, found: ObjectiveComparison, case: TargetCase) -> AxesImage:
    table = [[found.statistics(o, b, case) for b in found.boxes] for o in found.objectives]
    whole = [cell.distance for row in table for cell in row if cell.success == 1]
    least = max(min(whole, default=1.0), 1e-12)
    ratios = np.array(
        [[cell.distance / least if cell.success == 1 else np.nan for cell in row] for row in table]
    )
    axes.set_facecolor(_MISSING)
    image = axes.imshow(ratios, cmap="cividis", aspect="auto", vmin=1, vmax=_MOST)
    for i, row in enumerate(table):
        for j, cell in enumerate(row):
            success = f"{100 * cell.success:.0f} %"
            none = math.isnan(cell.distance)
            text = success if none else f"{cell.distance:.2f} · {success}\nc {_short(cell.c[1])}"
            dark = cell.success == 1 and ratios[i, j] < (1 + _MOST) / 2
            axes.text(
                j, i, text, ha="center", va="center", fontsize=6.5, linespacing=1.15,
                color="white" if dark else "black", parse_math=True,
            )  # fmt: skip
    axes.set_xticks(range(len(found.boxes)), found.boxes)
    axes.set_yticks(range(len(found.objectives)), found.objectives)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return image


def _short(c: float) -> str:
    if 0.001 <= c < 1000:
        return f"{c:.2g}" if c < 100 else f"{c:.0f}"
    return f"$10^{{{math.log10(c):.1f}}}$"
