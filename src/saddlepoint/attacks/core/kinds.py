"""The two kinds of attack, and all that differs between them.

An attack with a fixed budget looks for the image of smallest margin within it; a minimum-norm
attack for the nearest image that fools. A wrapper has the kind of the attack inside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.criteria import predict, tied
from saddlepoint.attacks.core.final_search import push_outwards
from saddlepoint.attacks.core.inputs import with_budget
from saddlepoint.attacks.core.restarts import elsewhere, other_ways
from saddlepoint.attacks.core.result import AttackResult
from saddlepoint.attacks.core.stages import stage
from saddlepoint.attacks.core.tracker import Best, Last, Nearest, Tracker
from saddlepoint.errors import InputError
from saddlepoint.model import full_precision
from saddlepoint.threat import ThreatModel, norm_of, unlimited
from saddlepoint.threat.norms import expand


class Loop(Protocol):
    """The part of an attack that its kind and a judged call use: options, and `perturb`."""

    @property
    def kind(self) -> Kind:
        """What it looks for."""

    @property
    def stop(self) -> str:
        """When a sample is finished: "success" or "never"."""

    @property
    def keep(self) -> str:
        """Which iterate goes to the judge: "best" or "last"."""

    @property
    def autocast(self) -> Literal["bf16"] | None:
        """The shorter precision of the loop."""

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the loop."""


class Kind(ABC):
    """What an attack looks for, and what follows from it.

    >>> FIXED_BUDGET.name, MINIMUM_NORM.name
    ('fixed budget', 'minimum norm')
    """

    name: ClassVar[str]

    @abstractmethod
    def check(self, threat: ThreatModel, keep: str, attack: str) -> None:
        """Raise `InputError` where an attack of that name cannot be built for the threat model, or
        cannot keep what it should.
        """

    @abstractmethod
    def budgeted(
        self, threat: ThreatModel, eps: float | Tensor | None, count: int, attack: str
    ) -> ThreatModel:
        """Return the threat model of a call with `count` images, with `eps` in place of its budget.

        Raises `InputError` for a budget that is missing, or that makes no sense.
        """

    @abstractmethod
    def tracker(
        self, attack: Loop, images: Tensor, *, random: bool = False, to_the_end: bool = False
    ) -> Tracker:
        """Return what tracks the iterates of a call: one lucky draw finishes no `random` model, and
        nothing finishes a sample in a run `to_the_end`.
        """

    @abstractmethod
    def training_tracker(self, images: Tensor) -> Tracker:
        """Return what tracks the iterates of an attack that is trained on."""

    @abstractmethod
    def search(self, attack: Loop, batch: Batch, tracker: Tracker) -> None:
        """Run the loop of a call, with what comes before it and after."""

    @abstractmethod
    def restart(self, attack: Loop, batch: Batch, tracker: Tracker, restarts: int) -> None:
        """Run the loop again, `restarts` times in all with the run before, from elsewhere."""

    @abstractmethod
    def doubtful(self, attack: Loop, tracker: Tracker, result: AttackResult) -> Bool[Tensor, " n"]:
        """Return which samples are to be attacked again, in full precision to the end.

        Under autocast, TensorFloat-32 or in a model that is random without saying so, a sample may
        be finished by an iterate that the judge does not confirm; it would then pass for robust.
        """

    @abstractmethod
    def settle(
        self, result: AttackResult, images: Float[Tensor, "n ..."], clean: Float[Tensor, "n k"]
    ) -> AttackResult:
        """Return the judge's result with what a failure of this kind returns."""


class FixedBudgetKind(Kind):
    """The image of smallest margin within a budget."""

    name = "fixed budget"

    def check(self, threat: ThreatModel, keep: str, attack: str) -> None:
        """Accept any budget: it may come with the call."""

    def budgeted(
        self, threat: ThreatModel, eps: float | Tensor | None, count: int, attack: str
    ) -> ThreatModel:
        """Return the threat model with a budget; see `Kind`."""
        return with_budget(threat, eps, count, attack)

    def tracker(
        self, attack: Loop, images: Tensor, *, random: bool = False, to_the_end: bool = False
    ) -> Tracker:
        """Return a `Best`, or a `Last` where the attack keeps the last iterate."""
        stop = "never" if random or to_the_end else attack.stop
        return Last(images) if attack.keep == "last" else Best(images, stop)

    def training_tracker(self, images: Tensor) -> Tracker:
        """Return a `Last`."""
        return Last(images)

    def search(self, attack: Loop, batch: Batch, tracker: Tracker) -> None:
        """Run the loop alone."""
        attack.perturb(batch, tracker)

    def restart(self, attack: Loop, batch: Batch, tracker: Tracker, restarts: int) -> None:
        """Run the loop from points drawn in the ball, on what is not finished."""
        for restart in range(1, restarts):
            active = tracker.unfinished(batch)
            if not len(active):
                return
            there = elsewhere(active, restart, restart % 2 == 1)
            stage(there, tracker, partial(attack.perturb, there, tracker))

    def doubtful(self, attack: Loop, tracker: Tracker, result: AttackResult) -> Bool[Tensor, " n"]:
        """Return what only the loop believes fooled."""
        return tracker.fooled & ~result.success & ~result.rejected

    def settle(
        self, result: AttackResult, images: Float[Tensor, "n ..."], clean: Float[Tensor, "n k"]
    ) -> AttackResult:
        """Return the result as it is: the best try is worth having."""
        return result


class MinimumNormKind(Kind):
    """The nearest image that fools; a failure has distance infinity."""

    name = "minimum norm"

    def check(self, threat: ThreatModel, keep: str, attack: str) -> None:
        """Raise `InputError` unless the threat model is a norm without a budget, and the nearest is
        kept.
        """
        if keep == "last":
            raise InputError(f"{attack} keeps the nearest; leave keep out")
        if not unlimited(threat):
            raise InputError(
                f"{attack} finds the smallest distance itself: give {norm_of(threat)}() without a"
                " budget"
            )

    def budgeted(
        self, threat: ThreatModel, eps: float | Tensor | None, count: int, attack: str
    ) -> ThreatModel:
        """Return the threat model as it is; raise `InputError` where there is a budget."""
        if eps is not None:
            raise InputError(f"{attack} finds the smallest distance: leave eps out")
        return threat

    def tracker(
        self, attack: Loop, images: Tensor, *, random: bool = False, to_the_end: bool = False
    ) -> Tracker:
        """Return a `Nearest`."""
        return Nearest(images, random)

    def training_tracker(self, images: Tensor) -> Tracker:
        """Return a `Nearest`."""
        return Nearest(images)

    def search(self, attack: Loop, batch: Batch, tracker: Tracker, staged: bool = False) -> None:
        """Record the given starts, run the loop, and push what a random model lets through outwards.

        With `staged` the loop is a stage, as it is inside another attack.
        """
        if batch.starts is not None:
            tracker.offer(batch, batch.project(batch.threat.parametrise(batch.starts)))
        work = partial(attack.perturb, batch, tracker)
        # TensorFloat-32 is coarser than the way that is left near a boundary.
        with full_precision(batch.guard.device, not attack.autocast):
            if staged:
                stage(batch, tracker, work)
            else:
                work()
        if batch.guard.random and isinstance(tracker, Nearest):
            push_outwards(batch, tracker)

    def found(self, attack: Loop, batch: Batch, tracker: Tracker) -> Nearest:
        """Run an attack inside another one, whose tracker is `tracker`; return what it found, for the
        whole call.

        As in a call of its own, float32 is not shortened, and a success against a random model has
        to hold in several draws.
        """
        nearest = Nearest(tracker.images, batch.guard.random)
        self.search(attack, batch, nearest, staged=True)
        return nearest

    def restart(self, attack: Loop, batch: Batch, tracker: Tracker, restarts: int) -> None:
        """Search afresh, by turns towards another class and from a random point."""
        if restarts == 1:
            return
        for there in other_ways(batch, tracker, restarts):
            found = self.found(attack, there, tracker).images[batch.index]
            tracker.offer(batch, batch.threat.parametrise(found))

    def doubtful(self, attack: Loop, tracker: Tracker, result: AttackResult) -> Bool[Tensor, " n"]:
        """Return what only the loop believes fooled, and under autocast what it did not fool."""
        failed = ~result.success & ~result.rejected
        # bfloat16 may not see what fools.
        return failed if attack.autocast is not None else tracker.fooled & failed

    def settle(
        self, result: AttackResult, images: Float[Tensor, "n ..."], clean: Float[Tensor, "n k"]
    ) -> AttackResult:
        """Return the clean image, infinitely far, for every failure."""
        success = result.success
        return replace(
            result,
            adversarials=torch.where(expand(success, images), result.adversarials, images),
            distance=torch.where(success, result.distance, torch.inf),
            predictions=torch.where(success, result.predictions, predict(clean)),
            tied=torch.where(success, result.tied, tied(clean)),
        )


FIXED_BUDGET = FixedBudgetKind()
MINIMUM_NORM = MinimumNormKind()
