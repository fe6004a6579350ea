"""What the suite "minimum-norm" leaves at twenty budgets beside "fast" at each, and what each costs.

    python benchmarks/curve.py --networks mnist-pgd cifar-robust --half "held out" \\
        --folder FOLDER --norms Linf L2 L1 L0 --out curve.json

On networks of optimality_networks.py (trained where no file is found), images that they get right. The
budgets are evenly spaced, up to the distance that all but one in twenty-five are within. "fast" is run
at each on what it left at the one below, as an evaluation does, and at the middle one alone on all
images: that is what costs are compared with.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from attack_networks import Subject
from optimality_networks import PLANS, subject
from torch import Tensor

from saddlepoint.attacks import Attack
from saddlepoint.evaluation import build_suite
from saddlepoint.evaluation.once import reached
from saddlepoint.files import write_json
from saddlepoint.threat import L0, L1, L2, Linf, NormBall

NORMS: dict[str, type[NormBall]] = {"Linf": Linf, "L2": L2, "L1": L1, "L0": L0}
BUDGETS = 20
_REACHED = 0.96  # of the images, at the largest budget
_BLOCK = 50  # images at once, for all alike


@dataclass(frozen=True, eq=False)
class Cost:
    """What something took: forward and backward passes an image, and processor seconds."""

    passes: float
    seconds: float

    def json(self) -> dict[str, float]:
        """Return both by name."""
        return {"passes": self.passes, "seconds": self.seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(PLANS), choices=list(PLANS))
    parser.add_argument("--half", default="held out")
    parser.add_argument("--norms", nargs="+", default=list(NORMS), choices=list(NORMS))
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--skip", type=int, default=0, help="Images of the test set to leave out.")
    parser.add_argument("--folder", type=Path, default=Path("runs/optimality"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for network in args.networks:
        net = subject(network, args.half, args.folder)
        images, labels = right_images(net, args.images, args.skip)
        for norm in args.norms:
            title = f"{norm}, {net.name}"
            found[title] = row = measure(net, NORMS[norm], images, labels)
            show(title, row)
            if args.out:
                write_json(args.out, found)


def right_images(net: Subject, count: int, skip: int) -> tuple[Tensor, Tensor]:
    """Return the first images after `skip` that the network gets right."""
    images, labels = net.images[skip:], net.labels[skip:]
    with torch.no_grad():
        right = (net.model(images).argmax(1) == labels).nonzero().squeeze(1)[:count]
    return images[right], labels[right]


def measure(net: Subject, norm: type[NormBall], images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return what both suites leave at every budget, and their costs."""
    nearest = torch.full((len(images),), torch.inf, dtype=torch.float64)
    suite, ids = build_suite("minimum-norm", norm(1.0)), torch.arange(len(images))
    passes = seconds = 0.0
    for attack in suite.values():
        distance, _, cost = attacked(net, attack, images, labels, ids)
        nearest = torch.minimum(nearest, distance)
        passes, seconds = passes + cost.passes, seconds + cost.seconds
    largest = float(nearest.sort().values[int(_REACHED * len(images))])
    if math.isinf(largest):
        largest = float(nearest[nearest.isfinite()].max())
    steps = range(1, BUDGETS + 1)
    eps = [largest * step / BUDGETS for step in steps]
    if norm is L0:
        eps = sorted({float(max(1, math.ceil(each))) for each in eps})
    middle = eps[(len(eps) - 1) // 2]
    alone = by_fast(net, norm(middle), images, labels, torch.arange(len(images)))
    standing, rows, whole = torch.arange(len(images)), [], 0.0
    for each in eps:
        standing, cost = by_fast(net, norm(each), images, labels, standing)
        whole += cost.seconds
        mine = int((~reached(norm(each), nearest)).sum())
        rows.append({"eps": each, "minimum-norm": mine, "fast": len(standing)})
    return {
        "images": len(images),
        "budgets": rows,
        "minimum-norm": Cost(passes, seconds).json(),
        "fast at the middle": {"eps": middle, "left": len(alone[0]), **alone[1].json()},
        "fast at all, seconds": whole,
    }


def by_fast(
    net: Subject, threat: NormBall, images: Tensor, labels: Tensor, standing: Tensor
) -> tuple[Tensor, Cost]:
    """Return which of the images `standing` the suite leaves, and the cost per image of them."""
    passes = seconds = 0.0
    before = max(len(standing), 1)
    for attack in build_suite("fast", threat).values():
        if not len(standing):
            break
        _, fooled, cost = attacked(net, attack, images[standing], labels[standing], standing)
        passes += cost.passes * len(standing) / before
        seconds += cost.seconds
        standing = standing[~fooled]
    return standing, Cost(passes, seconds)


def attacked(
    net: Subject, attack: Attack, images: Tensor, labels: Tensor, ids: Tensor
) -> tuple[Tensor, Tensor, Cost]:
    """Return the distances of what fools, which images are fooled, and the cost."""
    distances, fooled, passes = [], [], 0
    began = time.process_time()
    for rows in torch.split(torch.arange(len(images)), _BLOCK):
        result = attack(net.model, images[rows], labels[rows], ids=ids[rows])
        distances.append(torch.where(result.success, result.distance, torch.inf).double())
        fooled.append(result.success)
        passes += int((result.forwards + result.backwards).sum())
    cost = Cost(passes / len(images), time.process_time() - began)
    return torch.cat(distances), torch.cat(fooled), cost


def show(title: str, row: dict[str, Any]) -> None:
    """Print the row."""
    rows, mine, middle = row["budgets"], row["minimum-norm"], row["fast at the middle"]
    more = [each["minimum-norm"] - each["fast"] for each in rows]
    print(f"\n{title}: {row['images']} images, eps {rows[0]['eps']:.4g} to {rows[-1]['eps']:.4g}")
    for name in ("minimum-norm", "fast"):
        print(f"  {name:14}" + " ".join(f"{each[name]:4}" for each in rows))
    ratios = " and ".join(
        f"{mine[k]:.1f} over {middle[k]:.1f} ({mine[k] / middle[k]:.2f})" for k in mine
    )
    print(
        f"  at most {max(more)} more, in sum {sum(more)}; passes and seconds {ratios}; fast at all"
        f" {row['fast at all, seconds']:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
