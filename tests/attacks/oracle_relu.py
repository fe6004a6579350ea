"""The oracle of networks with one hidden layer of ReLUs: one polyhedron per cell and class."""

from __future__ import annotations

import torch
from oracle_polyhedra import Polyhedron, nearest
from torch import Tensor, nn


class Cells:
    """The linear pieces of Z(v) = C·relu(A·v + a) + c over the unit box.

    `pieces` has (cell, W, b) with Z = W·v + b on the cell.
    """

    def __init__(self, net: nn.Sequential) -> None:
        hidden, out = (layer for layer in net if isinstance(layer, nn.Linear))
        A, a, C, c = (
            p.detach().double().numpy() for p in (hidden.weight, hidden.bias, out.weight, out.bias)
        )
        cells = [((), Polyhedron.box(A.shape[1]))]
        for unit in range(len(A)):  # each unit cuts the cells that it passes through in two
            row, offset = A[unit : unit + 1], -a[unit : unit + 1]
            sides = (1.0, Polyhedron.of(row, offset)), (0.0, Polyhedron.of(-row, -offset))
            halves = (
                ((*pattern, on), cell & side) for pattern, cell in cells for on, side in sides
            )
            cells = [(pattern, cell) for pattern, cell in halves if not cell.empty]
        self._regions: dict[tuple[int, bool], list[Polyhedron]] = {}
        self.pieces = [(cell, (C * pattern) @ A, (C * pattern) @ a + c) for pattern, cell in cells]

    def regions(self, goal: int, targeted: bool = False) -> list[Polyhedron]:
        """Return polyhedra that together are the points classified otherwise than as `goal` (or as
        `goal`, where it is the target), ties included.
        """
        found = []
        for cell, W, b in self.pieces:
            others = [j for j in range(len(W)) if j != goal]
            above = Polyhedron.of(W[others] - W[goal], b[goal] - b[others])
            if targeted:
                found.append(cell & Polyhedron(-above.rows, -above.offsets))
            else:
                halves = zip(above.rows, above.offsets, strict=True)
                found += [cell & Polyhedron(row[None], offset[None]) for row, offset in halves]
        return [each for each in found if not each.empty]

    def distances(self, image: Tensor, goal: int, targeted: bool = False) -> dict[str, float]:
        """Return the least distances at which an adversarial example exists, infinity for none."""
        if (goal, targeted) not in self._regions:
            self._regions[goal, targeted] = self.regions(goal, targeted)
        x = image.double().numpy()
        return nearest([each.seen_from(x) for each in self._regions[goal, targeted]])


def relu_net(features: int, hidden: int, classes: int, seed: int) -> nn.Sequential:
    """A random network; most of its units bend somewhere within the unit box."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    net = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes)).double()
    points = torch.rand(500, features, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        net[0].weight.copy_(normal(hidden, features))
        bends = 2 * points[:hidden] - 0.5  # in the box or around it
        net[0].bias.copy_(-(net[0].weight * bends).sum(1))
        net[2].weight.copy_(normal(classes, hidden))
        net[2].bias.zero_()
        net[2].bias.copy_(-net(points).mean(0))  # no class wins everywhere
    return net
