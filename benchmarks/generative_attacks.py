"""What a perturber and purifiers cost: AdvGAN's time per image against PGD-40, passes of a prediction.

python benchmarks/generative_attacks.py [--images 256] [--threads 1]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from saddlepoint.attacks import PGD
from saddlepoint.data import load_data
from saddlepoint.defences import GeneratorPurifier, Purified
from saddlepoint.lab.bench import small_network
from saddlepoint.threat import Linf
from saddlepoint.zoo import MLPGenerator, Perturber

EPS = 0.2


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the least time of several runs, after one that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)


def main() -> None:
    """Print a table; networks are untrained, whose passes cost the same."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = load_data("digits", split="all", limit=given.images)
    x, y = data.images(torch.arange(len(data))), data.labels
    net, n = small_network(data, seed=0).eval(), len(data)
    perturber = Perturber(1, data.shape[1:]).eval()

    def one_pass() -> torch.Tensor:
        with torch.no_grad():
            return (x + EPS * perturber(x)).clamp(0, 1)

    attack = PGD(Linf(EPS), steps=40, stop="never")
    pgd = seconds(lambda: attack.candidates(net, x, y)) / n
    own = seconds(one_pass) / n
    print(f"PGD-40    {1000 * pgd:8.3f} ms per image")
    print(f"AdvGAN    {1000 * own:8.3f} ms per image, {pgd / own:.0f} times as fast")
    generator = MLPGenerator(16, size=8)
    with torch.no_grad():
        plain = seconds(lambda: net(x)) / n
    print(f"plain     {1000 * plain:8.3f} ms per prediction, 1 pass")
    for restarts, steps in ((4, 50), (10, 200)):
        purifier = GeneratorPurifier(generator, restarts, steps)
        model, some = Purified(net, purifier), x[:8]
        took = seconds(lambda model=model, some=some: model(some), 1) / len(some)
        passes = ", ".join(f"{count:,} {name}" for name, count in purifier.passes.items())
        print(f"R={restarts}, L={steps}: {1000 * took:8.3f} ms per prediction, {passes}")


if __name__ == "__main__":
    main()
