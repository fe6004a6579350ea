"""What the penalties cost: a training step with Orthogonal and SpectralNorm against a plain one.

    python benchmarks/penalised_step.py [--device cuda] [--repeats 25] [--threads 1]

`zoo:simple-cnn`, 32×32 images, batch 100, SGD. The steps are run in turn in one process; the ratios
are medians over the rounds, of a step to the plain one of its round. Target: with both penalties at
most 1.3 times the plain step.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.nn import functional

from saddlepoint.defences.orthogonal import Orthogonal
from saddlepoint.defences.spectral import SpectralNorm
from saddlepoint.zoo import build_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    net = build_model("zoo:simple-cnn", classes=10, shape=(3, 32, 32)).to(args.device)
    images = torch.rand(100, 3, 32, 32, device=args.device)
    labels = torch.randint(10, (100,), device=args.device)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-3)
    orthogonal, spectral, reshaped = Orthogonal(), SpectralNorm(), SpectralNorm(operator="reshaped")
    rows = {
        "plain": (),
        "Orthogonal()": (orthogonal,),
        "SpectralNorm()": (spectral,),
        'SpectralNorm(operator="reshaped")': (reshaped,),
        "Orthogonal() and SpectralNorm()": (orthogonal, spectral),
    }
    for penalty in (orthogonal, spectral, reshaped):
        penalty.begin(net, images[:2])

    def step(penalties) -> float:
        synchronise(args.device)
        began = time.perf_counter()
        optimiser.zero_grad()
        functional.cross_entropy(net(images), labels).backward()
        if penalties:
            sum(1e-4 * penalty(net) for penalty in penalties).backward()
        optimiser.step()
        synchronise(args.device)
        return time.perf_counter() - began

    times = {name: [] for name in rows}
    for repeat in range(args.repeats + 2):
        for name, penalties in rows.items():
            seconds = step(penalties)
            if repeat >= 2:  # the first rounds warm up
                times[name].append(seconds)
    print(
        f"simple-cnn, batch 100, {args.device}, {args.threads} threads, torch {torch.__version__}"
    )
    for name, values in times.items():
        median = statistics.median(values)
        ratio = statistics.median(a / b for a, b in zip(values, times["plain"], strict=True))
        print(f"  {name:36} {1000 * median:8.1f} ms   {ratio:5.2f} × plain")
    print("  target for both: ≤ 1.3 × plain")


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
