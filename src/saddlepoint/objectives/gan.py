"""Generative adversarial nets: a game of two networks. No label is read, and nothing is attacked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import Standing, StepOutput, TrainingBatch
from saddlepoint.objectives.game_losses import game_value, generator_loss_named
from saddlepoint.objectives.opponent import Opponent, blamed
from saddlepoint.objectives.passes import evaluating, held
from saddlepoint.option_values import BelowOne, Count, Positive, check_fields
from saddlepoint.progress import passed
from saddlepoint.streams import Keys
from saddlepoint.zoo import as_generator, check_latent, discriminator_named, save_weights

DISCRIMINATOR_FILE = "discriminator.safetensors"
PERFECT = 0.01
"""A discriminator whose loss, −V ≥ 0, is below this on average over an epoch errs on nothing."""
_ROWS = 256  # test images in one pass


@dataclass(frozen=True)
class GAN:
    """min_G max_D V(D, G) = E log D(x) + E log(1 − D(G(z))), by k steps of D and one of G in turn.

    The model is the generator G, which the recipe's optimiser steps; the discriminator D is made for
    it, has an Adam of its own at a rate that no schedule changes, and is saved with it. z is standard
    normal and follows from (seed, id, epoch), fresh for every step of either player.

    The optimum is the data's distribution, where D is 1/2 everywhere and V = −log 4.

    Args:
        loss: what G minimises; "non-saturating", −log D(G(z)), or "minimax", log(1 − D(G(z))).
        discriminator: "mlp", "maxout" (the authors') or "dcgan".
        k: steps of D before each of G.
        learning_rate, betas: of D's Adam.

    Reference: Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1.

    >>> GAN(loss="minimax").k
    1
    >>> GAN(discriminator="critic")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown discriminator 'critic'; (known: mlp, maxout, dcgan)
    """

    loss: str = "non-saturating"
    discriminator: str = "mlp"
    k: Count = 1
    learning_rate: Positive = 2e-4
    betas: tuple[BelowOne, BelowOne] = (0.5, 0.999)

    paper = "Goodfellow et al. 2014, arXiv:1406.2661"
    cost = "k full passes of the discriminator on as many fakes as images, and one of both players"

    def __post_init__(self) -> None:
        check_fields(self)
        generator_loss_named(self.loss)
        discriminator_named(self.discriminator)
        if len(self.betas) != 2:
            raise InputError(f"gan: betas is {self.betas}; give two numbers in [0, 1)")

    def begin(self, model: nn.Module, data: ImageData | None) -> Game:
        """Return what runs: the game, with a discriminator made for the generator's images."""
        return Game(self, model, None if data is None else len(data))

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Raise: there is no discriminator before `begin`."""
        raise TypeError("the game begins with a discriminator; call begin(model, data)")

    def check(self, model: nn.Module, data: ImageData) -> None:
        """Raise `InputError` unless the model makes images of the data's shape, of finite numbers."""
        check_latent(as_generator(model, tuple(data.shape)))


class Game(Standing):
    """Generative adversarial nets in training: the model is G; D and its Adam are here.

    Args:
        objective: what it was begun by.
        model: the generator, on its device.
        images: of an epoch, after which a collapse is told; None tells none.

    >>> from saddlepoint.zoo import MLPGenerator
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> net = MLPGenerator(size=4)
    >>> batch = TrainingBatch(torch.rand(8, 1, 4, 4), torch.zeros(8).long(), torch.arange(8), seed=0)
    >>> sorted(GAN().begin(net, None).accumulate(net, batch).sums)
    ['d_of_data', 'd_of_samples', 'discriminator_loss', 'generator_loss']
    """

    def __init__(self, objective: GAN, model: nn.Module, images: int | None = None) -> None:
        self.objective, self._images = objective, images
        channels, *size = as_generator(model).shape
        device = next(iter(model.parameters())).device
        build = discriminator_named(objective.discriminator)
        network = build(channels=channels, size=(size[0], size[1])).to(device)
        self.opponent = Opponent(network, objective.learning_rate, objective.betas)
        self._loss = generator_loss_named(objective.loss)
        # Of the epoch so far: the discriminator's losses, and the images.
        self._lost = torch.zeros((), dtype=torch.float64, device=device)
        self._seen = 0

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Take k steps of D, and add the gradients of G's loss to the model."""
        n, x, k = len(batch.ids), batch.images, self.objective.k
        z = batch.keys.normal((k + 1, as_generator(model).latent))
        for i in range(k):
            with batch.autocast():
                with torch.no_grad():
                    fakes = model(z[:, i])
                lost, real, fake = self.opponent.step(x, fakes)
        # G's gradient passes through D, and adds none to it.
        with held(self.opponent.network), batch.autocast():
            fakes = model(z[:, k])
            logits = self.opponent.logits(fakes)
            loss = self._loss(logits).mean()
            loss.backward()  # type: ignore[no-untyped-call]
        passed(n)
        loss = loss.detach()
        self._watch(lost, batch)
        losses = blamed(lost, loss, fakes.detach(), logits.detach())
        return StepOutput(
            loss,
            {
                "discriminator_loss": (losses[0] * n, n),
                "generator_loss": (losses[1] * n, n),
                "d_of_data": (real.sigmoid().sum(), n),
                "d_of_samples": (fake.sigmoid().sum(), n),
            },
        )

    def measure(self, model: nn.Module, data: ImageData) -> Mapping[str, float]:
        """Return D's loss on test images and as many samples, and the mean of D on both."""
        generator = as_generator(model)
        device = next(iter(model.parameters())).device
        real, fake = [], []
        with evaluating(model), evaluating(self.opponent.network), torch.no_grad():
            for start in range(0, len(data), _ROWS):
                ids = torch.arange(start, min(start + _ROWS, len(data)))
                z = Keys(0, ids.to(device)).normal((generator.latent,))
                real.append(self.opponent.network(data.images(ids).to(device)))
                fake.append(self.opponent.network(model(z)))
        on_data, on_samples = torch.cat(real).double(), torch.cat(fake).double()
        return {
            "discriminator_loss": -float(game_value(on_data, on_samples)),
            "d_of_data": float(on_data.sigmoid().mean()),
            "d_of_samples": float(on_samples.sigmoid().mean()),
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Return the discriminator, its optimiser's moments, and what is watched."""
        watched = {"watched/lost": self._lost, "watched/seen": torch.tensor(self._seen)}
        return self.opponent.state_dict() | watched

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned."""
        self.opponent.load_state_dict(state)
        self._lost, self._seen = state["watched/lost"], int(state["watched/seen"])

    def save(self, out: Path | str) -> None:
        """Write the discriminator's weights."""
        save_weights(self.opponent.network, Path(out) / DISCRIMINATOR_FILE)

    def _watch(self, lost: Float[Tensor, ""], batch: TrainingBatch) -> None:
        """Add the discriminator's loss; at the end of an epoch, warn where it was at its bound."""
        n = len(batch.ids)
        self._lost, self._seen = self._lost + lost.double() * n, self._seen + n
        if self._seen != self._images:
            return
        mean = float(self._lost) / self._seen
        self._lost, self._seen = torch.zeros_like(self._lost), 0
        if mean < PERFECT:
            warnings.warn(
                f"in epoch {batch.epoch + 1} the discriminator tells all samples from the data (its mean"
                f" loss is {mean:.2g}, its bound 0): the game has collapsed; lower its learning_rate"
                f" ({self.objective.learning_rate:g}), or take another discriminator",
                stacklevel=2,
            )
