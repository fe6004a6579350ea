"""Oracles: for small networks the distance to the nearest adversarial example is known.

A network of affine maps and ReLUs is affine on each cell of an arrangement of hyperplanes. Within a
cell the images of another class are a polyhedron, whose nearest point is the solution of a linear
or quadratic program: `oracle_relu` has the cells, `oracle_polyhedra` the programs, and
`oracle_linear` closed forms for linear networks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from networks import Affine
from oracle_linear import least_distance
from oracle_polyhedra import NORMS, Polyhedron, nearest
from oracle_relu import Cells, relu_net
from torch import Tensor, nn

COUNT = 10


@dataclass(frozen=True)
class Cases:
    """A network, images of it, and how near their nearest adversarial examples are.

    Attributes:
        net: in float64; from (n, d) in [0, 1] to logits.
        images, labels: (n, d) and (n,); the labels are the network's own predictions.
        targets: (n,) a class other than the label.
        optimum: (n,) distances per norm, of any misclassification.
        targeted: (n,) distances per norm to the target; infinity where it is nowhere.
    """

    net: nn.Module
    images: Tensor
    labels: Tensor
    targets: Tensor
    optimum: dict[str, Tensor]
    targeted: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.images)


def halfspace_cases(seed: int) -> Cases:
    """Two classes: the adversarial examples are one convex set, and nothing excuses an attack."""
    return linear_cases(seed, classes=2)


def linear_cases(seed: int, classes: int = 4) -> Cases:
    """Twelve features; most optima lie on bounds of the box."""
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(classes, 12, generator=generator, dtype=torch.float64)
    net = Affine(W, -W.sum(1) / 2)
    b = net.bias.detach()

    def distances(image: Tensor, goal: int, targeted: bool) -> dict[str, float]:
        if not targeted:
            return {norm: least_distance(W, b, image, goal, norm) for norm in NORMS}
        others = [j for j in range(classes) if j != goal]
        above = Polyhedron.of((W[goal] - W[others]).numpy(), (b[others] - b[goal]).numpy())
        return nearest([(above & Polyhedron.box(12)).seen_from(image.numpy())])

    return _solved(net, 12, classes, seed, distances)


def relu_cases(seed: int) -> Cases:
    """Six features, six hidden units, three classes."""
    net = relu_net(6, 6, 3, seed)
    return _solved(net, 6, 3, seed, Cells(net).distances)


ORACLES: dict[str, Callable[[int], Cases]] = {
    "halfspace": halfspace_cases,
    "linear": linear_cases,
    "relu": relu_cases,
}


@functools.cache
def cases(kind: str, networks: int) -> tuple[Cases, ...]:
    """Return the cases of the first seeds of an oracle, ten images each."""
    return tuple(_once(kind, seed) for seed in range(networks))


@functools.cache
def _once(kind: str, seed: int) -> Cases:
    return ORACLES[kind](seed)


def _solved(
    net: nn.Module,
    features: int,
    classes: int,
    seed: int,
    distances: Callable[[Tensor, int, bool], dict[str, float]],
) -> Cases:
    """Draw images, a third of whose features lie on a bound, and solve ten.

    Left out are those that no gradient attack can leave, since their own is exactly zero, and then
    those of smallest margin.
    """
    generator = torch.Generator().manual_seed(1000 + seed)
    images = torch.rand(2 * COUNT, features, generator=generator, dtype=torch.float64)
    images = (1.6 * images - 0.3).clamp(0, 1).requires_grad_()
    values, ranks = net(images).topk(2)
    margins = values[:, 0] - values[:, 1]
    (gradient,) = torch.autograd.grad(margins.sum(), images)
    margins = margins.detach().where(gradient.abs().amax(1) > 0, 0.0)
    rows = margins.argsort(descending=True)[: 3 * COUNT // 2].sort().values[:COUNT]
    images, labels = images.detach()[rows], ranks[rows, 0]
    targets = (labels + torch.randint(1, classes, (COUNT,), generator=generator)) % classes

    def solved(goals: Tensor, targeted: bool) -> dict[str, Tensor]:
        pairs = zip(images, goals.tolist(), strict=True)
        found = [distances(image, goal, targeted) for image, goal in pairs]
        return {
            norm: torch.tensor([each[norm] for each in found], dtype=torch.float64)
            for norm in NORMS
        }

    return Cases(net, images, labels, targets, solved(labels, False), solved(targets, True))
