"""AdvGAN: a network learns to perturb any image so that a given network errs, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from saddlepoint.attacks import Misclassified
from saddlepoint.data import ImageData
from saddlepoint.data.batches import batches
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, device_of, is_random
from saddlepoint.objectives.contract import Standing, StepOutput, TrainingBatch
from saddlepoint.objectives.game_losses import minimax
from saddlepoint.objectives.opponent import Opponent, blamed
from saddlepoint.objectives.passes import evaluating, held
from saddlepoint.option_values import NonNegative, Positive, check_fields
from saddlepoint.threat import Linf, ThreatModel
from saddlepoint.zoo.critic import Critic
from saddlepoint.zoo.perturber_file import TrainedFor, as_perturber, perturber_metadata
from saddlepoint.zoo.weights import weights_fingerprint

_MARGIN = Misclassified()


@dataclass(frozen=True, kw_only=True)
class AdvGANGame:
    """The game of a perturber G against a target f and a discriminator D, without its target.

    L = E ℓ(f(x + δ), y) + α·E[log D(x) + log(1 − D(x + δ))] + β·E max(0, ‖δ‖₂ − c), δ = eps·G(x),
    where x + δ is clipped to the valid range. G descends L; D ascends the term of α by an optimiser of
    its own, one step before G's. `against(f)` is what is trained. The hinge is a soft bound in L2
    inside the hard one in Linf, which tanh keeps.

    Args:
        threat: Linf.
        loss: ℓ: "margin", the hinge max(−κ, Z_y − max_{j≠y} Z_j) of Carlini and Wagner (their f₆), or
            "cross-entropy", −CE of the true class.
        confidence: κ.
        alpha, beta: the weights of the game and of the hinge.
        c: of the hinge; None is 0.5·eps·√n, n the features of an image (our choice).
        discriminator_rate: the learning rate of D's Adam (β₁ = 0.5).

    Raises `InputError` for another norm.

    Reference: Xiao, Li, Zhu, He, Liu and Song 2018, arXiv:1801.02610.

    >>> AdvGANGame(threat=Linf(0.1)).hinge((1, 8, 8))
    0.4
    """

    threat: ThreatModel
    loss: Literal["margin", "cross-entropy"] = "margin"
    confidence: NonNegative = 0.0
    alpha: NonNegative = 1.0
    beta: NonNegative = 10.0
    c: Positive | None = None
    discriminator_rate: Positive = 1e-3

    paper: ClassVar[str] = "Xiao et al. 2018, arXiv:1801.02610"
    cost: ClassVar[str] = "1 pass each way through G and the target, 2 through D"

    def __post_init__(self) -> None:
        check_fields(self, "advgan")
        if not isinstance(self.threat, Linf) or isinstance(self.threat.eps, Tensor):
            raise InputError(f"advgan trains for Linf with one eps, not for {self.threat}")

    @property
    def eps(self) -> float:
        """The budget."""
        assert isinstance(self.threat, Linf)
        return float(self.threat.eps)

    def hinge(self, shape: tuple[int, ...]) -> float:
        """Return c for images of a shape."""
        return (
            0.5 * self.eps * float(torch.Size(shape).numel()) ** 0.5 if self.c is None else self.c
        )

    def against(self, target: nn.Module) -> AdvGANAgainst:
        """Return the game against a target, which is trained."""
        return AdvGANAgainst(game=self, target=target)

    def check(self, model: nn.Module, data: ImageData) -> None:
        """Raise `InputError`: a game without a target cannot be played."""
        raise InputError(
            "advgan needs the network that it is to fool: give --target WEIGHTS, in Python"
            " AdvGANGame(…).against(model)"
        )

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Raise as `check`."""
        raise InputError("advgan has no target; see AdvGANGame.against")


@dataclass(frozen=True, kw_only=True)
class AdvGANAgainst:
    """The game against a target; its configuration holds the target's fingerprint.

    >>> from saddlepoint.zoo import weights_fingerprint
    >>> net = nn.Linear(2, 2)
    >>> AdvGANGame(threat=Linf(0.1)).against(net).fingerprint == weights_fingerprint(net)
    True
    """

    game: AdvGANGame
    target: nn.Module
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.target, nn.Module):
            raise InputError(f"the target is {self.target!r:.60}; give a torch.nn.Module")
        object.__setattr__(self, "fingerprint", weights_fingerprint(self.target))

    @property
    def threat(self) -> ThreatModel:
        """The budget that is trained for."""
        return self.game.threat

    def check(self, model: nn.Module, data: ImageData) -> None:
        """Raise `InputError` unless the model is a perturber of the data's images, and sound, and the
        target classifies them.
        """
        net, images = as_perturber(model, data.shape), data.images(torch.arange(min(2, len(data))))
        device = device_of(model)
        with torch.no_grad(), evaluating(net):
            made = net(images.to(device))
        if not bool(made.isfinite().all()):
            raise InputError("the perturber makes NaN; lower the learning rate")
        if device_of(self.target) != device:
            raise InputError(
                f"the target is on {device_of(self.target)}, the perturber on {device}; move one"
            )
        with Guard(self.target, len(images)) as guard:
            width = guard.logits(images.to(device)).shape[1]
        if width < len(data.classes):
            raise InputError(
                f"the target has {width} classes, {data.name} has {len(data.classes)}; give a target"
                " of these classes"
            )
        if is_random(self.target):
            raise InputError(
                "the target is random at inference; train against it without its noise"
            )

    def begin(self, model: nn.Module, data: ImageData) -> AdvGANRun:
        """Return what runs in its place."""
        return AdvGANRun(self, model, data.shape)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Raise: what `begin` returns does it."""
        raise TypeError("AdvGANAgainst begins first")


class AdvGANRun(Standing):
    """A game at work: D, its optimiser, and the passes that were made.

    >>> from saddlepoint.zoo.perturber import ConstantPerturber
    >>> f = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> run = AdvGANRun(AdvGANGame(threat=Linf(0.1)).against(f), ConstantPerturber(1, 8), (1, 8, 8))
    >>> x, y = torch.rand(4, 1, 8, 8), torch.zeros(4).long()
    >>> output = run.accumulate(ConstantPerturber(1, 8), TrainingBatch(x, y, y, seed=0))
    >>> sorted(output.sums)
    ['adversarial_loss', 'discriminator_loss', 'fooled', 'game_loss', 'hinge_loss', 'perturber_loss']
    """

    def __init__(self, objective: AdvGANAgainst, model: nn.Module, shape: tuple[int, ...]) -> None:
        self.game, self.target = objective.game, objective.target
        self._fingerprint, self._c = objective.fingerprint, self.game.hinge(shape)
        critic = Critic(shape[0]).to(device_of(model))
        self.opponent = Opponent(critic, self.game.discriminator_rate)
        self.images = 0  # that were perturbed so far

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Take D's step, then add the gradients of L to G's; see `AdvGANGame`."""
        x, y = batch.images, batch.labels
        with batch.autocast():
            delta = self.game.eps * model(x)
            moved = self.moved(x, delta)
            lost = self._step(x, moved.detach())
            with evaluating(self.target), held(self.target), held(self.opponent.network):
                logits = self.target(moved).float()
                fakes = self.opponent.logits(moved)
                adversarial = self._adversarial(logits, y)
                game = minimax(fakes)  # log D(x) has no gradient of G
                hinge = (delta.float().flatten(1).norm(dim=1) - self._c).clamp_min(0)
                loss = (adversarial + self.game.alpha * game + self.game.beta * hinge).mean()
                loss.backward()
        n, loss = len(x), loss.detach()
        self.images += n
        of_d, of_g = blamed(lost, loss, moved.detach(), fakes.detach())
        told = {"adversarial_loss": adversarial, "game_loss": game, "hinge_loss": hinge}
        # The players first: they say what spoilt the others.
        sums = {"discriminator_loss": (of_d * n, n), "perturber_loss": (of_g * n, n)}
        sums |= {name: (value.detach().sum(), n) for name, value in told.items()}
        sums["fooled"] = ((logits.argmax(1) != y).sum(), n)
        return StepOutput(loss, sums)

    def moved(
        self, x: Float[Tensor, "n ..."], delta: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n ..."]:
        """Return x + δ within the valid range; the gradient stops at its bounds."""
        low, high = self.game.threat.range(x)  # type: ignore[attr-defined]
        return (x + delta).clamp(low, high)

    def _adversarial(self, logits: Tensor, y: Tensor) -> Tensor:
        if self.game.loss == "cross-entropy":
            return -cross_entropy(logits, y, reduction="none")
        return _MARGIN.margin(logits, y).clamp_min(-self.game.confidence)

    def _step(self, x: Tensor, moved: Tensor) -> Tensor:
        """Take a step of D on −E[log D(x) + log(1 − D(x + δ))], and return that."""
        if self.game.alpha == 0:
            return torch.zeros((), device=x.device)  # nobody listens to it
        return self.opponent.step(x, moved)[0]

    def measure(self, model: nn.Module, data: ImageData) -> dict[str, float]:
        """Return the share of images that the target has right and is then fooled by."""
        device, right, fooled = device_of(model), 0, 0
        with torch.no_grad(), evaluating(model), Guard(self.target, len(data)) as guard:
            for rows, x, y in batches(data, torch.arange(len(data)), 512, device=device):
                index = rows.to(device)
                clean = guard.logits(x, index).argmax(1) == y
                moved = self.moved(x, self.game.eps * model(x))
                right += int(clean.sum())
                fooled += int((clean & (guard.logits(moved, index).argmax(1) != y)).sum())
        return {"fooled": fooled / max(right, 1)}

    def metadata(self, model: nn.Module) -> Mapping[str, str]:
        """Return what is written into the file of weights; see `read_perturber`."""
        passes = 2 * self.images  # forward and backward
        trained = TrainedFor("linf", self.game.eps, self._fingerprint, passes, passes)
        return perturber_metadata(model, trained)

    def state_dict(self) -> dict[str, Tensor]:
        """Return D, the moments of its optimiser, and how many images were perturbed."""
        return {**self.opponent.state_dict(), "images": torch.tensor(self.images)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned."""
        self.images = int(state["images"])
        self.opponent.load_state_dict(state)
