"""Adversarial weight perturbation around another robust objective."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from saddlepoint.data import ImageData
from saddlepoint.defences.objectives.two_phases import TwoPhases
from saddlepoint.errors import InputError
from saddlepoint.objectives.contract import (
    Running,
    Standing,
    StepOutput,
    TrainingBatch,
    TrainingObjective,
    running,
    threat_of,
)
from saddlepoint.objectives.passes import backward, still
from saddlepoint.option_values import Natural, NonNegative, check_fields
from saddlepoint.threat import ThreatModel


@dataclass(frozen=True)
class AWP:
    """AWP: the weights are perturbed adversarially too, and restored after the optimiser's step.

    x' is made at w. One step up the same robust loss there gives v = γ‖w‖·g/‖g‖ for each weight
    tensor of more than one dimension; gradients, momentum and weight decay are those at w + v; then
    v is taken away again: w⁺ = (w + v) − η·(g(w + v) + λ(w + v)) − v. Penalties see w + v too.

    The pass that finds v sees the batch's statistics and moves no running ones. The reference
    implementation runs it in a copy of the model; the copy takes over the weights at every step and
    so carries nothing.

    Args:
        objective: what is made robust to weights too: PGD adversarial training, TRADES, MART, or any
            other that perturbs first and then descends.
        gamma: γ, the size of v relative to the weights: 1e-2 around PGD adversarial training, 5e-3
            around TRADES and MART.
        warmup: epochs before the first perturbation: 0 around PGD, 10 around TRADES and MART.

    Reference: Wu, Xia and Wang 2020, arXiv:2004.05884.

    >>> from saddlepoint.defences import TRADES
    >>> from saddlepoint.threat import Linf
    >>> str(AWP(TRADES(Linf(0.031)), gamma=5e-3, warmup=10).threat)
    'Linf 0.031'
    """

    objective: TrainingObjective
    gamma: NonNegative = 1e-2
    warmup: Natural = 0

    paper = "Wu et al. 2020, arXiv:2004.05884"
    cost = "its objective's, and its loss's full passes once more"

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.objective, TwoPhases):
            raise InputError(
                f"AWP cannot wrap {type(self.objective).__name__}, which has no loss apart from its"
                " perturbation; wrap adversarial-training, trades or mart"
            )

    @property
    def threat(self) -> ThreatModel | None:
        """The threat model of the objective inside."""
        return threat_of(self.objective)

    def begin(self, model: nn.Module, data: ImageData | None = None) -> PerturbedWeights:
        """Return the run, which holds v between a step's gradients and its end."""
        return PerturbedWeights(self, running(self.objective, model, data))

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients at w + v; the model comes out at w."""
        run = PerturbedWeights(self, Standing())  # of an objective that has not begun
        output = run.accumulate(model, batch)
        run.after_step(model)
        return output


@dataclass(eq=False)
class PerturbedWeights(Standing):
    """A run of AWP.

    >>> from saddlepoint.attacks import FGSM
    >>> from saddlepoint.defences import AdversarialTraining
    >>> from saddlepoint.threat import Linf
    >>> net = nn.Linear(2, 2)
    >>> run = AWP(AdversarialTraining(FGSM(Linf(0.1))), gamma=0.1).begin(net)
    >>> before = net.weight.detach().clone()
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> _ = run.accumulate(net, batch)
    >>> round(float((net.weight.detach() - before).norm() / before.norm()), 3)
    0.1
    >>> run.after_step(net)
    >>> bool(torch.allclose(net.weight, before))
    True
    """

    awp: AWP
    inner: Running
    perturbation: dict[str, Tensor] = field(default_factory=dict)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Perturb the images at w, then the weights, and add the gradients at w + v."""
        objective = self.inner if isinstance(self.inner, TwoPhases) else self.awp.objective
        assert isinstance(objective, TwoPhases)
        adversarials = objective.perturb(model, batch)
        if batch.epoch >= self.awp.warmup and self.awp.gamma > 0:
            with _same_draws(batch):
                self.perturbation = self._steepest(objective, model, batch, adversarials)
            self._move(model, 1.0)
        return backward(batch, *objective.loss(model, batch, adversarials))

    def after_step(self, model: nn.Module) -> None:
        """Take v away."""
        self._move(model, -1.0)
        self.perturbation = {}
        self.inner.after_step(model)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state of the objective inside."""
        return self.inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the state of the objective inside."""
        self.inner.load_state_dict(state)

    def _steepest(
        self, objective: TwoPhases, model: nn.Module, batch: TrainingBatch, adversarials: Tensor
    ) -> dict[str, Tensor]:
        """Return v = γ‖w‖·g/‖g‖ by name."""
        chosen = {
            name: p
            for name, p in model.named_parameters()
            if p.requires_grad and p.ndim > 1 and "weight" in name
        }
        if not chosen:
            raise InputError("AWP finds no weight with more than one dimension in the model")
        with still(model):
            loss, _ = objective.loss(model, batch, adversarials)
        gradients = torch.autograd.grad(loss, list(chosen.values()), allow_unused=True)
        found = {}
        for (name, weight), g in zip(chosen.items(), gradients, strict=True):
            if g is not None:
                size = self.awp.gamma * weight.detach().norm()
                found[name] = size * g / g.norm().clamp(min=torch.finfo(g.dtype).tiny)
        return found

    @torch.no_grad()
    def _move(self, model: nn.Module, sign: float) -> None:
        parameters = dict(model.named_parameters())
        for name, v in self.perturbation.items():
            parameters[name].add_(v, alpha=sign)


@contextlib.contextmanager
def _same_draws(batch: TrainingBatch) -> Iterator[None]:
    """Put torch's generators back, so that layers that draw do so alike at w and at w + v."""
    device = batch.images.device
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
