"""What adversarial training is compared with: noise in the input, and steps in a hidden layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.attacks import Attack, Batch, FixedBudget, Misclassified, Tracker
from saddlepoint.defences import Mixed, StepOutput, TrainingBatch
from saddlepoint.errors import InputError
from saddlepoint.objectives.passes import backward, evaluating
from saddlepoint.option_values import Fraction, Positive, check_fields
from saddlepoint.threat.norms import expand, unit
from saddlepoint.zoo.maxout import Maxout


@dataclass(frozen=True, kw_only=True)
class RandomSigns(FixedBudget):
    """The whole budget on every pixel, up or down at random: as large as FGSM's step.

    >>> from saddlepoint.threat import Linf
    >>> attack, x = RandomSigns(Linf(0.25)), torch.full((1, 4), 0.5)
    >>> attack.candidates(nn.Flatten(), x, torch.tensor([0])).sub(x).abs()
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    norms = ("Linf",)
    paper = "Goodfellow et al. 2015, arXiv:1412.6572, section 6"
    cost = "1 forward"
    gradient_free = True

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Draw the signs."""
        x = batch.threat.parametrise(batch.images)
        signs = (batch.keys.uniform(tuple(x.shape[1:])) - 0.5).sign().to(x)
        tracker.offer(batch, batch.project(x + expand(batch.threat.radius(x), x) * signs))


@dataclass(frozen=True)
class NoisyTraining:
    """The mixed objective with noise in the place of the attack: α·J(x) + (1 − α)·J(x + noise).

    It trains for no budget, and is validated on clean images.

    Args:
        noise: draws from the ball without looking at the model, for instance `RandomSigns`.
        clean: α, the weight of the clean images.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 6.

    >>> from saddlepoint.defences import threat_of
    >>> from saddlepoint.threat import Linf
    >>> threat_of(NoisyTraining(RandomSigns(Linf(0.25)))) is None
    True
    """

    noise: Attack
    clean: Fraction = 0.5

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.noise.gradient_free:
            raise InputError(f"the noise is {self.noise!r:.60}; give one that asks for no gradient")

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients at the clean and at the noisy images."""
        return Mixed(self.noise, self.clean).accumulate(model, batch)


@dataclass(frozen=True)
class HiddenStep:
    """Adversarial training in a hidden layer of a maxout network: α·J(h) + (1 − α)·J(h').

    h' is h + size·sign ∇ ("added"), or h turned by the angle `size` towards the gradient, its length
    kept ("rotated"): a network cannot escape that by making h long.

    Args:
        layer: 1 or 2, after whose units the step is taken.
        kind: of the step.
        size: of the step, in the units' own values or in radians.
        clean: α, the weight of the clean activations.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 6.

    >>> net = Maxout(units=3, reach=0.5, size=2, classes=2)
    >>> x, y = torch.ones(2, 1, 2, 2), torch.tensor([0, 1])
    >>> output = HiddenStep(1, "rotated", 0.5).accumulate(net, TrainingBatch(x, y, torch.arange(2), 0))
    >>> bool(net.layers.maxout1.linear.weight.grad.any())
    True
    """

    layer: Literal[1, 2]
    kind: Literal["added", "rotated"]
    size: Positive
    clean: Fraction = 0.5

    def __post_init__(self) -> None:
        check_fields(self)

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients at the clean and at the perturbed activations."""
        assert isinstance(model, Maxout)
        below, above = halves(model, self.layer)
        hidden = below(batch.images)
        inside = hidden.detach().requires_grad_()
        with evaluating(above):  # as an attack on the input, without dropout
            # The log-odds rise with the cross-entropy, and their gradient does not vanish.
            odds = Misclassified().log_odds(above(inside), batch.labels)
        (gradient,) = torch.autograd.grad(odds.sum(), inside)
        moved = added(hidden, gradient, self.size)
        if self.kind == "rotated":
            moved = rotated(hidden, gradient, self.size)
        clean = functional.cross_entropy(above(hidden), batch.labels)
        logits = above(moved)
        perturbed = functional.cross_entropy(logits, batch.labels)
        return backward(batch, self.clean * clean + (1 - self.clean) * perturbed, logits)


def halves(model: Maxout, layer: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the network up to the units of a hidden layer, and from there to the logits.

    >>> below, above = halves(Maxout(units=3, size=2), 1)
    >>> above(below(torch.ones(1, 1, 2, 2))).shape
    torch.Size([1, 10])
    """
    names = [name for name, _ in model.layers.named_children()]
    end = names.index(f"maxout{layer}") + 1
    return model.layers[:end], model.layers[end:]


def added(
    hidden: Float[Tensor, "n u"], gradient: Float[Tensor, "n u"], eps: float
) -> Float[Tensor, "n u"]:
    """Return the activations moved by eps each, along the signs of the gradient.

    >>> added(torch.tensor([[1.0, 0.0]]), torch.tensor([[-3.0, 2.0]]), 0.5)
    tensor([[0.5000, 0.5000]])
    """
    return hidden + eps * gradient.sign()


def rotated(
    hidden: Float[Tensor, "n u"], gradient: Float[Tensor, "n u"], angle: float
) -> Float[Tensor, "n u"]:
    """Return the activations turned by an angle towards the gradient, as long as before; those that
    lie along it already stay.

    >>> rotated(torch.tensor([[2.0, 0.0]]), torch.tensor([[5.0, 1.0]]), torch.pi / 4)
    tensor([[1.4142, 1.4142]])
    """
    own = unit(hidden.detach(), 2)
    across = gradient - (gradient * own).sum(1, keepdim=True) * own
    length: Tensor = torch.linalg.vector_norm(hidden, dim=1, keepdim=True)
    turned = math.cos(angle) * hidden + math.sin(angle) * length * unit(across, 2)
    return torch.where(across.any(1, keepdim=True), turned, hidden)


def first_layer_l1(model: nn.Module) -> Float[Tensor, ""]:
    """Return the sum of the absolute weights of a maxout network's first layer, a penalty.

    >>> first_layer_l1(Maxout(units=1, pieces=1, reach=0.0))
    tensor(0., grad_fn=...)
    """
    return first_weights(model).abs().sum()


def first_weights(model: nn.Module) -> Float[Tensor, "filters d"]:
    """Return the weights of the affine functions of a maxout network's first layer.

    >>> first_weights(Maxout(units=3, pieces=2)).shape
    torch.Size([6, 784])
    """
    assert isinstance(model, Maxout)
    layer = model.layers.get_submodule("maxout1.linear")
    assert isinstance(layer, nn.Linear)
    return layer.weight
