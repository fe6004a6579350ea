"""Does `fast` leave what `standard` leaves, and `standard` what pyautoattack leaves?

    python benchmarks/suite_agreement.py --networks cifar-robust mnist-robust --seeds 0 1 2 \\
        --images 500 --folder runs/verdict --data-root FOLDER --out agreement.json

On the networks of verdict_networks.py, a network, seed and norm at a time: images left standing by each,
the images that one alone leaves, McNemar's test, passes and seconds. pyautoattack is run where it is
installed, and where `--peer` asks.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from verdict_networks import PLANS, SEEDS, network, test_images

from saddlepoint.evaluation import evaluate, mcnemar_test
from saddlepoint.files import write_json
from saddlepoint.threat import L1, L2, Linf, NormBall

# Budgets in L2 and L1 at which a part of the images falls.
OTHERS = {
    "cifar-normal": (0.1, 1.0), "cifar-robust": (0.5, 8.0), "mnist-normal": (1.0, 6.0),
    "mnist-robust": (1.5, 8.0), "mnist-distilled": (1.0, 6.0), "digits-normal": (0.3, 1.0),
    "digits-robust": (0.5, 2.0), "mnist-winners": (0.8, 5.0), "cifar-winners": (0.3, 4.0),
    "mnist-overfit": (1.0, 6.0), "cifar-overfit": (0.5, 8.0),
}  # fmt: skip
NORMS = {"Linf": Linf, "L2": L2, "L1": L1}


class Counted(nn.Module):
    """The model of a peer, which counts the images of its passes each way."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += len(x) * (2 if x.requires_grad else 1)
        logits: Tensor = self.model(x)
        return logits


def threat_of(name: str, norm: str) -> NormBall:
    eps = PLANS[name].eps if norm == "Linf" else OTHERS[name][("L2", "L1").index(norm)]
    return NORMS[norm](eps)


def by_suite(
    model: nn.Module, x: Tensor, y: Tensor, threat: NormBall, suite: str, batch: int
) -> tuple[Tensor, dict[str, Any]]:
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record = evaluate(model, (x.cpu(), y.cpu()), threat, suite=suite, batch_size=batch)
    seconds = time.perf_counter() - began
    who = record.images["fooled_by"].to_pylist()
    left = torch.tensor([each == "" for each in who])
    budget, verdict = record.budgets[0], record.verdict
    assert verdict is not None
    return left, {
        "left": int(left.sum()),
        "passes": budget.forwards + budget.backwards,
        "seconds": seconds,
        "verdict": verdict.judgement,
        "flagged": [each.check for each in verdict.flagged],
        "checks_passes": verdict.passes / len(x),
    }


def by_peer(
    model: nn.Module, x: Tensor, y: Tensor, threat: NormBall, batch: int
) -> tuple[Tensor, dict[str, Any]]:
    library = importlib.import_module("pyautoattack")
    counted = Counted(model)
    theirs = library.AutoAttack(
        counted, norm=threat.norm_name, eps=float(torch.as_tensor(threat.eps)),
        version="standard", device=str(x.device), seed=0,
    )  # fmt: skip
    began = time.perf_counter()
    found = theirs.run_standard_evaluation(x, y, batch_size=batch)
    seconds = time.perf_counter() - began
    adversarials = found[0] if isinstance(found, tuple) else found
    with torch.no_grad():
        left = (model(adversarials).argmax(1) == y).cpu()
    return left, {"left": int(left.sum()), "passes": counted.passes / len(x), "seconds": seconds}


def compared(a: Tensor, b: Tensor) -> dict[str, Any]:
    test = mcnemar_test(a.tolist(), b.tolist())
    equal = float((a == b).double().mean())
    return {"first_alone": test.b, "second_alone": test.c, "p": test.p, "equal": equal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(PLANS), choices=list(PLANS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--norms", nargs="+", default=["Linf"], choices=list(NORMS))
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--only-fast", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/verdict"))
    parser.add_argument("--data-root")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.data_root:
        os.environ["SADDLEPOINT_DATA"] = args.data_root
    found: dict[str, Any] = {}
    for name in args.networks:
        for seed in args.seeds:
            model = network(name, seed, args.folder).to(args.device)
            x, y = (each.to(args.device) for each in test_images(name, args.images))
            for norm in args.norms:
                threat = threat_of(name, norm)
                title = f"{name}, seed {seed}, {threat}"
                fast, told = by_suite(model, x, y, threat, "fast", args.batch)
                row: dict[str, Any] = {"images": len(x), "fast": told}
                cost = f"({told['passes']:.0f} passes, {told['seconds']:.1f} s)"
                line = f"{title:34} fast {told['left']:4} {cost}"
                if not args.only_fast:
                    standard, told = by_suite(model, x, y, threat, "standard", args.batch)
                    row["standard"] = told
                    row["fast against standard"] = both = compared(fast, standard)
                    line += (
                        f" standard {told['left']:4} ({told['passes']:.0f}, {told['seconds']:.1f} s)"
                        f" fast alone {both['first_alone']} standard alone {both['second_alone']}"
                    )
                if args.peer:
                    peer, told = by_peer(model, x, y, threat, args.batch)
                    row["pyautoattack"] = told
                    row["standard against pyautoattack"] = both = compared(standard, peer)
                    line += (
                        f" pyautoattack {told['left']:4} ({told['passes']:.0f}, {told['seconds']:.1f} s)"
                        f" equal {both['equal']:.1%} p {both['p']:.2f}"
                    )
                flagged = row["fast"]["flagged"]
                print(f"{line} {row['fast']['verdict']} {flagged}", flush=True)
                found[title] = row
                if args.out:
                    write_json(args.out, found)


if __name__ == "__main__":
    main()
