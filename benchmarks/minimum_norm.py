r"""Distances on the MNIST network of Carlini and Wagner (2017), beside the published ones.

    saddlepoint train --data mnist --model zoo:carlini-mnist \
        --recipe examples/attacks/carlini-mnist.yaml --out runs/mnist
    python benchmarks/minimum_norm.py --run runs/mnist --out runs/minimum-norm [--only cw-l2 deepfool]
    python benchmarks/minimum_norm.py --out runs/minimum-norm --table docs/results/minimum-norm-table.md

Each attack on the first test images, one random target each (the average case) or, with best and
worst, every target; a file of JSON per part of 50 images (of 5, where every target is tried) is
kept in OUT, so that a stopped run goes on. MNIST is found as `--data mnist` finds it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from saddlepoint.attacks import Attack, build_attack
from saddlepoint.data import load_data
from saddlepoint.streams import Keys
from saddlepoint.threat import L0, L1, L2, Linf
from saddlepoint.zoo import build_model, load_weights

PART = 50

# Name: attack, images in the average case (0: untargeted only), images for best and worst.
RUNS: dict[str, tuple[Callable[[], Attack], int, int]] = {
    "cw-l2": (lambda: build_attack("cw-l2", L2(), {"steps": 1000, "searches": 9}), 1000, 50),
    "deepfool": (lambda: build_attack("deepfool", L2()), 1000, 0),
    "cw-l0": (lambda: build_attack("cw-l0", L0()), 100, 0),
    "cw-linf": (lambda: build_attack("cw-linf", Linf()), 100, 0),
    "ead-l1": (lambda: build_attack("ead", L1(), {"steps": 1000, "searches": 9}), 100, 0),
    "jsma-z": (lambda: build_attack("jsma", L0(), {"on": "logits"}), 100, 0),
    "jsma-f": (lambda: build_attack("jsma", L0(), {"on": "probabilities"}), 100, 0),
    "l-bfgs": (lambda: build_attack("l-bfgs", L2()), 100, 0),
}
# Quoted from the papers' tables (1608.04644, 1709.04114), to compare sizes.
PUBLISHED = {
    "cw-l2 average": 1.76, "cw-l2 best": 1.36, "cw-l2 worst": 2.60,
    "cw-l0 average": 16, "cw-linf average": 0.16,
    "deepfool untargeted": 2.11, "ead-l1 average": 14.1,
}  # fmt: skip


def random_targets(labels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Another class for each image, drawn by its index."""
    step = 1 + (9 * Keys(0, ids).uniform((1,))[:, 0]).long().clamp_max(8)
    return (labels + step) % 10


def cases(name: str) -> list[tuple[str, int]]:
    _, average, extremes = RUNS[name]
    if name == "deepfool":
        return [("untargeted", average)]
    return [("average", average)] + ([("every", extremes)] if extremes else [])


def run(name: str, folder: Path, out: Path) -> None:
    data = load_data("mnist", split="test")
    net = build_model("zoo:carlini-mnist", classes=10, shape=(1, 28, 28))
    from saddlepoint.model import Normalised

    net = Normalised(net, data.mean, data.std)
    load_weights(net, folder / "model.safetensors")
    net.eval()
    attack = RUNS[name][0]()
    for case, count in cases(name):
        size = PART // 10 if case == "every" else PART
        for begin in range(0, count, size):
            file = out / f"{name}-{case}-{begin:05d}.json"
            if file.exists():
                continue
            ids = torch.arange(begin, min(begin + size, count))
            images, labels = data.images(ids), data.labels[ids]
            rows: list[dict[str, object]] = []
            for shift in range(1, 10) if case == "every" else (0,):
                targets = {
                    "untargeted": None,
                    "average": random_targets(labels, ids),
                    "every": (labels + shift) % 10,
                }[case]
                began = time.perf_counter()
                result = attack(net, images, labels, targets, ids=ids)
                rows.append(
                    {
                        "seconds": time.perf_counter() - began,
                        "ids": ids.tolist(),
                        "distance": result.distance.tolist(),
                        "l1": l1(result.adversarials, images),
                        "success": result.success.tolist(),
                        "wrong": result.initially_wrong.tolist(),
                        "forwards": result.forwards.tolist(),
                        "backwards": result.backwards.tolist(),
                    }
                )
            file.write_text(json.dumps(rows))
            print(
                f"{name} {case} {begin}: {sum(float(r['seconds']) for r in rows):.0f} s", flush=True
            )


def l1(found: torch.Tensor, images: torch.Tensor) -> list[float]:
    return (found - images).double().abs().flatten(1).sum(1).tolist()


def gathered(out: Path, name: str, case: str) -> list[torch.Tensor] | None:
    """(targets, images) tensors: distance, success, wrong, passes; None where nothing was run."""
    parts = [json.loads(file.read_text()) for file in sorted(out.glob(f"{name}-{case}-*.json"))]
    if not parts:
        return None
    joined = []
    for key in ("distance", "success", "wrong", "forwards", "backwards"):
        rows = [torch.tensor([row[key] for row in part], dtype=torch.float64) for part in parts]
        joined.append(torch.cat(rows, 1))
    return joined


def table(out: Path) -> str:
    lines = [
        "| attack | case | images | success | mean distance | published | passes (forward + backward) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in RUNS:
        for case, _ in cases(name):
            found = gathered(out, name, case)
            if found is None:
                continue
            distance, _, wrong, forwards, backwards = found
            right = ~wrong.any(0).bool() if case != "every" else wrong.sum(0) <= 1
            passes = f"{float(forwards.mean()):.0f} + {float(backwards.mean()):.0f}"
            kinds = {"every": ("best", "worst")}.get(case, (case,))
            for kind in kinds:
                if kind in ("best", "worst"):
                    # Where the class asked for is the model's own, nothing was attacked.
                    d = torch.where(wrong.bool(), torch.nan, distance)[:, right]
                    each = (
                        d.nan_to_num(torch.inf).amin(0)
                        if kind == "best"
                        else d.nan_to_num(0).amax(0)
                    )
                else:
                    each = distance[0, right]
                done = each.isfinite()
                known = PUBLISHED.get(f"{name} {kind}")
                lines.append(
                    f"| {name} | {kind} | {len(each)} | {100 * float(done.double().mean()):.1f} % |"
                    f" {float(each[done].mean()):.4g} | {'–' if known is None else known} | {passes} |"
                )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, help="the folder of the training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=sorted(RUNS), default=[])
    parser.add_argument("--table", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.run is not None:
        for name in args.only or RUNS:
            run(name, args.run, args.out)
    text = table(args.out)
    print(text)
    if args.table is not None:
        args.table.write_text(text)


if __name__ == "__main__":
    main()
