"""The discriminator of a game: a network with an Adam of its own, beside what the loop trains."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.objectives.game_losses import game_value


class Opponent:
    """A discriminator D that learns to tell images from what a player makes.

    Args:
        network: D, from images to logits, on its device.
        learning_rate, betas: of its Adam, which no schedule changes.

    >>> d = Opponent(nn.Sequential(nn.Linear(1, 1), nn.Flatten(0)), 0.1)
    >>> losses = [float(d.step(torch.ones(4, 1), -torch.ones(4, 1))[0]) for _ in range(20)]
    >>> losses[-1] < losses[0]
    True
    """

    def __init__(
        self, network: nn.Module, learning_rate: float, betas: tuple[float, float] = (0.5, 0.999)
    ) -> None:
        self.network = network
        self.optimiser = torch.optim.Adam(network.parameters(), learning_rate, betas=betas)

    def logits(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, " n"]:
        """Return D's logits in full precision, which autocast does not give."""
        found: Tensor = self.network(images)
        return found.to(torch.promote_types(found.dtype, torch.float32))

    def step(
        self, real: Float[Tensor, "n ..."], fake: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Take a step up V(D, G); return D's loss −V before it, and the logits of both."""
        on_real, on_fake = self.logits(real), self.logits(fake)
        loss = -game_value(on_real, on_fake)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.detach(), on_real.detach(), on_fake.detach()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the network's tensors, and its optimiser's moments."""
        moments = self.optimiser.state_dict()["state"]
        return {
            **{f"discriminator/{k}": v for k, v in self.network.state_dict().items()},
            **{f"optimiser/{i}/{k}": v for i, each in moments.items() for k, v in each.items()},
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned; other entries are left alone."""
        weights: dict[str, Tensor] = {}
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            room, _, name = key.partition("/")
            if room == "discriminator":
                weights[name] = value
            elif room == "optimiser":
                number, _, name = name.partition("/")
                # Adam counts its steps on the CPU.
                own = value.cpu() if name == "step" else value
                moments.setdefault(int(number), {})[name] = own.clone()
        self.network.load_state_dict(weights)
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})


def blamed(
    discriminator: Float[Tensor, ""],
    player: Float[Tensor, ""],
    made: Float[Tensor, "n ..."],
    logits: Float[Tensor, " n"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the losses of D and of the player; where one is not finite, NaN for the one that spoilt
    them and 0 for the other. No device waits for this.

    A player whose images are no numbers spoils both. Images that are, of which D's loss or logits are
    not, leave D; else it is the player's own loss.

    >>> one, nan = torch.ones(()), torch.tensor(math.nan)
    >>> blamed(one, nan, torch.zeros(2), torch.tensor([math.nan, 0.0]))
    (tensor(nan), tensor(0.))
    """
    nan, zero = torch.full_like(player, math.nan), torch.zeros_like(player)
    sound = discriminator.isfinite() & player.isfinite()
    its: Bool[Tensor, ""] = made.isfinite().all()
    its = its & ~(discriminator.isfinite() & logits.isfinite().all())
    return (
        torch.where(sound, discriminator, torch.where(its, nan, zero)),
        torch.where(sound, player, torch.where(its, zero, nan)),
    )
