"""`hard` on boxes of the verification competition that are known to hold a counterexample.

    python benchmarks/hard_boxes.py FOLDER [--seconds 600] [--seeds 3]

FOLDER holds the networks (ONNX, read by onnx2torch) and the boxes (VNN-LIB) of VNN-COMP 2021.
Counterexamples are checked again in float64. Beside it: PGD and APGD with many restarts.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import re
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from saddlepoint.attacks import APGD, PGD, Attack, AttackResult, Hard
from saddlepoint.threat import Box


@dataclass(frozen=True)
class Instance:
    """A network, a box, and what a counterexample is: another class than `label`, or the target."""

    network: str
    box: str
    shape: tuple[int, ...]
    label: int
    target: int | None = None
    found: bool = True


INSTANCES = (
    Instance("mnist-net_256x2.onnx", "prop_0_0.05.vnnlib", (784,), 8),
    Instance(
        "cifar10_medium.onnx",
        "networkcifar10_medium_index2317_eps0.012_target6_orig5.vnnlib",
        (32, 32, 3),
        5,
        6,
    ),
    Instance("mnist-net_256x2.onnx", "prop_1_0.03.vnnlib", (784,), 1, found=False),
)
_BOUND = re.compile(r"\(assert \((<=|>=) X_(\d+) ([-+.\deE]+)\)\)")


def read_network(path: Path) -> nn.Module:
    """Return the network of an ONNX file."""
    onnx, convert = importlib.import_module("onnx"), importlib.import_module("onnx2torch").convert
    network: nn.Module = convert(onnx.load(str(path)))
    return network.eval()


def read_box(path: Path) -> tuple[Tensor, Tensor]:
    """Return the lower and the upper bounds of a VNN-LIB file."""
    bounds: dict[str, dict[int, float]] = {"<=": {}, ">=": {}}
    for side, number, value in _BOUND.findall(path.read_text()):
        bounds[side][int(number)] = float(value)
    low, high = (
        torch.tensor([each[i] for i in range(len(each))]) for each in (bounds[">="], bounds["<="])
    )
    return low, high


def margin(instance: Instance, net: nn.Module, x: Tensor) -> float:
    """Return by how much a point is a counterexample, in float64; 0 is a tie, which is one."""
    logits = copy.deepcopy(net).double()(x.double())[0]
    if instance.target is None:
        others = torch.cat([logits[: instance.label], logits[instance.label + 1 :]])
        return float(others.max() - logits[instance.label])
    others = torch.cat([logits[: instance.target], logits[instance.target + 1 :]])
    return float(logits[instance.target] - others.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    warnings.simplefilter("ignore")
    for instance in INSTANCES:
        net = read_network(words.folder / instance.network)
        low, high = (each.reshape(instance.shape) for each in read_box(words.folder / instance.box))
        threat, x = Box(low, high), ((low + high) / 2)[None]
        label = torch.tensor([instance.label])
        target = None if instance.target is None else torch.tensor([instance.target])
        known = "holds a counterexample" if instance.found else "is proved to hold none"
        print(f"{instance.box}: {known}")
        limit = words.seconds if instance.found else min(words.seconds, 60.0)
        attacks: dict[str, Attack] = {
            "PGD-100 × 10": PGD(threat, steps=100, restarts=10),
            "APGD-300 × 20": APGD(threat, steps=300, restarts=20, loss="margin"),
            "hard": Hard(threat, seconds=limit),
        }
        for name, attack in attacks.items():
            for seed in range(words.seeds):
                began = time.perf_counter()
                result: AttackResult = attack(net, x, label, target, seed=seed)
                z, seconds = result.adversarials, time.perf_counter() - began
                inside = bool(((z[0] >= low) & (z[0] <= high)).all())
                print(
                    f"  {name:16} seed {seed}: {'found' if bool(result.success) else 'nothing':8}"
                    f" {seconds:7.1f} s, margin in float64 {margin(instance, net, z):+.4f},"
                    f" inside {inside}, passes {int(result.forwards)}/{int(result.backwards)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
