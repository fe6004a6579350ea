"""Logistic regression trained adversarially, in closed form, against L1 weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from saddlepoint.attacks.core.steps import cosine
from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.lab.bench import Bench
from saddlepoint.lab.table import Table
from saddlepoint.option_values import Count, Natural, Positive, check_fields

_RATE = 0.1  # of Adam, falling along half a cosine


@dataclass(frozen=True)
class LogisticSettings:
    """Settings of `adversarial_logistic`.

    Args:
        eps: the Linf budgets of adversarial training, in pixels; 0 is plain logistic regression.
        weight_decay: the L1 coefficients λ.
        attack_eps: the budget at which both are tested.
        classes: the two labels to be told apart.
        steps: of full-batch descent.

    >>> LogisticSettings().classes
    (3, 7)
    """

    eps: tuple[Positive, ...] = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25)
    weight_decay: tuple[Positive, ...] = (0.0003, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
    attack_eps: Positive = 0.1
    classes: tuple[Natural, Natural] = (3, 7)
    steps: Count = 500

    def __post_init__(self) -> None:
        check_fields(self)
        if self.classes[0] == self.classes[1]:
            raise InputError(f"classes are {self.classes}; give two different labels")


@dataclass(frozen=True, eq=False)
class LogisticPath:
    """The classifiers of one kind of training, a column each.

    Attributes:
        strength: (k,) eps or λ; the first is 0, plain logistic regression.
        weights: (d, k); bias: (k,).
        train_error, error: (k,) the shares of wrong training and test images.
        adversarial_error: (k,) that of test images after the worst change of `attack_eps`.

    >>> LogisticPath(torch.ones(1), torch.ones(1, 1), *[torch.ones(1)] * 4).norms
    tensor([1.])
    """

    strength: Float[Tensor, " k"]
    weights: Float[Tensor, "d k"]
    bias: Float[Tensor, " k"]
    train_error: Float[Tensor, " k"]
    error: Float[Tensor, " k"]
    adversarial_error: Float[Tensor, " k"]

    @property
    def norms(self) -> Float[Tensor, " k"]:
        """‖w‖₁."""
        return self.weights.abs().sum(0)


@dataclass(frozen=True, eq=False)
class AdversarialLogistic:
    """Both paths.

    Attributes:
        adversarial: by eps.
        decay: by λ.
        shape: of an image, to draw weights as one.
        names: of the two classes; the weights point to the second.
        attack_eps: the budget of the test.

    >>> path = LogisticPath(torch.ones(1), torch.ones(1, 1), *[torch.ones(1)] * 4)
    >>> found = AdversarialLogistic(path, path, (1,), ("3", "7"), 0.1)
    >>> found.tables()["summary"].columns[:2]
    ('training', 'strength')
    """

    adversarial: LogisticPath
    decay: LogisticPath
    shape: tuple[int, ...]
    names: tuple[str, str]
    attack_eps: float

    def tables(self) -> Mapping[str, Table]:
        """Return errors and norms per classifier, and the weights."""
        paths = {"adversarial (eps)": self.adversarial, "L1 decay (λ)": self.decay}
        columns = ("train error", "test error", f"test error at {self.attack_eps:g}", "‖w‖₁")
        rows = []
        weights = []
        for name, path in paths.items():
            measured = (path.train_error, path.error, path.adversarial_error, path.norms)
            values = zip(path.strength.tolist(), *(m.tolist() for m in measured), strict=True)
            rows += [(name, *value) for value in values]
            weights += [
                (name, strength, float(b), *w)
                for strength, b, w in zip(
                    path.strength.tolist(), path.bias, path.weights.T.tolist(), strict=True
                )
            ]
        pixels = tuple(f"w{i}" for i in range(self.adversarial.weights.shape[0]))
        return {
            "summary": Table(("training", "strength", *columns), tuple(rows)),
            "weights": Table(("training", "strength", "bias", *pixels), tuple(weights)),
        }


def run_logistic(bench: Bench, settings: LogisticSettings) -> AdversarialLogistic:
    """Fit both paths on the bench's training images of two classes, and test them.

    Reference: Goodfellow, Shlens and Szegedy 2015, arXiv:1412.6572, section 5.

    >>> from saddlepoint.data import load_data
    >>> test = load_data("digits", split="test")
    >>> bench = Bench(test, lambda: load_data("digits", split="train", limit=300))
    >>> found = run_logistic(bench, LogisticSettings(steps=50))
    >>> found.names, found.adversarial.weights.shape
    (('3', '7'), torch.Size([64, 8]))
    """
    x, signs = two_classes(bench.train, settings.classes)
    tests = two_classes(bench.test, settings.classes)
    zero = torch.zeros(1, device=x.device)
    eps = torch.cat([zero, torch.tensor(sorted(settings.eps), device=x.device)])
    decay = torch.cat([zero, torch.tensor(sorted(settings.weight_decay), device=x.device)])
    # All classifiers at once: a column each.
    every_eps = torch.cat([eps, torch.zeros_like(decay)])
    every_decay = torch.cat([torch.zeros_like(eps), decay])
    weights, bias = fit(x, signs, every_eps, every_decay, settings.steps)
    measured = (
        every_eps + every_decay,
        weights.T,
        bias,
        errors(x, signs, weights, bias, 0.0),
        errors(*tests, weights, bias, 0.0),
        errors(*tests, weights, bias, settings.attack_eps),
    )
    parts = [torch.split(m.cpu(), [len(eps), len(decay)]) for m in measured]
    adversarial, decayed = (
        LogisticPath(s, w.T, b, train, test, adv)
        for s, w, b, train, test, adv in zip(*parts, strict=True)
    )
    first, second = (bench.test.classes[label] for label in settings.classes)
    return AdversarialLogistic(
        adversarial, decayed, bench.test.shape, (first, second), settings.attack_eps
    )


def adversarial_loss(
    x: Float[Tensor, "n d"],
    signs: Float[Tensor, " n"],
    weights: Float[Tensor, "d k"],
    bias: Float[Tensor, " k"],
    eps: Float[Tensor, " k"],
) -> Float[Tensor, "n k"]:
    """Return max over ‖δ‖∞ ≤ eps of ζ(−y(w·(x + δ) + b)), which is ζ(eps‖w‖₁ − y(w·x + b)).

    ζ(z) = log(1 + exp z), y = ±1. The valid range of pixels is not counted in.

    >>> w = torch.tensor([[1.0], [-1.0]])
    >>> one = torch.ones(1)
    >>> adversarial_loss(torch.zeros(1, 2), one, w, 0 * one, 0.5 * one)  # ζ(0.5 · 2)
    tensor([[1.3133]])
    """
    margins = signs[:, None] * (x @ weights + bias)
    return functional.softplus(eps * weights.abs().sum(0) - margins)


def fit(
    x: Float[Tensor, "n d"],
    signs: Float[Tensor, " n"],
    eps: Float[Tensor, " k"],
    weight_decay: Float[Tensor, " k"],
    steps: int,
) -> tuple[Float[Tensor, "d k"], Float[Tensor, " k"]]:
    """Return weights and biases that minimise the mean adversarial loss plus λ‖w‖₁, per column.

    Adam on all images at once, from zero; the problem is convex.

    >>> x, signs = torch.tensor([[0.0], [1.0]]), torch.tensor([-1.0, 1.0])
    >>> w, b = fit(x, signs, torch.tensor([0.0]), torch.tensor([0.0]), steps=200)
    >>> bool(w > 0), bool(b < 0)
    (True, True)
    """
    weights = torch.zeros(x.shape[1], len(eps), device=x.device, requires_grad=True)
    bias = torch.zeros(len(eps), device=x.device, requires_grad=True)
    optimiser = torch.optim.Adam([weights, bias], lr=_RATE)
    with torch.enable_grad():
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = _RATE * cosine(step, steps)
            optimiser.zero_grad(set_to_none=True)
            loss = adversarial_loss(x, signs, weights, bias, eps).mean(0)
            total = (loss + weight_decay * weights.abs().sum(0)).sum()
            total.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return weights.detach(), bias.detach()


def errors(
    x: Float[Tensor, "n d"],
    signs: Float[Tensor, " n"],
    weights: Float[Tensor, "d k"],
    bias: Float[Tensor, " k"],
    eps: float,
) -> Float[Tensor, " k"]:
    """Return the share of images that some change of `eps` per pixel takes to the wrong side.

    >>> errors(torch.tensor([[1.0]]), torch.ones(1), torch.ones(1, 1), torch.zeros(1), 2.0)
    tensor([1.])
    """
    margins = signs[:, None] * (x @ weights + bias) - eps * weights.abs().sum(0)
    return (margins <= 0).float().mean(0)


def two_classes(
    data: ImageData, classes: tuple[int, int]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """Return the images of two classes as vectors, and −1 and 1 for the first and the second.

    Raises `InputError` where there are none of either.

    >>> from saddlepoint.data import load_data
    >>> x, signs = two_classes(load_data("digits", limit=20), (3, 7))
    >>> x.shape, signs.tolist()
    (torch.Size([4, 64]), [1.0, -1.0, -1.0, 1.0])
    """
    labels: Int64[Tensor, " n"] = data.labels.cpu()
    for label in classes:
        if not bool((labels == label).any()):
            raise InputError(
                f"there is no image of class {label} among the {len(labels)} of the {data.split}"
                " split; give other classes, or a larger limit"
            )
    rows = ((labels == classes[0]) | (labels == classes[1])).nonzero().squeeze(1)
    x = data.images(rows).flatten(1)
    signs = torch.where(labels[rows] == classes[1], 1.0, -1.0)
    return x, signs.to(x)
