"""What models of images cost: a masked step, a step of the game, a perturbation, a purified prediction.

    python benchmarks/generative.py [--part mae|gan|advgan|purifiers] [--rounds N] [--threads 1]

- mae: forward and backward of `zoo:vit-micro` (patches of 4 on 28×28, batch 128, 75 % hidden) on all
  patches, on the visible ones, and with the decoder. Target: the ratio of the encoder's times within
  15 % of that of its MACs.
- gan: a step in our loop against the same step in plain PyTorch. Target: at most 1.1.
- advgan: its time per image against PGD-40, both as attacks that are called.
- purifiers: passes and time of a prediction.

Networks are untrained, whose passes cost the same. Ratios are medians over rounds that are taken in
turn; on one thread of a CPU the time is the process's own.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.flop_counter import FlopCounterMode
from training_clock import clock_of, rounds_of

from saddlepoint.attacks import PGD, AdvGAN
from saddlepoint.data import TensorData, load_data
from saddlepoint.defences import GeneratorPurifier, MAEPurifier, Purified, Purifier, load_recipe
from saddlepoint.lab.bench import small_network
from saddlepoint.threat import Linf
from saddlepoint.training.feed import Feed
from saddlepoint.training.loop import take_step
from saddlepoint.training.randomness import forked_random_state
from saddlepoint.training.state import State
from saddlepoint.zoo import (
    MAEDecoder,
    MaskedAutoencoder,
    MLPGenerator,
    Perturber,
    build_model,
    discriminator_named,
    masks,
    reconstruction_losses,
    save_weights,
    weights_fingerprint,
)
from saddlepoint.zoo.perturber_file import TrainedFor, perturber_metadata

CPU = torch.device("cpu")
BATCH, RATIO, GRID, EPS = 128, 0.75, (7, 7), 0.2
GAMES = {"gan": ("gan-mlp", {}), "dcgan": ("gan-dcgan", {"maps": 32})}


def timed(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each run by round."""
    with forked_random_state():
        return rounds_of(runs, rounds, clock_of(CPU))


def ratio(seconds: dict[str, list[float]], of: str, to: str) -> float:
    """Return the median ratio of two runs."""
    return statistics.median(a / b for a, b in zip(seconds[of], seconds[to], strict=True))


def mae(rounds: int) -> None:
    """Print the ratios of times and of MACs to the encoder on all patches."""
    net = build_model("zoo:vit-micro", classes=10, shape=(1, 28, 28))
    whole = MaskedAutoencoder(net, MAEDecoder(net))
    images = torch.rand(BATCH, 1, 28, 28)
    hidden = masks("random", torch.arange(BATCH), GRID, RATIO, seed=0)
    kept = int((~hidden[0]).sum())
    visible = hidden.to(torch.uint8).argsort(dim=1, stable=True)[:, :kept]
    losses: dict[str, Callable[[], Tensor]] = {
        "all patches": lambda: net.encoded(net.embedded(images), GRID).mean(),
        "visible patches": lambda: net.encoded(net.embedded(images), GRID, visible).mean(),
        "with the decoder": lambda: reconstruction_losses(
            whole(images, hidden), whole.targets(images), hidden
        ).mean(),
    }
    passes = {name: (lambda loss=loss: loss().backward()) for name, loss in losses.items()}
    seconds, macs = timed(passes, rounds), {}
    for name, run in passes.items():
        with FlopCounterMode(display=False) as counter:
            run()
        macs[name] = counter.get_total_flops() // 2
        times, work = ratio(seconds, name, "all patches"), macs[name] / macs["all patches"]
        print(f"mae, {name}: time {times:.3f}, MACs {work:.3f}, quotient {times / work:.2f}")


def gan(rounds: int, steps: int = 10) -> None:
    """Print the ratio of a step of our loop to one in plain PyTorch, for each recipe."""
    images = torch.rand(BATCH * steps, 1, 28, 28)
    data = TensorData.of(images, torch.zeros(len(images)).long(), name="noise", classes=("0", "1"))
    for name, (model, options) in GAMES.items():
        nets = [build_model(model, classes=10, shape=(1, 28, 28), options=options) for _ in "ab"]
        runs = {"ours": ours(name, nets[0], data), "bare": bare(name, nets[1], images)}
        seconds = timed(runs, rounds)
        ms = 1000 * statistics.median(seconds["ours"]) / steps
        print(f"{name}: {ms:.1f} ms a step, ratio to bare PyTorch {ratio(seconds, *runs):.3f}")


def ours(name: str, model: nn.Module, data: TensorData) -> Callable[[], None]:
    """Return an epoch of the training loop."""
    recipe = replace(load_recipe(name), epochs=1000)
    feed = Feed(data, recipe, 0, CPU)
    state = State(model.train(), recipe, len(data), None, data)

    def epoch() -> None:
        for batch in feed.epoch(state.epoch):
            take_step(state, batch)
        state.finish_epoch()

    return epoch


def bare(name: str, g: nn.Module, images: Tensor) -> Callable[[], None]:
    """Return an epoch of the same game in plain PyTorch."""
    d = discriminator_named(load_recipe(name).objective.discriminator)(channels=1, size=28)
    of_g, of_d = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (g, d))

    def epoch() -> None:
        for ids in torch.randperm(len(images)).split(BATCH):
            x = images[ids]
            with torch.no_grad():
                fakes = g(torch.randn(BATCH, 100))
            loss = softplus(-d(x)).mean() + softplus(d(fakes)).mean()
            of_d.zero_grad()
            loss.backward()
            of_d.step()
            d.requires_grad_(False)
            loss = softplus(-d(g(torch.randn(BATCH, 100)))).mean()
            of_g.zero_grad()
            loss.backward()
            of_g.step()
            d.requires_grad_(True)

    return epoch


def advgan(rounds: int) -> None:
    """Print the time per image of AdvGAN and of PGD-40."""
    data = load_data("digits", split="all", limit=256)
    x, y = data.images(torch.arange(len(data))), data.labels
    net, perturber = small_network(data, seed=0).eval(), Perturber(1, data.shape[1:])
    trained = TrainedFor("linf", EPS, weights_fingerprint(net), 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_weights(perturber, file, perturber_metadata(perturber, trained))
        attack = AdvGAN(Linf(EPS), file=str(file))
    slow = PGD(Linf(EPS), steps=40, stop="never")
    runs = {"pgd": lambda: slow(net, x, y), "advgan": lambda: attack(net, x, y)}
    seconds = timed(runs, rounds)
    ms = {name: 1000 * statistics.median(each) / len(x) for name, each in seconds.items()}
    faster = ratio(seconds, "pgd", "advgan")
    print(
        f"advgan: {ms['advgan']:.3f} ms an image, PGD-40 {ms['pgd']:.3f} ms: {faster:.0f} times as fast"
    )


def purifiers(rounds: int) -> None:
    """Print passes and time of a prediction behind each purifier."""
    data = load_data("digits", split="all", limit=8)
    x, net = data.images(torch.arange(len(data))), small_network(data, seed=0).eval()
    made, vit = MLPGenerator(16, size=8), build_model(
        "zoo:vit-micro", classes=10, shape=(1, 8, 8), options={"patch": 2}
    )  # fmt: skip
    painter = MaskedAutoencoder(vit, MAEDecoder(vit))
    behind: dict[str, tuple[Purifier, int]] = {
        "defense-gan, R=4, L=50": (GeneratorPurifier(made, 4, 50), 1),
        "defense-gan, R=10, L=200": (GeneratorPurifier(made, 10, 200), 1),
        "mae-purify, k=4": (MAEPurifier(painter), 4),
    }
    models = {"undefended": net} | {k: Purified(net, p, draws=d) for k, (p, d) in behind.items()}

    def predict(model: nn.Module) -> None:
        with torch.no_grad():
            model(x)

    seconds = timed({k: (lambda m=m: predict(m)) for k, m in models.items()}, min(rounds, 3))
    for name in models:
        purifier, draws = behind.get(name, (None, 1))
        counted = {"classifier forward": draws}
        if purifier is not None:
            counted |= {k: draws * each for k, each in purifier.passes.items()}
        passes = ", ".join(f"{count:,} {k}" for k, count in counted.items())
        ms = 1000 * statistics.median(seconds[name]) / len(x)
        print(f"{name}: {ms:.2f} ms a prediction, {passes}")


PARTS = {"mae": mae, "gan": gan, "advgan": advgan, "purifiers": purifiers}


def main() -> None:
    """Print all parts, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    for name in [given.part] if given.part else PARTS:
        PARTS[name](given.rounds)


if __name__ == "__main__":
    main()
