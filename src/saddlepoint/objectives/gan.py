"""The game of generative adversarial nets: no label is read, and nothing is attacked."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import StepOutput, TrainingBatch
from saddlepoint.objectives.game import Game
from saddlepoint.objectives.game_losses import generator_loss_named
from saddlepoint.option_values import BelowOne, Count, Positive, check_fields
from saddlepoint.zoo import as_generator, check_latent, discriminator_named


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
