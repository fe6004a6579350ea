"""What quantised training costs: a step of the quantised network against one of the plain network.

    python benchmarks/quantised_step.py [--device cuda] [--repeats 15] [--gradient lsq]

The CNN of the nine-defences report on 32×32 images, batch 100, cross-entropy and SGD: forward,
backward, update. The two are run in turn in one process, after a warm-up of each; the ratio is that
of the medians. The target is ≤ 1.3.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from saddlepoint.defences.activations import ACTIVATIONS
from saddlepoint.defences.quantisation import calibrate, quantise
from saddlepoint.zoo import build_model

BATCH = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--activation", choices=ACTIVATIONS, default="dtrelu")
    parser.add_argument("--gradient", choices=("report", "lsq"), default="report")
    parser.add_argument("--per-channel", action="store_true")
    args = parser.parse_args()
    device = torch.device(args.device)
    images = torch.rand(BATCH, 3, 32, 32, device=device)
    labels = torch.randint(10, (BATCH,), device=device)

    plain = network(device)
    changed = quantise(
        network(device), args.bits, args.bits, args.activation, args.per_channel, args.gradient
    )
    calibrate(changed, images)
    steps = {"plain": step_of(plain, images, labels), "quantised": step_of(changed, images, labels)}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(args.repeats + 2):
        for name, step in steps.items():
            seconds = timed(step, device)
            if repeat >= 2:
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    threads = torch.get_num_threads()
    print(f"zoo:simple-cnn, batch {BATCH}, {device}, {threads} threads, torch {torch.__version__}")
    for name, seconds in medians.items():
        print(f"  {name:10} {1000 * seconds:8.1f} ms a step")
    ratio = medians["quantised"] / medians["plain"]
    print(f"  quantised / plain = {ratio:.3f}   (target ≤ 1.3)")


def network(device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    return build_model("zoo:simple-cnn", classes=10, shape=(3, 32, 32)).to(device).train()


def step_of(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        functional.cross_entropy(model(images), labels).backward()
        optimiser.step()

    return step


def timed(step: Callable[[], None], device: torch.device) -> float:
    synchronise(device)
    began = time.perf_counter()
    step()
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
