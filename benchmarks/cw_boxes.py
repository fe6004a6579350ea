r"""C&W's treatments of the range, on images with many and with few features on a bound.

    python benchmarks/cw_boxes.py --out runs/cw-boxes                  # the half a default is chosen on
    python benchmarks/cw_boxes.py --out runs/cw-boxes --half reported  # the other half
    python benchmarks/cw_boxes.py --out runs/cw-boxes --half reported --table FILE

Each half has its own networks, trained here from its own seed, and its own images. One JSON file
per network, norm, number of steps and variant is kept in OUT, so that a stopped run goes on. MNIST
and cifar10-jpeg are found as `--data` finds them; a set that is not there is left out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import (
    Attack,
    CarliniWagnerL0,
    CarliniWagnerL2,
    CarliniWagnerLinf,
)
from saddlepoint.attacks.minimum_norm.carlini_wagner.box import BOXES
from saddlepoint.data import load_data
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L2, Linf

HALVES = ("choosing", "reported")
STEPS = (10, 30, 100, 300)
TRAINED, TESTED = 10_000, 12

Build = Callable[[str, int], Attack]
NORMS: dict[str, Build] = {
    "L2": lambda box, steps: CarliniWagnerL2(L2(), box=box, steps=steps),
    "L2, published search": lambda box, steps: CarliniWagnerL2.published(
        L2(), box=box, steps=steps
    ),
    "L0": lambda box, steps: CarliniWagnerL0(L0(per="pixel"), box=box, steps=steps),
    "Linf": lambda box, steps: CarliniWagnerLinf(Linf(), box=box, steps=steps),
}


def black_and_white(x: Tensor) -> Tensor:
    return (x > 0.5).to(x.dtype)


def grey(x: Tensor) -> Tensor:
    """No feature on a bound."""
    return 0.25 + 0.5 * x


SETS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "digits, black and white": ("digits", black_and_white),
    "digits": ("digits", lambda x: x),
    "digits, grey": ("digits", grey),
    "MNIST": ("mnist", lambda x: x),
    "CIFAR": ("cifar10-jpeg", lambda x: x),
}


def network(channels: int, size: int) -> nn.Sequential:
    if size < 20:
        return nn.Sequential(
            nn.Flatten(), nn.Linear(channels * size**2, 64), nn.ReLU(), nn.Linear(64, 10)
        )
    small = size // 4
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * small**2, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def trained(name: str, half: str) -> tuple[nn.Module, Tensor, Tensor]:
    """The network of a half and its test images, all of them classified correctly."""
    data, change = SETS[name]
    seed = HALVES.index(half)
    train, test = load_data(data, split="train"), load_data(data, split="test")
    rows = torch.arange(min(TRAINED, len(train)))
    x, y = change(train.images(rows)), train.labels[rows]
    torch.manual_seed(seed)
    net = network(x.shape[1], x.shape[2])
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(15 if len(x) < 5000 else 4):
        for i in torch.randperm(len(x)).split(64):
            adam.zero_grad()
            functional.cross_entropy(net(x[i]), y[i]).backward()
            adam.step()
    net.eval().requires_grad_(False)
    middle = len(test) // 2
    rows = torch.arange(middle) if half == "choosing" else torch.arange(middle, len(test))
    x, y = change(test.images(rows[:600])), test.labels[rows[:600]]
    right = (net(x).argmax(1) == y).nonzero()[:TESTED, 0]
    return net, x[right], y[right]


def run(out: Path, half: str, names: list[str], norms: list[str], boxes: list[str]) -> None:
    for name in names:
        try:
            net, x, y = trained(name, half)
        except InputError as error:
            print(f"{name} left out: {error}")
            continue
        bound = float(((x == 0) | (x == 1)).float().mean())
        for norm in norms:
            for steps in STEPS:
                for box in boxes:
                    file = out / f"{half}-{name}-{norm}-{steps}-{box}.json"
                    if file.exists():
                        continue
                    began = time.perf_counter()
                    result = NORMS[norm](box, steps)(net, x, y)
                    record = {
                        "seconds": time.perf_counter() - began,
                        "on_a_bound": bound,
                        "distance": result.distance.tolist(),
                        "passes": (result.forwards + result.backwards).tolist(),
                    }
                    file.write_text(json.dumps(record))
                    d = result.distance
                    print(
                        f"{name} {norm} {steps} {box}: {float(result.success_rate):.2f}"
                        f" {float(d[d.isfinite()].mean()):.4f}"
                        f" {float((result.forwards + result.backwards).double().mean()):.0f} passes"
                        f" {record['seconds']:.1f} s",
                        flush=True,
                    )


def table(out: Path, half: str, boxes: list[str]) -> str:
    """Success, mean distance over the images that every treatment fooled, and passes both ways."""
    lines = [
        "| images (share of features on a bound) | norm | steps | "
        + " | ".join(boxes) + " |",
        "|---|---|---|" + "---|" * len(boxes),
    ]  # fmt: skip
    for name in SETS:
        for norm in NORMS:
            for steps in STEPS:
                files = [out / f"{half}-{name}-{norm}-{steps}-{each}.json" for each in boxes]
                if not all(file.exists() for file in files):
                    continue
                records = [json.loads(file.read_text()) for file in files]
                distance = torch.tensor([r["distance"] for r in records], dtype=torch.float64)
                common = distance.isfinite().all(0)
                cells = []
                for record, d in zip(records, distance, strict=True):
                    mean = f"{float(d[common].mean()):.4g}" if bool(common.any()) else "–"
                    passes = torch.tensor(record["passes"]).double().mean()
                    cells.append(
                        f"{100 * float(d.isfinite().double().mean()):.0f} %, {mean} ({passes:.0f})"
                    )
                share = f"{name} ({100 * records[0]['on_a_bound']:.0f} %)"
                lines.append(f"| {share} | {norm} | {steps} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--half", choices=HALVES, default=HALVES[0])
    parser.add_argument("--only", nargs="*", default=list(SETS))
    parser.add_argument("--norms", nargs="*", default=list(NORMS))
    parser.add_argument("--boxes", nargs="*", default=list(BOXES))
    parser.add_argument("--table", type=Path)
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    run(words.out, words.half, words.only, words.norms, words.boxes)
    text = table(words.out, words.half, words.boxes)
    print(text)
    if words.table:
        words.table.write_text(text)


if __name__ == "__main__":
    main()
