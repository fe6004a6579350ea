"""A step of the game of GANs in our loop against the same step written out in PyTorch.

    python benchmarks/generative_gan.py [--rounds N] [--steps N]

Both play on the same random images with the same networks. Ours draws z from keyed streams, watches
for a collapse and sums what the metrics tell; the bare loop draws from torch's generator and does
nothing else. The ratio should be at most 1.1. On one thread the time is the process's own.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import softplus
from training_clock import clock_of, rounds_of

from saddlepoint.data import TensorData
from saddlepoint.defences import load_recipe
from saddlepoint.training.feed import Feed
from saddlepoint.training.loop import take_step
from saddlepoint.training.randomness import forked_random_state
from saddlepoint.training.state import State
from saddlepoint.zoo import build_model, discriminator_named

GAMES = {"gan": ("gan-mlp", {}), "dcgan": ("gan-dcgan", {"maps": 32})}


def main() -> None:
    """Print the time of a step of both, for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    torch.manual_seed(0)
    images = torch.rand(128 * given.steps, 1, 28, 28)
    data = TensorData.of(images, torch.zeros(len(images)).long(), name="noise", classes=("0", "1"))
    clock = clock_of(torch.device("cpu"))
    for name, (model, options) in GAMES.items():
        runs = {
            "ours": ours(name, network(model, options), data),
            "bare": bare(name, network(model, options), images),
        }
        with forked_random_state():
            seconds = rounds_of(runs, given.rounds, clock)
        ms = {key: 1000 * statistics.median(each) / given.steps for key, each in seconds.items()}
        ratios = [a / b for a, b in zip(seconds["ours"], seconds["bare"], strict=True)]
        print(
            f"{name}: {ms['ours']:.1f} ms a step, bare {ms['bare']:.1f} ms,"
            f" ratio {statistics.median(ratios):.3f}"
        )


def network(name: str, options: dict[str, int]) -> nn.Module:
    """Return a generator of 28×28 images."""
    return build_model(name, classes=10, shape=(1, 28, 28), options=options)


def ours(name: str, model: nn.Module, data: TensorData) -> Callable[[], None]:
    """Return an epoch of the training loop."""
    recipe = replace(load_recipe(name), epochs=1000)
    feed = Feed(data, recipe, 0, torch.device("cpu"))
    state = State(model.train(), recipe, len(data), None, data)

    def epoch() -> None:
        for batch in feed.epoch(state.epoch):
            take_step(state, batch)
        state.finish_epoch()

    return epoch


def bare(name: str, g: nn.Module, images: torch.Tensor) -> Callable[[], None]:
    """Return an epoch of the same game in plain PyTorch."""
    d = discriminator_named(load_recipe(name).objective.discriminator)(channels=1, size=28)
    of_g, of_d = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (g, d))

    def epoch() -> None:
        for ids in torch.randperm(len(images)).split(128):
            x = images[ids]
            with torch.no_grad():
                fakes = g(torch.randn(128, 100))
            loss = softplus(-d(x)).mean() + softplus(d(fakes)).mean()
            of_d.zero_grad()
            loss.backward()
            of_d.step()
            d.requires_grad_(False)
            loss = softplus(-d(g(torch.randn(128, 100)))).mean()
            of_g.zero_grad()
            loss.backward()
            of_g.step()
            d.requires_grad_(True)

    return epoch


if __name__ == "__main__":
    main()
