"""The whole-patch attack: few patches are chosen, and their pixels ascend freely."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.contract import FixedBudget
from saddlepoint.attacks.core.criteria import Loss
from saddlepoint.attacks.core.patch_ranks import PATCH_RANKS
from saddlepoint.attacks.core.stages import each_stage
from saddlepoint.attacks.core.steps import cosine
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.option_values import Count, Positive
from saddlepoint.threat import Patches
from saddlepoint.threat.norms import largest_k

# What a patch without a gradient is worth where they are drawn.
_LEAST = 1e-9


@dataclass(frozen=True, kw_only=True)
class PatchPGD(FixedBudget):
    """k patches of an image, chosen by the gradient of the loss, and inside of them PGD in Linf with
    eps = 1: any pixel may take any value.

    After Fu et al. (2022), who choose the patches of a ViT by its attention. Steps follow the sign of
    the gradient, and decay to 0 along half a cosine. On a linear model of two classes the default
    finds the optimum.

    Args:
        threat: Patches.
        steps: iterations per restart.
        step_size: the first α, as a share of the range that a pixel has; None is 0.25.
        restarts: independent starts; in later ones each patch's worth is multiplied by a uniform draw.
        rounds: the patches are chosen in so many rounds, all at once or ever more of them: the later
            ones by the gradient at what the earlier ones have found.
        chosen_by: "gain", the patches in which the linearised loss can rise most within the range of
            pixels; "gradient", where it is longest; "attention", which a ViT of this package pays most
            attention to; or "random", the control.
        start: "uniform", pixels drawn in the patches, or "clean".
        loss: see `PGD`.

    >>> class Corner(torch.nn.Module):
    ...     def forward(self, x):
    ...         lit = x[:, 0, :2, 2:].mean((1, 2))
    ...         return torch.stack([0.6 - lit, lit - 0.6], 1)
    >>> images, labels = torch.zeros(1, 1, 4, 4), torch.tensor([0])
    >>> result = PatchPGD(Patches(1, size=2))(Corner(), images, labels)
    >>> result.success, result.distance
    (tensor([True]), tensor([1.], dtype=torch.float64))
    """

    steps: Count = 40
    step_size: Positive | None = None
    restarts: Count = 1
    rounds: Count = 1
    chosen_by: Literal["gain", "gradient", "attention", "random"] = "gain"
    start: Literal["uniform", "clean"] = "uniform"
    loss: Loss = "cross-entropy"

    norms = ("Patches",)
    paper = "Fu et al. 2022, arXiv:2203.08392"
    cost = "steps × restarts (40 × 1) each way, 1 forward per restart"

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run every restart on the samples that the ones before have not fooled."""
        runs = (partial(self._run, tracker=tracker, restart=i) for i in range(self.restarts))
        each_stage(batch, tracker, runs)

    def _run(self, active: Batch, tracker: Tracker, restart: int) -> None:
        x, chosen = self._start(active, restart)
        low, high = _ends(active)
        begun = 0
        # x_{t+1} = Π(x_t + α·sign ∇L) inside the patches; a round begins by adding some.
        for step in range(self.steps):
            logits, gradient = active.gradient(x, active.loss(self.loss))
            tracker.record(active, x, logits)
            active, (x, low, high, chosen, gradient) = tracker.compact(
                active, x, low, high, chosen, gradient
            )
            if not len(active):
                break  # all are fooled: `offer` has no sample left, and makes no pass
            patches, before = _patches(active), begun
            begun = self._rounds(step)
            if begun > before:
                share = begun / self._rounds(self.steps - 1)
                new = self._choice(active, gradient, chosen, high > low, share, restart)
                chosen = chosen | new
                if self.start == "uniform":
                    u = active.keys.uniform(x.shape[1:], step=step, restart=restart).to(x.dtype)
                    x = torch.where(patches.spread(new, x), low + (high - low) * u, x)
                    continue
            alpha = cosine(step, self.steps) * (self.step_size or 0.25) * (high - low)
            moved = (x + alpha * gradient.sign()).clamp(low, high)
            x = torch.where(patches.spread(chosen, x), moved, x)
        tracker.offer(active, x)

    def _start(self, batch: Batch, restart: int) -> tuple[Tensor, Tensor]:
        """Return x_0 and its patches: the clean image and none, or the given start and its own."""
        x = batch.clean
        if batch.starts is not None and restart == 0:
            x = batch.project(batch.threat.parametrise(batch.starts))
        return x, _patches(batch).changed(batch.clean, x)

    def _rounds(self, step: int) -> int:
        """Return how many rounds have begun with a step."""
        rounds = min(self.rounds, self.steps)
        return step * rounds // self.steps + 1

    def _choice(
        self,
        batch: Batch,
        gradient: Float[Tensor, "m c h w"],
        chosen: Bool[Tensor, "m patches"],
        free: Bool[Tensor, "m c h w"],
        share: float,
        restart: int,
    ) -> Bool[Tensor, "m patches"]:
        """Return the patches to be added, so that `share` of the budget is used."""
        patches = _patches(batch)
        worth = PATCH_RANKS[self.chosen_by](batch, patches, gradient)
        if restart or self.chosen_by == "random":
            drawn = batch.keys.uniform(worth.shape[1:], restart=restart, draw=1)
            worth = (worth + _LEAST) * drawn.to(worth)
        left = (patches.totals(free.to(worth)) > 0) & ~chosen
        wanted = (batch.threat.radius(batch.images) * share).ceil() - chosen.sum(1)
        count = wanted.clamp_min(0).minimum(left.sum(1))
        return largest_k(torch.where(left, worth, -1.0), count) & left


def _patches(batch: Batch) -> Patches:
    assert isinstance(batch.ball, Patches)
    return batch.ball


def _ends(batch: Batch) -> tuple[Float[Tensor, "m c h w"], Float[Tensor, "m c h w"]]:
    """Return the least and the greatest value of each pixel, were its patch chosen."""
    low, high = _patches(batch).pixel_bounds(batch.clean)
    return batch.masked(low), batch.masked(high)
