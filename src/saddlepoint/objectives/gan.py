"""Generative adversarial nets: a game of two networks. No label is read, and nothing is attacked."""

from __future__ import annotations

import math
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
from saddlepoint.objectives.passes import evaluating
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
        self.discriminator = build(channels=channels, size=(size[0], size[1])).to(device)
        self.optimiser = torch.optim.Adam(
            self.discriminator.parameters(), lr=objective.learning_rate, betas=objective.betas
        )
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
                real, fake = self._logits(x), self._logits(fakes)
            v = game_value(real, fake)
            self.optimiser.zero_grad(set_to_none=True)
            (-v).backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        # G's gradient passes through D, and adds none to it.
        self.discriminator.requires_grad_(False)
        with batch.autocast():
            fakes = model(z[:, k])
            loss = self._loss(self._logits(fakes)).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self.discriminator.requires_grad_(True)
        passed(n)
        v, loss = v.detach(), loss.detach()
        self._watch(-v, batch)
        losses = _blamed(-v, loss, fakes.detach().isfinite().all())
        return StepOutput(
            loss,
            {
                "discriminator_loss": (losses[0] * n, n),
                "generator_loss": (losses[1] * n, n),
                "d_of_data": (real.detach().sigmoid().sum(), n),
                "d_of_samples": (fake.detach().sigmoid().sum(), n),
            },
        )

    def measure(self, model: nn.Module, data: ImageData) -> Mapping[str, float]:
        """Return D's loss on test images and as many samples, and the mean of D on both."""
        generator = as_generator(model)
        device = next(iter(model.parameters())).device
        real, fake = [], []
        with evaluating(model), evaluating(self.discriminator), torch.no_grad():
            for start in range(0, len(data), _ROWS):
                ids = torch.arange(start, min(start + _ROWS, len(data)))
                z = Keys(0, ids.to(device)).normal((generator.latent,))
                real.append(self.discriminator(data.images(ids).to(device)))
                fake.append(self.discriminator(model(z)))
        on_data, on_samples = torch.cat(real).double(), torch.cat(fake).double()
        return {
            "discriminator_loss": -float(game_value(on_data, on_samples)),
            "d_of_data": float(on_data.sigmoid().mean()),
            "d_of_samples": float(on_samples.sigmoid().mean()),
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Return the discriminator, its optimiser's moments, and what is watched."""
        moments = self.optimiser.state_dict()["state"]
        return {
            **{f"discriminator/{k}": v for k, v in self.discriminator.state_dict().items()},
            **{f"optimiser/{i}/{k}": v for i, each in moments.items() for k, v in each.items()},
            "watched/lost": self._lost,
            "watched/seen": torch.tensor(self._seen),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned."""
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            room, _, name = key.partition("/")
            parts.setdefault(room, {})[name] = value
        self.discriminator.load_state_dict(parts["discriminator"])
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in parts.get("optimiser", {}).items():
            number, _, name = key.partition("/")
            # Adam counts its steps on the CPU.
            moments.setdefault(int(number), {})[name] = value.cpu() if name == "step" else value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self._lost, self._seen = parts["watched"]["lost"], int(parts["watched"]["seen"])

    def save(self, out: Path) -> None:
        """Write the discriminator's weights."""
        save_weights(self.discriminator, out / DISCRIMINATOR_FILE)

    def _logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Return D's logits in full precision, which autocast does not give."""
        logits: Tensor = self.discriminator(images)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

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


def _blamed(
    discriminator: Float[Tensor, ""], generator: Float[Tensor, ""], made: Tensor
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return both losses, where one is not finite: NaN for the player that spoilt them, 0 for the other.

    A generator whose samples are no numbers spoils both losses; samples that are (`made`) leave the
    discriminator. No device waits for this.
    """
    nan, zero = torch.full_like(generator, math.nan), torch.zeros_like(generator)
    sound = discriminator.isfinite() & generator.isfinite()
    return (
        torch.where(sound, discriminator, torch.where(made, nan, zero)),
        torch.where(sound, generator, torch.where(made, zero, nan)),
    )
