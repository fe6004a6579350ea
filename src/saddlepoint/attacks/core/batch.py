"""Batch: the samples still under attack, with everything about each of them.

Attack loops see a model, a budget and images through this one object. `at` selects samples, so that
a loop drops those that are finished, and every pass is counted on the right row of the caller's
batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.criteria import LOSSES, Aimed, Criterion
from saddlepoint.attacks.core.rounding import Reference, live_classes, rounding
from saddlepoint.errors import InputError, unknown
from saddlepoint.model import Guard
from saddlepoint.streams import Keys
from saddlepoint.threat import Ascendable, Clippable, NormBall, Normed, ThreatModel


class Memory(Protocol):
    """What remembers the stages of a call that are done; see `Stages`.

    >>> from saddlepoint.attacks import Stages
    >>> from saddlepoint.evaluation.journal import Journal
    >>> memory: Memory = Stages(Journal(None), "pgd")
    """

    def run(self, batch: Batch, tracker: Any, work: Callable[[], None]) -> None:
        """Do the `work` of a stage, or put back what it did before."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The m samples under attack.

    Attributes:
        guard: the guarded model; call `logits` and `gradient` here instead, which count on the
            right rows.
        threat: the threat model of these samples.
        criterion: what counts as fooled.
        images: (m, …) the clean images in pixels; `clean` are the same images as parameters.
        goals: (m,) y, or t in a targeted attack.
        keys: the random stream of each sample.
        index: (m,) the rows of the caller's batch that these samples are.
        starts: (m, …) images to start from, or None.
        mask: (m, …) True where a feature may change, or None.
        reference: the scale of the logits and the live classes, by the clean images; None where
            no clean pass was made, and each iterate's own logits say it.
        stages: remembers the stages of the call that are done, or None.

    >>> from saddlepoint.attacks import Misclassified
    >>> from saddlepoint.threat import Linf
    >>> images, labels, rows = torch.full((2, 3), 0.5), torch.tensor([0, 1]), torch.arange(2)
    >>> with Guard(torch.nn.Flatten(), count=2) as guard:
    ...     whole = Batch(guard, Linf(0.1), Misclassified(), images, labels, Keys(0, rows), rows)
    ...     one = whole.at(torch.tensor([1]))
    ...     logits = one.logits(one.images)
    ...     guard.forwards
    tensor([0, 1])
    """

    guard: Guard
    threat: ThreatModel
    criterion: Criterion
    images: Float[Tensor, "m ..."]
    goals: Int64[Tensor, " m"]
    keys: Keys
    index: Int64[Tensor, " m"]
    starts: Float[Tensor, "m ..."] | None = None
    mask: Bool[Tensor, "m ..."] | None = None
    reference: Reference | None = None
    stages: Memory | None = None

    def __len__(self) -> int:
        return len(self.images)

    def at(self, rows: Tensor) -> Batch:
        """Return the batch of the rows (indices or a mask) of this one."""
        return replace(
            self,
            threat=self.threat.at(rows),
            images=self.images[rows],
            goals=self.goals[rows],
            keys=self.keys.at(rows),
            index=self.index[rows],
            starts=None if self.starts is None else self.starts[rows],
            mask=None if self.mask is None else self.mask[rows],
            reference=None if self.reference is None else self.reference.at(rows),
        )

    def render(self, x: Float[Tensor, "m ..."]) -> Float[Tensor, "m ..."]:
        """Return the images of the parameters `x` (for a norm ball: `x` itself)."""
        return self.threat.render(self.images, x)

    def logits(self, x: Float[Tensor, "m ..."]) -> Float[Tensor, "m k"]:
        """Return the logits at the parameters `x`; one forward pass."""
        return self.guard.logits(self.render(x), self.index, self.keys)

    def gradient(
        self, x: Float[Tensor, "m ..."], objective: Callable[[Tensor], Tensor]
    ) -> tuple[Float[Tensor, "m k"], Float[Tensor, "m ..."]]:
        """Return the logits at `x` and the gradient of the objective there; a pass each way.

        The gradient of features that may not change is zero: a step spends nothing on them.
        """
        logits, gradient = self.guard.gradient(x, objective, self.index, self.keys, self.render)
        return logits, gradient if self.mask is None else gradient * self.mask

    def jacobian(
        self, x: Float[Tensor, "m ..."], cotangents: Callable[[Tensor], Tensor]
    ) -> tuple[Float[Tensor, "m K"], Float[Tensor, "m k ..."]]:
        """Return the logits at `x` and k vector-Jacobian products per sample; k backward passes.

        `cotangents` turns the logits (m, K) into the weightings of logits (m, k, K) whose gradients
        are wanted.
        """
        logits, rows = self.guard.jacobian(x, cotangents, self.index, self.keys, self.render)
        return logits, rows if self.mask is None else rows * self.mask[:, None]

    @property
    def clean(self) -> Float[Tensor, "m ..."]:
        """The parameters of the clean `images`, which distances are measured from; in a norm ball
        without rescaling, the images themselves.
        """
        return self.threat.parametrise(self.images)

    @cached_property
    def normed(self) -> Normed:
        """The threat model, which must have a norm; raises `InputError` where it has none."""
        if isinstance(self.threat, Normed):
            return self.threat
        raise InputError(f"a {self.threat} has no norm; use Linf, L2, L1 or L0")

    @cached_property
    def ascendable(self) -> Ascendable:
        """The threat model, which must have a steepest direction; raises `InputError` where it has
        none.
        """
        if isinstance(self.threat, Ascendable):
            return self.threat
        raise InputError(f"{self.threat} has no steepest direction; use a gradient-free attack")

    @property
    def ball(self) -> NormBall:
        """The norm ball in the space of the parameters; raises as `normed`."""
        return self.normed.ball

    @property
    def bounds(self) -> tuple[Float[Tensor, "m ..."], Float[Tensor, "m ..."]]:
        """The lowest and highest parameters: the valid range, and the clean value where a feature
        may not change.
        """
        x = self.clean
        low, high = (bound.expand(x.shape) for bound in self.ball.range(x))
        if self.mask is not None:
            low, high = torch.where(self.mask, low, x), torch.where(self.mask, high, x)
        return low, high

    def distance(self, x: Float[Tensor, "m ..."]) -> Float[Tensor, " m"]:
        """Return the norm of `x` minus the clean parameters, in the precision of the loop."""
        return self.ball.norm(x - self.clean)

    def shrunk(
        self, x: Float[Tensor, "m ..."], radius: Float[Tensor, " m"]
    ) -> Float[Tensor, "m ..."]:
        """Return the nearest parameters to `x` whose distance is `radius` at most."""
        return self.normed.with_eps(radius).project(self.images, self.masked(x))

    def random_start(
        self,
        *,
        restart: int,
        gaussian: bool = False,
        radius: Float[Tensor, " m"] | None = None,
        keys: Keys | None = None,
    ) -> Float[Tensor, "m ..."]:
        """Return parameters drawn from the ball of the features that may change, of its budget or of
        `radius`.
        """
        threat = self.ascendable if radius is None else self.normed.with_eps(radius)
        given = self.keys if keys is None else keys
        # A threat model of somebody's need not know of masks until there is one.
        free = {} if self.mask is None else {"free": self.mask}
        drawn = threat.random_start(self.images, given, restart=restart, gaussian=gaussian, **free)
        return self.masked(drawn)

    def margin(self, logits: Float[Tensor, "m k"]) -> Float[Tensor, " m"]:
        """Return the criterion's margin, negative where fooled."""
        return self.criterion.margin(logits, self.goals)

    @property
    def aimed(self) -> Aimed | None:
        """The criterion, where any of several classes meets it and each can be aimed at, else
        None.
        """
        return self.criterion if isinstance(self.criterion, Aimed) else None

    def aims(self, logits: Float[Tensor, "m k"]) -> Bool[Tensor, "m k"]:
        """Return the classes that an attack may aim at; all but the goal where the criterion does
        not say.
        """
        width, goals = logits.shape[1], self.goals
        every = torch.arange(width, device=goals.device) != goals[:, None]
        return every if self.aimed is None else self.aimed.aims(goals, width)

    def holder(self, logits: Float[Tensor, "m k"]) -> Int64[Tensor, " m"]:
        """Return the class that an attack has to overcome: the goal, or, where the criterion has
        more that fool nobody, the highest of them.
        """
        if self.aimed is None or self.aimed.holders == 1:
            return self.goals
        return logits.detach().masked_fill(self.aims(logits), -torch.inf).argmax(1)

    def margin_slopes(self, logits: Float[Tensor, "m k"]) -> Float[Tensor, "m k"]:
        """Return the gradient of the margin in the logits.

        >>> from saddlepoint.attacks import Misclassified
        >>> from saddlepoint.threat import L2
        >>> logits, rows = torch.tensor([[1.0, 3.0, 2.0]]), torch.arange(1)
        >>> guard = Guard(torch.nn.Flatten(), 1)
        >>> batch = Batch(guard, L2(), Misclassified(), logits, rows, Keys(0, rows), rows)
        >>> batch.margin_slopes(logits)
        tensor([[ 1., -1.,  0.]])
        """
        with torch.enable_grad():
            free = logits.detach().requires_grad_()
            return torch.autograd.grad(self.margin(free).sum(), free)[0]

    def live(self, logits: Float[Tensor, "m k"]) -> Bool[Tensor, "m k"]:
        """Return which classes are not masked; by the clean logits where those are known."""
        return live_classes(logits) if self.reference is None else self.reference.live

    def rounding(self, logits: Float[Tensor, "m k"]) -> Float[Tensor, " m"]:
        """Return how far below 0 the margin at these logits must be to hold in another batch."""
        clean = Reference.here(logits) if self.reference is None else self.reference
        # A step in the image is rounded as well.
        coarser = max(self.guard.logits_dtype, self.images.dtype, key=lambda d: torch.finfo(d).eps)
        return rounding(logits, clean, coarser)

    def surely_fooled(self, logits: Float[Tensor, "m k"]) -> Bool[Tensor, " m"]:
        """Return, per sample, whether these logits fool by more than rounding may undo.

        >>> from saddlepoint.attacks import Misclassified
        >>> from saddlepoint.threat import L2
        >>> logits, rows = torch.tensor([[1.0, 1.1, 0.0], [1.0, 1.000001, 0.0]]), torch.arange(2)
        >>> guard, goals = Guard(torch.nn.Flatten(), 2), torch.zeros_like(rows)
        >>> batch = Batch(guard, L2(), Misclassified(), logits, goals, Keys(0, rows), rows)
        >>> batch.surely_fooled(logits)
        tensor([ True, False])
        """
        return self.margin(logits) < -self.rounding(logits)

    def loss(self, name: str) -> Callable[[Tensor], Tensor]:
        """Return the loss that an attack ascends, from logits (m, k) to a number per sample (m,).

        "cross-entropy" sharpens logits that hardly differ; see `Reference.sharpening`. Raises
        `InputError` for a name that is not in `LOSSES`.
        """
        if name not in LOSSES:
            raise unknown("loss", name, LOSSES)
        loss, criterion = LOSSES[name], self.criterion
        if name != "cross-entropy" or self.reference is None:
            return lambda logits: loss(criterion, logits, self.goals)
        factor = self.reference.sharpening[:, None]
        return lambda logits: loss(criterion, logits * factor, self.goals)

    def project(self, x: Float[Tensor, "m ..."]) -> Float[Tensor, "m ..."]:
        """Return `x` with masked features put back, projected on the budget and the range."""
        if self._clip_bounds is None:
            return self.threat.project(self.images, self.masked(x))
        low, high = self._clip_bounds
        return x.clamp(low, high)

    @cached_property
    def _clip_bounds(self) -> tuple[Tensor, Tensor] | None:
        """The bounds of each parameter where projecting is clipping, else None; computed once."""
        if not isinstance(self.threat, Clippable):
            return None
        bounds = self.threat.clip_bounds(self.images)
        return None if bounds is None else (self.masked(bounds[0]), self.masked(bounds[1]))

    def masked(self, x: Float[Tensor, "m ..."]) -> Float[Tensor, "m ..."]:
        """Return `x` with the features that may not change put back."""
        if self.mask is None:
            return x
        return torch.where(self.mask, x, self.threat.parametrise(self.images))
