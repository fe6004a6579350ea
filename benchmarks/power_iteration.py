"""How near power iteration comes to the largest singular value, and how well it follows a training.

    python benchmarks/power_iteration.py

1. Cold: the relative error after N iterations against the SVD of the dense matrix, from a random
   start, from ones, and as the report prints it (both vectors updated with the old ones).
2. Warm: one iteration per training step of a small CNN on digits, the error at the step's weights.
"""

from __future__ import annotations

import statistics

import torch
from torch import nn
from torch.nn import functional

from saddlepoint.data import load_data
from saddlepoint.defences.linear_operator import dense_operator, layer_operator
from saddlepoint.defences.power_iteration import iterate
from saddlepoint.defences.spectral import SpectralNorm
from saddlepoint.zoo.simple_cnn import SimpleCNN

ITERATIONS = (1, 2, 5, 10, 20, 50, 100, 500)
DRAWS = 10


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layers = {
        "Linear 64→32": (nn.Linear(64, 32), None),
        "Conv 3→8, 5×5, 16×16": (nn.Conv2d(3, 8, 5, padding=2), (3, 16, 16)),
        "the same, reshaped": (nn.Conv2d(3, 8, 5, padding=2), None),
        "Conv 8→8, 3×3, stride 2, 16×16": (nn.Conv2d(8, 8, 3, stride=2, padding=1), (8, 16, 16)),
        "Conv 4→4, 3×3, circular, 12×12": (
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
            (4, 12, 12),
        ),
    }
    print(f"1. relative error of σ in %, cold, after N iterations (worst of {DRAWS} starts)\n")
    print("| layer | start | " + " | ".join(map(str, ITERATIONS)) + " |")
    print("|---|---|" + "---:|" * len(ITERATIONS))
    for name, (layer, shape) in layers.items():
        for start in ("random", "ones", "ones, as published"):
            cells = " | ".join(f"{error:.2g}" for error in cold(layer.double(), shape, start))
            print(f"| {name} | {start} | {cells} |")
    print("\n2. relative error in % while training, one iteration per step: median / worst layer\n")
    steps = (0, 1, 5, 10, 20, 50, 100, 200)
    print("| SGD | " + " | ".join(f"step {s}" for s in steps) + " |")
    print("|---|" + "---:|" * len(steps))
    for rate, momentum in ((0.001, 0.0), (0.1, 0.0), (0.01, 0.9), (0.1, 0.9)):
        errors = warm(rate, momentum, steps)
        cells = " | ".join(f"{statistics.median(e):.2f} / {max(e):.2f}" for e in errors)
        print(f"| learning rate {rate:g}, momentum {momentum:g} | {cells} |")


def cold(layer: nn.Module, shape, start: str) -> list[float]:
    """Return the worst error in per cent after each number of iterations."""
    kind = "conv" if shape or isinstance(layer, nn.Linear) else "reshaped"
    operator, weight = layer_operator(layer, shape, kind), layer.weight.detach()
    truth = float(torch.linalg.matrix_norm(dense_operator(layer, shape, kind), 2))
    worst = [0.0] * len(ITERATIONS)
    for draw in range(DRAWS if start == "random" else 1):
        generator = torch.Generator().manual_seed(draw)
        make = torch.ones if start != "random" else torch.randn
        options = {"generator": generator} if start == "random" else {}
        u = make(operator.output_shape, dtype=torch.float64, **options)
        v = make(operator.input_shape, dtype=torch.float64, **options)
        done = 0
        for i, iterations in enumerate(ITERATIONS):
            published = start.endswith("published")
            u, v = iterate(operator, weight, u, v, iterations - done, as_published=published)
            done = iterations
            sigma = abs(float((u * operator.apply(weight, v)).sum()))
            worst[i] = max(worst[i], 100 * abs(sigma / truth - 1))
    return worst


def warm(rate: float, momentum: float, steps: tuple[int, ...]) -> list[list[float]]:
    """Return the error in per cent of every layer at each of the steps."""
    torch.manual_seed(0)
    data = load_data("digits", split="train", limit=1024)
    net = SimpleCNN(classes=10, channels=1, size=8, widths=(8, 16), hidden=(32,))
    penalty = SpectralNorm()
    penalty.begin(net, data.pixels[:2])
    shapes = {"blocks.block1.conv": (1, 8, 8), "blocks.block2.conv": (8, 4, 4)}
    optimiser = torch.optim.SGD(net.parameters(), lr=rate, momentum=momentum)
    found = []
    for step in range(max(steps) + 1):
        if step in steps:
            found.append([])
            for name, sigma in penalty.singular_values(net).items():
                dense = dense_operator(net.get_submodule(name), shapes.get(name))
                truth = float(torch.linalg.matrix_norm(dense.double(), 2))
                found[-1].append(100 * abs(sigma / truth - 1))
        rows = torch.arange(step * 32, step * 32 + 32) % len(data)
        optimiser.zero_grad()
        functional.cross_entropy(net(data.pixels[rows]), data.labels[rows]).backward()
        (1e-3 * penalty(net)).backward()
        optimiser.step()
    return found


if __name__ == "__main__":
    main()
