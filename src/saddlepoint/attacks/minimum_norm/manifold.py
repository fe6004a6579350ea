"""Manifold search: the image of a generator that fools and is nearest to the given one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import MinimumNorm
from saddlepoint.attacks.core.criteria import Loss
from saddlepoint.attacks.core.manifolds import Generating, made, nearest
from saddlepoint.attacks.core.steps import cosine
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat.norms import unit


@dataclass(frozen=True, kw_only=True)
class Manifold(Generating, MinimumNorm):
    """min ‖G(z) − x‖₂ so that the model errs at G(z), from the z whose image is nearest to x.

    Where G(z) does not fool, z takes a step up the loss; where it does, a step down the distance; both
    of length α√d, which decays along half a cosine. An image that a generator makes is one that
    Defense-GAN leaves as it is: run it on the network behind that defence (`--surrogate`), and what
    fools there fools the defence. Passes of G are not counted.

    Args:
        generator: the folder of the training of a generator, or its file of weights.
        steps: a pass each way.
        step_size: α of the first step; z has about the length √d.
        descents, inversion_steps: of the search for the first z; see `saddlepoint.zoo.invert`.
        loss: that ascends where nothing fools.

    Raises `InputError` without a generator, and for one of other images.

    Reference: Athalye, Carlini and Wagner 2018, arXiv:1802.00420, section 5.4.2, by a Lagrangian.

    >>> from saddlepoint.threat import L2
    >>> Manifold(L2()).steps
    100
    """

    generator: str = ""
    fingerprint: str = field(init=False, default="")
    """Of the generator's weights."""
    steps: Count = 100
    step_size: Positive = 0.1
    descents: Count = 4
    inversion_steps: Count = 50
    loss: Loss = "margin"

    norms = ("L2",)
    from_file = "generator"
    paper = "Athalye et al. 2018, arXiv:1802.00420"
    cost = "steps (100) each way, 1 forward; twice as many of G, and 400 before"

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Search."""
        if not len(batch):
            return
        generator = self.held_for(batch)
        z = nearest(generator, batch, 0, self.descents, self.inversion_steps)

        def render(z: Tensor) -> Tensor:
            return made(generator, z, batch.images)

        for step in range(self.steps):
            logits, up = batch.guard.gradient(
                z, batch.loss(self.loss), batch.index, batch.keys, render
            )
            tracker.record(batch, self._image(generator, batch, z), logits)
            fooled: Bool[Tensor, " m"] = batch.margin(logits) < 0
            down = _slope(generator, batch.images, z)
            alpha = self.step_size * math.sqrt(z.shape[1]) * cosine(step, self.steps)
            z = z + alpha * torch.where(fooled[:, None], -unit(down, 2), unit(up, 2))
        tracker.offer(batch, self._image(generator, batch, z))

    def _image(self, generator: nn.Module, batch: Batch, z: Tensor) -> Float[Tensor, "m ..."]:
        with torch.no_grad():
            return batch.project(batch.threat.parametrise(made(generator, z, batch.images)))


def _slope(generator: nn.Module, images: Tensor, z: Tensor) -> Float[Tensor, "m d"]:
    """Return the gradient of ‖G(z) − x‖₂² in z."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        error = (made(generator, z, images) - images).square().sum()
        return torch.autograd.grad(error, z)[0]
