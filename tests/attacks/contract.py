"""Calls of attacks in every situation that the contract speaks of, and what it promises of them.

Nothing here asks an attack or the judge: distances, classes and successes are counted anew.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from networks import mlp
from torch import Tensor, nn

from saddlepoint.attacks import Attack, AttackResult, BinaryLogit, Criterion, Misclassified
from saddlepoint.threat import L0, L1, L2, Box, Linf, Patches, Rescaled, ThreatModel

BALLS = {"Linf": Linf, "L2": L2, "L1": L1, "L0": L0, "Patches": functools.partial(Patches, size=1)}
BUDGETS = {"Linf": 0.13, "L2": 0.45, "L1": 0.95, "L0": 2, "Box": 0.13, "Patches": 2}
MEAN, STD = (0.4, 0.5), (0.2, 0.3)
COUNT = 6

# As short as still fools some: the promises do not depend on the number of steps.
FEW: Mapping[str, Mapping[str, object]] = {
    "bim": {"steps": 3}, "mi-fgsm": {"steps": 3}, "md": {"steps": 5},
    "pgd": {"steps": 3, "restarts": 2},
    "nine-defences-pgd": {"steps": 8}, "apgd": {"steps": 5, "restarts": 2}, "square": {"queries": 40},
    "sparse-rs": {"queries": 15}, "patch": {"steps": 4, "restarts": 2},
    "uniform-noise": {"draws": 8}, "deepfool": {"steps": 3, "bisections": 3},
    "fab": {"steps": 3, "bisections": 3}, "cw-l2": {"steps": 8, "searches": 2, "bisections": 3},
    "cw-l0": {"steps": 8, "searches": 2, "rounds": 3, "bisections": 2},
    "cw-linf": {"steps": 6, "searches": 2, "rounds": 2, "bisections": 3},
    "ead": {"steps": 8, "searches": 2, "bisections": 3}, "ddn": {"steps": 8, "bisections": 3},
    "fmn": {"steps": 8, "bisections": 3}, "alma": {"steps": 12, "bisections": 3},
    "pdgd": {"steps": 12, "bisections": 3}, "pdpgd": {"steps": 20, "bisections": 2},
    "sigma-zero": {"steps": 12, "prunings": 2, "bisections": 3}, "jsma": {"max_changed": 1.0},
    "l-bfgs": {"steps": 4, "searches": 1, "bisections": 3}, "portfolio": {"passes": 200},
    "brendel-bethge": {"steps": 8, "halvings": 4, "radius": 0.1, "bisections": 3},
    "hard": {"passes": 120, "starts": 2, "steps": 3},
    "hop-skip-jump": {"steps": 2, "initial_probes": 6, "max_probes": 8, "draws": 30},
}  # fmt: skip


@dataclass(frozen=True)
class Situation:
    """What is special about a call; by default images (n, 2, 3, 3) in double precision, 3 classes."""

    shape: tuple[int, ...] = (2, 3, 3)
    dtype: torch.dtype = torch.float64
    masked: bool = False
    one_logit: bool = False
    normalised: bool = False
    targeted: bool = False
    budgets: bool = False


SITUATIONS = {
    "double": Situation(),
    "single": Situation(dtype=torch.float32),
    "mask": Situation(masked=True),
    "one-logit": Situation(one_logit=True),
    "normalised": Situation(normalised=True),
    "targets": Situation(targeted=True),
    "budgets": Situation(budgets=True),
    "vectors": Situation(shape=(8,)),
    "volumes": Situation(shape=(2, 2, 2, 3)),
}


@dataclass(frozen=True)
class Case:
    """Some images, of which the first of all is misclassified, and all else that a call is given.

    Attributes:
        threat: with a budget, unless it is for a minimum-norm attack.
        eps: (n,) a budget for each image, in place of the threat model's.
    """

    net: nn.Module
    criterion: Criterion
    threat: ThreatModel
    images: Tensor
    labels: Tensor
    ids: Tensor
    targets: Tensor | None = None
    mask: Tensor | None = None
    eps: Tensor | None = None

    def at(self, rows: Tensor) -> Case:
        """Return the case of some of the images."""
        names = ("images", "labels", "ids", "targets", "eps")
        some = {name: getattr(self, name) for name in names}
        some = {name: value[rows] for name, value in some.items() if value is not None}
        return replace(self, threat=self.threat.at(rows), **some)

    def run(self, attack: Attack) -> AttackResult:
        options = {"seed": 3, "ids": self.ids, "mask": self.mask, "eps": self.eps}
        return attack(self.net, self.images, self.labels, self.targets, **options)

    def seen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classes of these images, and where they are what the attack wants."""
        with torch.no_grad():
            logits = self.net(images)
        classes = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
        return classes, classes != self.labels if self.targets is None else classes == self.targets

    def distance(self, images: Tensor) -> Tensor:
        """Return the norms of the changes, in double precision."""
        change, threat = images.double() - self.images.double(), self.threat
        if isinstance(threat, Rescaled):
            change = change / torch.tensor(STD, dtype=torch.float64).reshape(-1, 1, 1)
            threat = threat.ball
        if isinstance(threat, Patches):  # of single pixels
            return (change != 0).any(1).flatten(1).sum(1).double()
        p = math.inf if isinstance(threat, Box) else threat.p
        return torch.linalg.vector_norm(change.flatten(1), ord=p, dim=1)


@functools.cache
def case(name: str, norm: str, minimum: bool) -> Case:
    """Return the call of a situation, for a fixed-budget attack or a minimum-norm one."""
    how = SITUATIONS[name]
    features = math.prod(how.shape)
    net = mlp(features, classes=1 if how.one_logit else 3).to(how.dtype)
    generator = torch.Generator().manual_seed(7)
    images = torch.rand(COUNT, *how.shape, generator=generator, dtype=torch.float64)
    # Levels of 8 bits, a fifth of them on the bounds of the range.
    images = ((1.4 * images - 0.2).clamp(0, 1) * 255).round().div(255).to(how.dtype)
    criterion = BinaryLogit() if how.one_logit else Misclassified()
    ids, classes = torch.arange(COUNT), 2 if how.one_logit else 3
    found = Case(net, criterion, Linf(), images, torch.zeros_like(ids), ids)
    labels, _ = found.seen(images)
    labels[0] = (labels[0] + 1) % classes
    targets = (labels + 1) % classes if how.targeted else None
    if targets is not None:
        targets[0] = (labels[0] - 1) % classes  # reached already
    mask = torch.rand(how.shape, generator=generator) < 0.7 if how.masked else None
    shares = torch.tensor([1.0, 0.5, 0.0, 1.5, 2.0, 2.0], dtype=torch.float64)
    budget = BUDGETS[norm] * (4 if how.normalised and norm not in ("L0", "Patches") else 1)
    eps = budget * shares if how.budgets else None
    threat: ThreatModel
    if norm == "Box":
        width = budget * (shares if how.budgets else torch.ones_like(shares)).to(how.dtype)
        width, eps = width.reshape(-1, *[1] * len(how.shape)), None
        threat = Box((images - width).clamp(0, 1), (images + width).clamp(0, 1), samples=True)
    else:
        ball = BALLS[norm]() if minimum else BALLS[norm](budget)
        threat = Rescaled.pixels(ball, MEAN, STD) if how.normalised else ball
    return replace(found, threat=threat, labels=labels, targets=targets, mask=mask, eps=eps)
