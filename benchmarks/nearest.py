"""Distances of every minimum-norm attack on three small networks, kept to be compared.

    python benchmarks/nearest.py OUT [--images 8] [--steps 300] [--networks DIR]
    python benchmarks/nearest.py OUT --against OTHER

The first form trains the networks, or reads them from DIR where an earlier run left them (two
CIFAR-shaped ones, trained adversarially at 4/255 and normally on few images, and the MNIST network
of Carlini and Wagner), and writes the distances and the seconds of each attack to OUT, a JSON file.
With another version of the library on the path it writes what that one finds; the second form
compares two such files by local optimality against the smallest distances in either.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import nn

from saddlepoint.attacks import PGD, build_attack
from saddlepoint.data import ImageData, load_data
from saddlepoint.defences import AdversarialTraining, Optimiser, Recipe
from saddlepoint.evaluation import local_optimality, smallest_distances
from saddlepoint.model import Normalised
from saddlepoint.threat import L0, L1, L2, Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model
from saddlepoint.zoo.simple_cnn import SimpleCNN

NETWORKS = ("robust", "standard", "mnist")
NORMS = {
    "L0": (L0(), ("fmn", "sigma-zero", "pdpgd", "jsma", "cw-l0")),
    "L1": (L1(), ("fmn", "pdpgd", "alma", "ead", "fab")),
    "L2": (
        L2(),
        ("deepfool", "ddn", "fmn", "pdgd", "pdpgd", "alma", "fab", "cw-l2", "l-bfgs"),
    ),
    "Linf": (Linf(), ("deepfool", "fmn", "pdpgd", "fab", "cw-linf")),
}
# A step of these costs many passes, or is no step of a loop at all.
COSTLY = {"fab": 10, "ead": 9, "cw-l2": 9, "cw-linf": 9, "l-bfgs": 9}
FREE = ("deepfool", "jsma", "cw-l0")


def network(name: str, folder: Path) -> tuple[nn.Module, ImageData]:
    """Return the network of that name, trained where its file is not there, and test images."""
    data = load_data("mnist" if name == "mnist" else "cifar10-jpeg", split="train", limit=8000)
    test = load_data(data.name, split="test", limit=400)
    torch.manual_seed(0)
    if name == "mnist":
        net = build_model("zoo:carlini-mnist", classes=10, shape=data.shape)
    else:
        wide = {"widths": (16, 32, 64), "kernel": 3, "hidden": (128,)}
        net = SimpleCNN(classes=10, channels=3, size=32, **wide)
    model = Normalised(net, data.mean, data.std)
    path = folder / f"{name}.safetensors"
    if path.exists():
        load_model(model, path)
    else:
        rate = 0.02 if name == "mnist" else 0.1
        recipe = Recipe(epochs=4, optimiser=Optimiser(learning_rate=rate))
        if name == "robust":
            attack = PGD(Linf(4 / 255), steps=3, step_size=2 / 255)
            recipe = Recipe(AdversarialTraining(attack), epochs=4, optimiser=recipe.optimiser)
        train(model, data, recipe)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(model, str(path))
    return model.eval().requires_grad_(False), test


def measure(out: Path, networks: Path, count: int, steps: int) -> None:
    torch.set_num_threads(1)
    found: dict[str, dict[str, dict[str, object]]] = {}
    for name in NETWORKS:
        model, test = network(name, networks)
        images, labels = test.images(torch.arange(len(test))), test.labels
        with torch.no_grad():
            rows = (model(images).argmax(1) == labels).nonzero()[:count, 0]
        for norm, (threat, attacks) in NORMS.items():
            here = found.setdefault(f"{norm}, {name}", {})
            for each in (*attacks, "portfolio"):
                options = {} if each in FREE else {"steps": steps // COSTLY.get(each, 1)}
                options = {"passes": 2 * steps} if each == "portfolio" else options
                attack = build_attack(each, threat, options)
                began = time.process_time()
                result = attack(model, images[rows], labels[rows])
                here[each] = {
                    "distance": [d if math.isfinite(d) else None for d in result.distance.tolist()],
                    "seconds": time.process_time() - began,
                    "passes": float((result.forwards + result.backwards).double().mean()),
                }
                print(f"{norm}, {name}, {each}: {here[each]['seconds']:.1f} s", flush=True)
            out.write_text(json.dumps(found))


def compare(one: Path, other: Path) -> None:
    now, before = json.loads(one.read_text()), json.loads(other.read_text())
    head = f"{'':28}{'before':>8}{'now':>8}{'gained':>9}{'failed':>12}{'seconds':>9}{'passes':>8}"
    for title, attacks in now.items():
        print(f"\n{title}\n{head}")
        tensors = {
            (when, name): torch.tensor(
                [math.inf if d is None else d for d in row["distance"]], dtype=torch.float64
            )
            for when, rows in (("now", attacks), ("before", before[title]))
            for name, row in rows.items()
        }
        smallest = smallest_distances({"/".join(key): each for key, each in tensors.items()})
        for name, row in attacks.items():
            score = {
                when: local_optimality(tensors[when, name], smallest) for when in ("before", "now")
            }
            lost = "/".join(str(int(tensors[w, name].isinf().sum())) for w in ("before", "now"))
            print(
                f"  {name:26}{score['before']:8.4f}{score['now']:8.4f}"
                f"{score['now'] - score['before']:+9.4f}{lost:>12}"
                f"{row['seconds'] / before[title][name]['seconds']:8.2f}x"
                f"{row['passes'] / before[title][name]['passes']:7.2f}x"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--networks", type=Path, default=Path("runs/nearest"))
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=300)
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    if words.against is not None:
        compare(words.out, words.against)
    else:
        measure(words.out, words.networks, words.images, words.steps)


if __name__ == "__main__":
    main()
