"""A game of two networks as it runs: the discriminator with its optimiser, and what tells a collapse."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.data import ImageData
from saddlepoint.objectives.contract import Standing, StepOutput, TrainingBatch
from saddlepoint.objectives.game_losses import game_value, generator_loss_named
from saddlepoint.objectives.passes import evaluating
from saddlepoint.progress import passed
from saddlepoint.streams import Keys
from saddlepoint.zoo import as_generator, discriminator_named, save_weights

DISCRIMINATOR_FILE = "discriminator.safetensors"
PERFECT = 0.01
"""A discriminator whose loss, −V ≥ 0, is below this on average over an epoch errs on nothing."""
_ROWS = 256  # test images in one pass


class Rules(Protocol):
    """What a game is played by; `saddlepoint.objectives.GAN` says what each is."""

    @property
    def loss(self) -> str: ...
    @property
    def discriminator(self) -> str: ...
    @property
    def k(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def betas(self) -> tuple[float, float]: ...


class Game(Standing):
    """Generative adversarial nets in training: the model is G; D and its Adam are here.

    Args:
        rules: the frozen objective.
        model: the generator, on its device.
        images: of an epoch, after which a collapse is told; None tells none.

    >>> from saddlepoint.objectives import GAN
    >>> from saddlepoint.zoo import MLPGenerator
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> net = MLPGenerator(size=4)
    >>> batch = TrainingBatch(torch.rand(8, 1, 4, 4), torch.zeros(8).long(), torch.arange(8), seed=0)
    >>> sorted(GAN().begin(net, None).accumulate(net, batch).sums)
    ['d_of_data', 'd_of_samples', 'discriminator_loss', 'generator_loss']
    """

    def __init__(self, rules: Rules, model: nn.Module, images: int | None = None) -> None:
        self.rules, self._images = rules, images
        channels, *size = as_generator(model).shape
        device = next(iter(model.parameters())).device
        build = discriminator_named(rules.discriminator)
        self.discriminator = build(channels=channels, size=(size[0], size[1])).to(device)
        self.optimiser = torch.optim.Adam(
            self.discriminator.parameters(), lr=rules.learning_rate, betas=rules.betas
        )
        self._loss = generator_loss_named(rules.loss)
        # Of the epoch so far: the discriminator's losses, and the images.
        self._lost = torch.zeros((), dtype=torch.float64, device=device)
        self._seen = 0

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Take k steps of D, and add the gradients of G's loss to the model."""
        n, x, k = len(batch.ids), batch.images, self.rules.k
        z = batch.keys.normal((k + 1, as_generator(model).latent))
        for i in range(k):
            with batch.autocast():
                with torch.no_grad():
                    fakes = model(z[:, i])
                real, fake = self.discriminator(x).float(), self.discriminator(fakes).float()
            v = game_value(real, fake)
            self.optimiser.zero_grad(set_to_none=True)
            (-v).backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        # G's gradient passes through D, and adds none to it.
        self.discriminator.requires_grad_(False)
        with batch.autocast():
            fakes = model(z[:, k])
            loss = self._loss(self.discriminator(fakes).float()).mean()
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
            for ids in torch.arange(len(data)).split(_ROWS):
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
                f" ({self.rules.learning_rate:g}), or take another discriminator",
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
