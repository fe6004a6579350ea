"""Latent PGD: the search moves the z of a generator, and its image's change is the perturbation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.criteria import Loss
from saddlepoint.attacks.core.manifolds import Generating, made, nearest
from saddlepoint.attacks.core.stages import each_stage
from saddlepoint.attacks.core.steps import cosine
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.model import with_gradient_of
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat import norm_of
from saddlepoint.threat.norms import expand, unit


@dataclass(frozen=True, kw_only=True)
class Latent(Generating, FixedBudget):
    """Ascent in z of the loss at Π(x + G(z) − G(z₀)), z₀ the z whose image is nearest to x.

    An ordinary ball in pixels and an ordinary judge: z is a parametrisation of the search alone, since
    whether an image is G(z) of a near z cannot be decided from its pixels, and no generator makes x
    itself. Where Π cuts, the gradient is that of a smooth stand-in with the same range
    (eps·tanh(δ/eps) in Linf, δ·eps/√(eps² + ‖δ‖²) in L2), which never vanishes. Steps are of length
    α√d in z, and decay along half a cosine. Passes of G are not counted.

    Args:
        generator: the folder of the training of a generator, or its file of weights.
        steps: of the ascent, a pass each way.
        step_size: α of the first step; z has about the length √d.
        restarts: searches, from z₀ of other draws.
        descents, inversion_steps: of the search for z₀; see `saddlepoint.zoo.invert`.
        loss: as of PGD.

    Raises `InputError` without a generator, and for one of other images.

    Reference: after Jalal, Ilyas, Daskalakis and Dimakis 2017, arXiv:1712.09196, who search z alone.

    >>> from saddlepoint.threat import Linf
    >>> Latent(Linf(0.1)).steps
    40
    """

    generator: str = ""
    fingerprint: str = field(init=False, default="")
    """Of the generator's weights."""
    steps: Count = 40
    step_size: Positive = 0.1
    restarts: Count = 1
    descents: Count = 4
    inversion_steps: Count = 50
    loss: Loss = "margin"

    norms = ("Linf", "L2")
    from_file = "generator"
    paper = "after Jalal et al. 2017, arXiv:1712.09196"
    cost = "steps × restarts (40 × 1) each way, 1 forward per restart; as many of G, and 400 before"

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run every restart on the samples that the ones before have not fooled."""
        runs = (partial(self._run, tracker=tracker, restart=i) for i in range(self.restarts))
        each_stage(batch, tracker, runs)

    def _run(self, active: Batch, tracker: Tracker, restart: int) -> None:
        if not len(active):
            return
        generator = self.held_for(active)
        z = nearest(generator, active, restart, self.descents, self.inversion_steps)
        base = made(generator, z, active.images)
        for step in range(self.steps):
            at = partial(self._at, generator, active, base)
            logits, slope = active.guard.gradient(
                z, active.loss(self.loss), active.index, active.keys, at
            )
            tracker.record(
                active, self._moved(active, base, made(generator, z, active.images)), logits
            )
            active, (z, base, slope) = tracker.compact(active, z, base, slope)
            if not len(active):
                return
            alpha = self.step_size * math.sqrt(z.shape[1]) * cosine(step, self.steps)
            z = z + alpha * unit(slope, 2)
        tracker.offer(active, self._moved(active, base, made(generator, z, active.images)))

    def _moved(self, batch: Batch, base: Tensor, image: Tensor) -> Float[Tensor, "m ..."]:
        """Return the parameters Π(x + G(z) − G(z₀))."""
        return batch.project(batch.threat.parametrise(batch.images + image - base))

    def _at(
        self, generator: torch.nn.Module, batch: Batch, base: Tensor, z: Tensor
    ) -> Float[Tensor, "m ..."]:
        """Return the image of `_moved`, with the gradient of the smooth stand-in."""
        image = made(generator, z, batch.images)
        value = self._moved(batch, base, image.detach())
        delta = batch.threat.parametrise(batch.images + image - base) - batch.clean
        tiny = torch.finfo(delta.dtype).tiny
        eps = expand(batch.threat.radius(batch.images).clamp_min(tiny), delta)
        if norm_of(batch.threat) == "Linf":
            soft = eps * (delta / eps).tanh()
        else:
            length = expand(delta.flatten(1).square().sum(1), delta)
            soft = delta * eps / (eps.square() + length).sqrt()
        soft = soft if batch.mask is None else soft * batch.mask
        return batch.render(with_gradient_of(value, batch.clean + soft))
