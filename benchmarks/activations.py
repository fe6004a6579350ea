"""The quantised activations: fits to ReLU, levels left, time against size (figures 11 and 12).

    python benchmarks/activations.py [--steps 2000] [--bits 3] [--out docs/images]

Each activation, and the un-averaged control, is fitted to ReLU by gradient descent on normal data
and on two narrow clusters; a level is left where it is 0.01 away from the others and at least 0.1 %
of the data is nearest to it. With --out the figures are written as
`activations-fit.png`, `activations-fit-clusters.png` and `activations-time.png`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from saddlepoint.files import write
from saddlepoint.reports.study.drawings.activations import (
    activation_fit_figure,
    activation_time_figure,
    activation_times,
    fit_activations,
)
from saddlepoint.reports.style import figure_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--bits", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="a folder for the figures")
    args = parser.parse_args()
    figures = {}
    for data in ("normal", "clusters"):
        began = time.perf_counter()
        fits = fit_activations(args.steps, args.bits, args.seed, data)
        seconds = time.perf_counter() - began
        print(f"{data} data, {args.steps} steps, {2**args.bits} levels ({seconds:.1f} s)")
        print(f"  {'activation':18} {'left':>4} {'error':>9}  levels")
        for name, fit in fits.items():
            levels = " ".join(f"{value:.2f}" for value in fit.levels[:16])
            print(f"  {name:18} {fit.left:4} {fit.error:9.5f}  {levels}")
        suffix = "" if data == "normal" else f"-{data}"
        figures[f"activations-fit{suffix}.png"] = activation_fit_figure(fits)

    times = activation_times(repeats=args.repeats)
    print(f"forward and backward in ms, 16 levels, {torch.get_num_threads()} threads")
    print(f"  {'entries':18} " + " ".join(f"{size:>10,}" for size in times.sizes))
    for name, seconds in times.seconds.items():
        print(f"  {name:18} " + " ".join(f"{1000 * each:10.3f}" for each in seconds))
    figures["activations-time.png"] = activation_time_figure(times)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            print(write(args.out / name, figure_bytes(figure)))


if __name__ == "__main__":
    main()
