"""Do defences hold that purify images? Each with the attacks that were made for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from saddlepoint.attacks import PGD, Attack, Latent, Manifold, Transfer
from saddlepoint.defences import GeneratorPurifier, MAEPurifier, Purified
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.code_generator import fitted_generator
from saddlepoint.lab.experiment import Settings
from saddlepoint.lab.outputs import predictions
from saddlepoint.lab.overpowered import overpowered
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Fraction, Positive
from saddlepoint.progress import Course, Tick
from saddlepoint.threat import L2, Linf
from saddlepoint.zoo import Generator, load_mae, read_generator

NONE = "undefended"


@dataclass(frozen=True)
class PurifySettings(Settings):
    """Settings of `run_purify`.

    Args:
        generator: the folder of the training of a generator; "" fits one to principal components.
        mae: the folder of a training by mae; "" leaves mae-purify out.
        latent, fit_epochs: of the generator that is fitted.
        restarts, descents: R and L of Defense-GAN.
        masks, ratio: of mae-purify.
        eps: Linf, in pixels; that of the papers, at which nothing of an undefended network is left.
        steps: of PGD and of the search in z.
        eot: passes that attacks on a random model average.
        eta: L2, of the pairs of the overpowered search.

    >>> PurifySettings().restarts
    4
    """

    generator: str = ""
    mae: str = ""
    latent: Count = 16
    fit_epochs: Count = 40
    restarts: Count = 4
    descents: Count = 50
    masks: Count = 4
    ratio: Fraction = 0.75
    eps: Positive = 0.3
    steps: Count = 40
    eot: Count = 4
    eta: Positive = 1.0


@dataclass(frozen=True)
class Broken:
    """What one attack left of one defence: images right, of how many, and what a prediction costs.

    `passes` are those of all networks, for one prediction of one image.
    """

    defence: str
    attack: str
    right: int
    images: int
    passes: int
    seconds: float

    @property
    def accuracy(self) -> float:
        """The share of images that stay right."""
        return self.right / self.images


@dataclass(frozen=True)
class Purify:
    """What was found, and the share of pairs of the overpowered search.

    >>> Purify((Broken("undefended", "none", 3, 4, 1, 0.0),), 0.5).tables()["summary"].rows[0][2]
    0.75
    """

    rows: tuple[Broken, ...]
    pairs: float = field(default=float("nan"))

    def tables(self) -> Mapping[str, Table]:
        """Return accuracy with its 95 % interval, passes per prediction and seconds; and the pairs."""
        cells = tuple(
            (r.defence, r.attack, share.value, share.low, share.high, r.passes, r.seconds)
            for r in self.rows
            for share in [Proportion(r.right, r.images)]
        )
        columns = (
            "defence",
            "attack",
            "accuracy",
            "low",
            "high",
            "passes per prediction",
            "seconds",
        )
        return {
            "summary": Table(columns, cells),
            "overpowered": Table(("near pairs of two classes",), ((self.pairs,),)),
        }  # fmt: skip


def run_purify(bench: Bench, settings: PurifySettings) -> Purify:
    """Attack a network alone, behind Defense-GAN and behind a masked autoencoder.

    "transfer" is PGD on the network alone, "BPDA" PGD with the identity in place of the purifier's
    gradient, "unrolled" PGD through all that it does, both on the expectation; "latent" searches z in
    the same ball on the network alone, and "manifold" the generator's images, in no ball. All are
    offered to the defended network; "worst" counts what stands against all within the
    ball. After Athalye et al. 2018, arXiv:1802.00420, and Jalal et al. 2017, arXiv:1712.09196.

    Raises `InputError` for files that cannot be read, or are of other images.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test", limit=4)
    >>> train = load_data("digits", split="train", limit=64)
    >>> settings = PurifySettings(latent=4, fit_epochs=1, descents=2, steps=2, eot=1)
    >>> found = run_purify(Bench(test, lambda: train, epochs=1), settings)
    >>> [row.attack for row in found.rows if row.defence == "defense-gan"]
    ['none', 'transfer', 'BPDA', 'unrolled', 'latent', 'manifold', 'worst']
    """
    model = bench.given if bench.given is not None else bench.trained("standard")
    model = model.eval()
    made = _generator(bench, settings)
    ball = Linf(settings.eps)
    near = Latent(ball, steps=settings.steps).with_generator(made)
    manifold = Manifold(L2(), steps=settings.steps).with_generator(made)
    plain = PGD(ball, steps=settings.steps)
    rows: list[Broken] = []
    for name, kinds in _defences(model, made, settings):
        identity, unrolled = kinds
        eot = 1 if name == NONE else settings.eot
        aimed = PGD(ball, steps=settings.steps, eot_samples=eot)
        tries: dict[str, tuple[nn.Module, Attack | None]] = {"none": (identity, None)}
        if name == NONE:
            tries |= {"PGD": (model, plain), "latent": (model, near), "manifold": (model, manifold)}
        else:
            tries |= {
                "transfer": (identity, Transfer(plain, model)),
                "BPDA": (identity, aimed),
                "unrolled": (unrolled, aimed),
                "latent": (identity, Transfer(near, model)),
                "manifold": (identity, Transfer(manifold, model)),
            }
        stands, passes = torch.ones(len(bench.test), dtype=torch.bool), _passes(identity)
        course = Course(bench.progress, len(tries))
        for attack, (target, run) in tries.items():
            told = course.next(f"{name}, {attack}")
            if told is not None:
                told(Tick(what="attacking", share=0.0))
            done = bench.part(f"{name}, {attack}", partial(_tried, bench, target, run))
            right = torch.tensor(done["right"])
            if attack != "manifold":  # which is in no ball
                stands &= right
            rows.append(Broken(name, attack, int(right.sum()), len(right), passes, done["seconds"]))
        rows.append(Broken(name, "worst", int(stands.sum()), len(stands), passes, 0.0))
    found = overpowered(
        made, model, pairs=len(bench.test), eta=settings.eta, steps=settings.steps, seed=bench.seed
    )
    return Purify(tuple(rows), found.share)


def _generator(bench: Bench, settings: PurifySettings) -> Generator:
    if settings.generator:
        return read_generator(settings.generator, bench.test.shape).to(bench.device)
    return fitted_generator(bench.train, settings.latent, settings.fit_epochs, bench.seed)


def _defences(
    model: nn.Module, made: Generator, settings: PurifySettings
) -> Iterator[tuple[str, tuple[nn.Module, nn.Module]]]:
    """Yield the name of each defence, and its model with either gradient."""
    yield NONE, (model, model)

    def behind(gradient: str) -> nn.Module:
        return Purified(
            model, GeneratorPurifier(made, settings.restarts, settings.descents, gradient=gradient)
        )

    yield "defense-gan", (behind("identity"), behind("unrolled"))
    if settings.mae:
        mae = load_mae(settings.mae)

        def painted(gradient: str) -> nn.Module:
            return Purified(model, MAEPurifier(mae, settings.ratio, gradient), settings.masks)

        yield "mae-purify", (painted("identity"), painted("unrolled"))


def _tried(bench: Bench, model: nn.Module, attack: Attack | None) -> dict[str, Any]:
    """Return which images stay right, and the seconds it took."""
    began = time.perf_counter()
    if attack is None:
        right = predictions(model, bench.images)[0] == bench.labels
    else:
        ids = torch.arange(len(bench.test), device=bench.device)
        result = attack(model, bench.images, bench.labels, seed=bench.seed, ids=ids)
        right = ~(result.success | result.initially_wrong)
    return {"right": right.tolist(), "seconds": time.perf_counter() - began}


def _passes(model: nn.Module) -> int:
    """Return the passes of all networks, forward and backward, of one prediction of one image."""
    if not isinstance(model, Purified):
        return 1
    return model.draws * (1 + sum(model.purifier.passes.values()))
