"""How near power iteration comes to the largest singular value, and how well it follows a training.

    python benchmarks/power_iteration.py

1. Cold: the relative error after N iterations against the SVD of the dense matrix, from a random
   start, from ones, and as the nine-defences report prints it (both vectors updated with the old
   ones).
2. Warm: one iteration per training step, the error of the σ that the penalty has at that step. By
   power iteration (one vector) and with more vectors; on digits, and on random images and labels.
3. What they cost: the time of the penalty and its gradient for `zoo:simple-cnn` at 32×32.
"""

from __future__ import annotations

import math
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

from saddlepoint.data import load_data
from saddlepoint.defences.linear_operator import dense_operator, layer_operator
from saddlepoint.defences.power_iteration import iterate
from saddlepoint.defences.spectral import SpectralNorm
from saddlepoint.zoo import build_model
from saddlepoint.zoo.simple_cnn import SimpleCNN

ITERATIONS = (1, 2, 5, 10, 20, 50, 100, 500)
DRAWS = 10
VECTORS = (1, 2, 4, 7, None)  # None: the default
OPTIMISERS = {
    "SGD 0.001": lambda p: torch.optim.SGD(p, 0.001),
    "SGD 0.1": lambda p: torch.optim.SGD(p, 0.1),
    "SGD 0.05, momentum 0.9, decay 5e-4": lambda p: torch.optim.SGD(
        p, 0.05, momentum=0.9, weight_decay=5e-4
    ),
    "SGD 0.1, momentum 0.9": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "Adam 0.001": lambda p: torch.optim.Adam(p, 1e-3),
}


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
    print("\n2. relative error in %, worst layer: after 100 steps (largest from step 20 to 120)\n")
    print("| vectors: | | " + " | ".join(f"{k or 'default'}" for k in VECTORS) + " |")
    print("|---|---|" + "---:|" * len(VECTORS))
    for images, seeds in (("digits", 2), ("random", 3)):
        for name in OPTIMISERS if images == "digits" else list(OPTIMISERS)[2:]:
            runs = [warm(images, name, seed) for seed in range(seeds)]
            worst = [
                [max(each) for each in zip(*pair, strict=True)] for pair in zip(*runs, strict=True)
            ]
            cells = " | ".join(f"{last:.2f} ({most:.2f})" for last, most in worst)
            print(f"| {images}, {seeds} seeds | {name} | {cells} |")
    print("\n3. ms for the penalty and its gradient, simple-cnn at 32×32\n")
    print("| vectors | " + " | ".join(f"{k or 'default'}" for k in VECTORS) + " |")
    print("|---|" + "---:|" * len(VECTORS))
    print("| SpectralNorm | " + " | ".join(f"{cost(k):.1f}" for k in VECTORS) + " |")


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


def warm(images: str, optimiser: str, seed: int) -> list[tuple[float, float]]:
    """Return the error in per cent, for each number of vectors, at step 100 and the largest."""
    torch.manual_seed(seed)
    if images == "digits":
        data = load_data("digits", split="train", limit=1024)
        pixels, labels = data.pixels, data.labels
    else:
        pixels, labels = torch.rand(256, 3, 16, 16), torch.randint(10, (256,))
    channels, side = pixels.shape[1], pixels.shape[-1]
    net = SimpleCNN(10, channels, side, widths=(8, 16), hidden=(32,))
    shapes = {"blocks.block1.conv": (channels, side, side)}
    shapes["blocks.block2.conv"] = (8, side // 2, side // 2)
    penalties = [SpectralNorm(vectors=k) for k in VECTORS]
    for each in penalties:
        each.begin(net, pixels[:2])
    adjust = OPTIMISERS[optimiser](net.parameters())
    usual, found = VECTORS.index(None), []  # the one that is trained with
    for step in range(121):
        if step >= 20 and step % 10 == 0:
            estimates = [each.singular_values(net) for each in penalties]
            true = {
                n: top(dense_operator(net.get_submodule(n), shapes.get(n))) for n in estimates[0]
            }
            found.append([100 * max(abs(e[n] / true[n] - 1) for n in true) for e in estimates])
        values = [each(net) for each in penalties]
        rows = torch.arange(step * 32, step * 32 + 32) % len(pixels)
        adjust.zero_grad()
        loss = functional.cross_entropy(net(pixels[rows]), labels[rows])
        (loss + 1e-3 * values[usual]).backward()
        adjust.step()
    return [(errors[8], max(errors)) for errors in zip(*found, strict=True)]


def top(dense: torch.Tensor) -> float:
    """Return the largest singular value by the smaller Gram matrix, in float64."""
    dense = (dense if len(dense) < dense.shape[1] else dense.T).double()
    return math.sqrt(float(torch.linalg.eigvalsh(dense @ dense.T)[-1]))


def cost(vectors: int | None, repeats: int = 15) -> float:
    """Return the median time in milliseconds."""
    net, penalty = (
        build_model("zoo:simple-cnn", classes=10, shape=(3, 32, 32)),
        SpectralNorm(vectors=vectors),
    )
    penalty.begin(net, torch.zeros(1, 3, 32, 32))
    times = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        penalty(net).backward()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times[2:])


if __name__ == "__main__":
    main()
