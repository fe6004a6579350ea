"""What a masked autoencoder's step costs: against the full encoder's, in time and in MACs.

    python benchmarks/generative_mae.py [--device cuda] [--repeats 25] [--threads 1]

`zoo:vit-micro` with patches of 4 on 28×28 images, batch 128, 75 % hidden. Three forward and backward
passes are run in turn in one process: the encoder on all patches, the encoder on the visible ones, and
the whole autoencoder with its decoder of two blocks of 64. Ratios are medians over the rounds, beside
those of the MACs. Target: the ratio of times of the encoder within 15 % of that of its MACs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from saddlepoint.zoo import (
    MAEDecoder,
    MaskedAutoencoder,
    build_model,
    masks,
    reconstruction_losses,
)

BATCH, RATIO, GRID = 128, 0.75, (7, 7)


def masked_steps(device: str = "cpu", repeats: int = 25) -> dict[str, tuple[float, float]]:
    """Return the ratios, (of times, of MACs), of each pass to that of the encoder on all patches."""
    torch.manual_seed(0)
    net = build_model("zoo:vit-micro", classes=10, shape=(1, 28, 28)).to(device)
    mae = MaskedAutoencoder(net, MAEDecoder(net)).to(device)
    images = torch.rand(BATCH, 1, 28, 28, device=device)
    hidden = masks("random", torch.arange(BATCH, device=device), GRID, RATIO, seed=0)
    visible = hidden.to(torch.uint8).argsort(dim=1, stable=True)[:, : int((~hidden[0]).sum())]
    passes: dict[str, Callable[[], Tensor]] = {
        "encoder, all patches": lambda: net.encoded(net.embedded(images), GRID).mean(),
        "encoder, visible patches": lambda: net.encoded(net.embedded(images), GRID, visible).mean(),
        "autoencoder": lambda: reconstruction_losses(
            mae(images, hidden), mae.targets(images), hidden
        ).mean(),
    }
    macs = {name: _macs(each) for name, each in passes.items()}
    rounds = []
    for number in range(repeats + 1):
        seconds = {name: _seconds(each, device) for name, each in passes.items()}
        rounds += [seconds] if number else []  # the first warms up
    first = next(iter(passes))
    return {
        name: (
            statistics.median(each[name] / each[first] for each in rounds),
            macs[name] / macs[first],
        )
        for name in passes
    }


def _macs(run: Callable[[], Tensor]) -> int:
    with FlopCounterMode(display=False) as counter:
        run().backward()
    return int(counter.get_total_flops()) // 2


def _seconds(run: Callable[[], Tensor], device: str) -> float:
    _wait(device)
    began = time.perf_counter()
    run().backward()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name, (times, macs) in masked_steps(args.device, args.repeats).items():
        print(f"{name:26} time {times:.3f}  MACs {macs:.3f}  quotient {times / macs:.2f}")


if __name__ == "__main__":
    main()
