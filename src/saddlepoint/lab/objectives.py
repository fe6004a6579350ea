"""Carlini and Wagner's seven objectives with their three treatments of the valid range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from saddlepoint.attacks import Batch, Nearest, Targeted, judge
from saddlepoint.attacks.minimum_norm.carlini_wagner.l2 import BoxName, Objective
from saddlepoint.attacks.minimum_norm.carlini_wagner.loop import Descent, descend, first_gradient
from saddlepoint.lab.aims import answers, other_classes
from saddlepoint.lab.table import Table
from saddlepoint.model import Guard
from saddlepoint.option_values import Count, Positive, check_fields
from saddlepoint.streams import Keys
from saddlepoint.threat import L2

CASES = ("best", "average", "worst")


@dataclass(frozen=True)
class ObjectiveSettings:
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

    objectives: tuple[Objective, ...] = ("f1", "f2", "f3", "f4", "f5", "f5b", "f6", "f7")
    boxes: tuple[BoxName, ...] = ("tanh", "clipped", "projected")
    steps: Count = 200
    learning_rate: Positive = 0.02
    searches: Count = 7
    first_c: Positive = 0.01

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Case:
    """One cell of the paper's table.

    Attributes:
        success: the share of attacks that succeed.
        distance: the mean L2 distance of those that do; NaN where none does.
        c: the 10th, 50th and 90th percentile of the smallest c that succeeds, among those that do.

    >>> Case(1.0, 0.5, (0.1, 0.2, 0.4)).c[1]
    0.2
    """

    success: float
    distance: float
    c: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Objectives:
    """What every objective and treatment found of one model.

    Attributes:
        objectives, boxes: the o and the b names.
        targets: (n, t) the classes aimed at: all but the model's own answer.
        distance: (o, b, n, t) L2 distances; infinity where the attack failed.
        c: (o, b, n, t) the smallest c that succeeded; infinity where none did.

    >>> two = torch.tensor([[[[1.0, 3.0]]]])
    >>> found = Objectives(("f6",), ("tanh",), torch.tensor([[1, 2]]), two, two / 2)
    >>> [found.case("f6", "tanh", case).distance for case in ("best", "average", "worst")]
    [1.0, 2.0, 3.0]
    """

    objectives: tuple[str, ...]
    boxes: tuple[str, ...]
    targets: Int64[Tensor, "n t"]
    distance: Float[Tensor, "o b n t"]
    c: Float[Tensor, "o b n t"]

    def case(self, objective: str, box: str, case: str) -> Case:
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
            return Case(0.0, float("nan"), (float("nan"),) * 3)
        low, middle, high = c[won].double().quantile(torch.tensor([0.1, 0.5, 0.9]).double())
        return Case(
            float(won.double().mean()),
            float(distance[won].mean()),
            (float(low), float(middle), float(high)),
        )

    def tables(self) -> Mapping[str, Table]:
        """Return a row per objective, treatment and case, and one per attack."""
        pairs = [(objective, box) for objective in self.objectives for box in self.boxes]
        summary = []
        for case in CASES:
            for pair in pairs:
                cell = self.case(*pair, case)
                summary.append((case, *pair, cell.success, cell.distance, *cell.c))
        flat = zip(pairs, self.distance.flatten(0, 1), self.c.flatten(0, 1), strict=True)
        attacks = [
            (*pair, image, *values)
            for pair, distance, c in flat
            for image, row in enumerate(zip(self.targets, distance, c, strict=True))
            for values in zip(*(each.tolist() for each in row), strict=True)
        ]
        columns = ("case", "objective", "box", "success", "distance")
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
) -> Objectives:
    """Attack every image towards every class but the model's answer, with every pair.

    The label is not asked for: an image that is wrong before is attacked away from the answer too.

    Reference: Carlini and Wagner 2017, arXiv:1608.04644, table III.

    >>> net, x, y = nn.Flatten(), torch.tensor([[0.5, 0.25]]), torch.zeros(1).long()
    >>> found = compare_objectives(net, x, y, ObjectiveSettings(objectives=("f6",), steps=200))
    >>> [round(float(d), 2) for d in found.distance.flatten()]  # 0.25/√2
    [0.18, 0.18, 0.18]
    """
    answered, _ = answers(model, images)
    classes = logit_count(model, images)
    targets = other_classes(answered, classes)
    x = images.repeat_interleave(classes - 1, 0)
    patience = max(1, settings.steps // 10)
    distances, chosen = [], []
    for objective in settings.objectives:
        for box in settings.boxes:
            how = Descent(objective, box, settings.steps, settings.learning_rate, patience, 1e-4, 0)
            distance, c = search_c(
                model, x, targets.flatten(), how, settings.searches, settings.first_c, seed
            )
            distances.append(distance)
            chosen.append(c)
    shape = (len(settings.objectives), len(settings.boxes), *targets.shape)
    return Objectives(
        settings.objectives, settings.boxes, targets.cpu(),
        torch.stack(distances).reshape(shape), torch.stack(chosen).reshape(shape),
    )  # fmt: skip


def logit_count(model: nn.Module, images: Float[Tensor, "n ..."]) -> int:
    """Return the number of classes of a model.

    >>> logit_count(nn.Flatten(), torch.zeros(1, 3))
    3
    """
    with Guard(model, 1) as guard:
        return guard.logits(images[:1].to(guard.device)).shape[1]


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
        best, clean = Nearest(images), batch.logits(images)
        first = first_gradient(batch, images, how)
        c = torch.full((len(images),), first_c, device=images.device)
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for _ in range(searches):
            found, _ = descend(batch, best, images, c, how, first=first)
            low, high = torch.where(found, low, c), torch.where(found, c, high)
            c = torch.where(high.isinf(), 10 * c, (low + high) / 2)
        result = judge(batch, best.images, clean, minimum_norm=True)
    return result.distance.cpu(), torch.where(result.success, high, torch.inf).cpu()
