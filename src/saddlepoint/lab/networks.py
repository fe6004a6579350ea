"""Shallow classifiers with an independent probability per class: linear ones, and Gaussians."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from saddlepoint.data import ImageData
from saddlepoint.defences import StepOutput, TrainingBatch
from saddlepoint.streams import generator


class OneVersusAll(nn.Module):
    """A linear score per class, log p_k = log σ(w_k·x + b_k).

    The outputs are log-probabilities that do not add up to 1 over the classes: a shallow network
    may say that an image is of none.

    >>> OneVersusAll(4, 3)(torch.zeros(1, 1, 2, 2))
    tensor([[-0.6931, -0.6931, -0.6931]], grad_fn=...)
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, features))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return log p_k."""
        return functional.logsigmoid(images.flatten(1) @ self.weight.T + self.bias)


class RBF(nn.Module):
    """A Gaussian per class, log p_k = −Σ_i β_ki (x_i − μ_ki)²: confident near its centre only.

    Args:
        centres: (k, d) to begin with, for instance the class means.
        width: the precision β of every pixel to begin with.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 7.

    >>> RBF(torch.zeros(2, 3), 1.0)(torch.tensor([[1.0, 1.0, 0.0]]))
    tensor([[-2., -2.]], grad_fn=...)
    """

    def __init__(self, centres: Float[Tensor, "k d"], width: float) -> None:
        super().__init__()
        self.centres = nn.Parameter(centres.clone())
        self.log_precision = nn.Parameter(torch.full_like(centres, width).log())

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return log p_k."""
        away = images.flatten(1)[:, None] - self.centres
        return -(self.log_precision.exp() * away.square()).sum(2)


def class_means(data: ImageData) -> Float[Tensor, "k d"]:
    """Return the mean image of every class as a vector; zero for a class without images.

    >>> from saddlepoint.data import load_data
    >>> class_means(load_data("digits", limit=20)).shape
    torch.Size([10, 64])
    """
    x = data.images(torch.arange(len(data))).flatten(1)
    own = functional.one_hot(data.labels.to(x.device), len(data.classes)).to(x)
    return (own.T @ x) / own.sum(0).clamp(min=1)[:, None]


class EachClass:
    """The objective of both: log loss of every class's own yes or no.

    >>> net = OneVersusAll(2, 2)
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> round(float(EachClass().accumulate(net, batch).loss), 4)  # 2 log 2
    1.3863
    """

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of −log p_y − Σ_{j≠y} log(1 − p_j)."""
        logs = model(batch.images)
        own = functional.one_hot(batch.labels, logs.shape[1]).bool()
        # log(1 − exp l): l = 0, a certain no, would be an infinite loss.
        others = torch.log(-torch.expm1(logs.clamp(max=-1e-6)))
        loss = -torch.where(own, logs, others).sum(1).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return StepOutput.classified(loss, logs, batch.labels)


class Perceptron(nn.Module):
    """A network with one hidden layer, which can be entered at the hidden layer too.

    >>> net = Perceptron(4, 8, 3, torch.relu, seed=0)
    >>> x = torch.rand(2, 1, 2, 2)
    >>> bool((net(x) == net.readout(net.hidden(x))).all())
    True
    """

    def __init__(
        self, features: int, units: int, classes: int, activation: nn.Module, seed: int
    ) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(features, units), nn.Linear(units, classes)
        self.activation = activation
        draw = generator(seed, "perceptron")
        for layer in (self.inner, self.outer):
            bound = layer.in_features**-0.5
            for p in layer.parameters():
                p.data = (2 * torch.rand(p.shape, generator=draw) - 1) * bound

    def hidden(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n h"]:
        """Return the hidden activations."""
        activations: Tensor = self.activation(self.inner(images.flatten(1)))
        return activations

    def readout(self, hidden: Float[Tensor, "n h"]) -> Float[Tensor, "n k"]:
        """Return the logits of hidden activations."""
        logits: Tensor = self.outer(hidden)
        return logits

    def forward(self, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        """Return the logits."""
        return self.readout(self.hidden(images))


class HiddenAdversarial:
    """Training on hidden activations that one step of the gradient's sign has changed.

    Args:
        eps: the change of every hidden activation.

    Reference: Goodfellow et al. 2015, arXiv:1412.6572, section 6.

    >>> net = Perceptron(2, 4, 2, nn.Sigmoid(), seed=0)
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> clean = functional.cross_entropy(net(batch.images), batch.labels)
    >>> bool(HiddenAdversarial(0.1).accumulate(net, batch).loss > clean)
    True
    """

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def accumulate(self, model: nn.Module, batch: TrainingBatch) -> StepOutput:
        """Add the gradients of the cross-entropy after the step in the hidden layer."""
        assert isinstance(model, Perceptron)
        hidden = model.hidden(batch.images)
        inside = hidden.detach().requires_grad_()
        first = functional.cross_entropy(model.readout(inside), batch.labels)
        (gradient,) = torch.autograd.grad(first, inside)
        logits = model.readout(hidden + self.eps * gradient.sign())
        loss = functional.cross_entropy(logits, batch.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return StepOutput.classified(loss, logits, batch.labels)
