"""What a call hands in besides images and labels: tensors of any kind, budgets, masks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from saddlepoint.attacks.core.criteria import BinaryLogit, Criterion, Misclassified, Targeted
from saddlepoint.checks import (
    Bound,
    as_pixels,
    check_labels,
    in_range,
    tensor_of,
    without_rounding,
)
from saddlepoint.errors import InputError
from saddlepoint.threat import (
    Box,
    Holding,
    Linf,
    NormBall,
    Normed,
    PerRootLength,
    Rescaled,
    ThreatModel,
    counted,
    eps_of,
    unlimited,
)


def plain(x: Tensor) -> Tensor:
    """Return `x` as a tensor that a graph may use, also where it was made in inference mode.

    >>> with torch.inference_mode():
    ...     plain(torch.zeros(1)).is_inference()
    False
    """
    with torch.inference_mode(False):  # a clone made in inference mode is still an inference tensor
        return x.clone() if x.is_inference() else x.detach()


_OPTIONAL = ("targets", "eps", "starts", "mask")


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a call hands in beside the model; see `Attack.__call__`.

    >>> given = Inputs(torch.zeros(2, 4), torch.tensor([0, 1]))
    >>> given.rows
    tensor([0, 1])
    """

    images: Float[Tensor, "n ..."]
    labels: Int64[Tensor, " n"]
    targets: Int64[Tensor, " n"] | None = None
    seed: int = 0
    ids: Int64[Tensor, " n"] | None = None
    eps: float | Float[Tensor, " n"] | None = None
    starts: Float[Tensor, "n ..."] | None = None
    mask: Bool[Tensor, ...] | None = None

    @property
    def rows(self) -> Int64[Tensor, " n"]:
        """The identities of the images: their rows, where none are given."""
        return torch.arange(len(self.images)) if self.ids is None else self.ids

    @classmethod
    def of(cls, images: object, labels: object, *rest: Any) -> Inputs:
        """Return what a call was given, arrays and lists of numbers as tensors."""
        names = ("targets", "seed", "ids", "eps", "starts", "mask")
        options: dict[str, Any] = {
            name: tensor_of(value, name) if isinstance(value, np.ndarray | list) else value
            for name, value in zip(names, rest, strict=True)
        }
        return cls(tensor_of(images, "images"), tensor_of(labels, "labels"), **options)

    def checked(self, threat: ThreatModel) -> Inputs:
        """Return the inputs as tensors that a graph may use, images within the threat model's range;
        raise `InputError` where they are none.
        """
        images = in_range(self.images, *pixel_range(threat))
        check_labels(self.labels, len(images))
        if self.starts is not None:
            if self.starts.shape != images.shape:
                raise InputError(
                    f"starts have shape {tuple(self.starts.shape)}, the images {tuple(images.shape)}"
                )
            if not bool(self.starts.isfinite().all()):
                raise InputError("starts contain NaN or infinity; give images")
        return self._plain(images)

    def trusted(self, threat: ThreatModel) -> Inputs:
        """Return the same without a look at the values, which on CUDA would make every step wait."""
        bounds = pixel_range(threat)
        return self._plain(without_rounding(as_pixels(self.images, *bounds), *bounds))

    def _plain(self, images: Tensor) -> Inputs:
        check_labels(self.rows, len(images), "ids")
        free: dict[str, Any] = {name: getattr(self, name) for name in _OPTIONAL}
        free = {name: plain(v) if isinstance(v, Tensor) else v for name, v in free.items()}
        if self.starts is not None:
            free["starts"] = as_pixels(free["starts"])
        return replace(
            self, images=plain(images), labels=plain(self.labels), ids=plain(self.rows), **free
        )


def check_targets(targets: Tensor, labels: Tensor, criterion: Criterion) -> None:
    """Raise `InputError` for targets that are no other classes, or beside a criterion of their own.

    >>> check_targets(torch.tensor([1]), torch.tensor([1]), Misclassified())
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: some targets equal the labels; give another class as the target
    """
    check_labels(targets, len(labels), "targets")
    if isinstance(criterion, BinaryLogit):
        raise InputError("a binary model has one other class; leave targets out")
    if not isinstance(criterion, Misclassified | Targeted):
        raise InputError(f"targets replace the criterion {criterion}; leave one out")
    if bool((targets.to(labels.device) == labels).any()):
        raise InputError("some targets equal the labels; give another class as the target")


def check_budgets(eps: Tensor, count: int, whole: bool) -> None:
    """Raise `InputError` unless `eps` holds `count` budgets, whole numbers where they count.

    >>> check_budgets(torch.tensor([0.1]), 2, whole=False)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: eps has shape (1,); give 2 budgets, one per image
    """
    if eps.shape != (count,):
        raise InputError(f"eps has shape {tuple(eps.shape)}; give {count} budgets, one per image")
    if not bool((eps >= 0).all()):
        raise InputError(f"eps goes down to {float(eps.min()):g}; give budgets of at least 0")
    if whole and not bool((eps == eps.round()).all()):
        raise InputError("a budget of features or patches counts them: give whole numbers")


def placed(threat: ThreatModel, images: Tensor) -> ThreatModel:
    """Return the threat model with what it holds per sample or pixel fitted to the images, on their
    device.

    >>> from saddlepoint.threat import Linf
    >>> placed(Linf(0.1), torch.zeros(2, 4))
    Linf(eps=0.1, lower=0.0, upper=1.0)
    """
    if isinstance(threat, Box):
        return threat.fitted(images)
    if isinstance(threat, Normed) and isinstance(threat.eps, Tensor):
        return threat.with_eps(threat.eps.to(images.device))
    return threat


def with_budget(
    threat: ThreatModel, eps: float | Tensor | None, count: int, name: str
) -> ThreatModel:
    """Return the threat model of a call of the attack `name`: with `eps` in place of its own budget.

    Raises `InputError` for a budget that is missing, or that makes no sense for `count` images.

    >>> from saddlepoint.threat import Linf
    >>> str(with_budget(Linf(), 8 / 255, 1, "PGD"))
    'Linf 8/255'
    """
    if eps is not None:
        if not isinstance(threat, Normed):
            raise InputError(f"a {threat} has no eps to replace; build another one")
        threat = threat.with_eps(eps)
    budget = eps_of(threat, 1.0)
    if isinstance(budget, Tensor):
        check_budgets(budget, count, counted(threat))
    elif unlimited(threat):
        raise InputError(f"{name} needs a budget: {threat} has none, give {threat}(eps)")
    if isinstance(threat, Linf):
        threat.check_width()
    return threat


def full_mask(mask: Tensor, images: Tensor) -> Tensor:
    """Return the mask in the shape of the images.

    >>> full_mask(torch.tensor([True, False]), torch.zeros(2, 2)).shape
    torch.Size([2, 2])
    """
    if mask.dtype != torch.bool:
        raise InputError(
            f"the mask is {mask.dtype}; give booleans, True where a feature may change"
        )
    try:
        return mask.to(images.device).expand(images.shape)
    except RuntimeError:
        raise InputError(
            f"the mask has shape {tuple(mask.shape)}, which does not fit images {tuple(images.shape)}"
        ) from None


def free_features(
    mask: Tensor | None, threat: ThreatModel, images: Tensor
) -> Bool[Tensor, "n ..."] | None:
    """Return where features may change by a call's mask and by what the threat model holds; None is
    everywhere.

    >>> from saddlepoint.threat import Linf, TokenLinf
    >>> text = torch.tensor([[[0.3, 1.0], [0.2, 0.0]]])
    >>> free_features(None, Linf(0.1), text), free_features(None, TokenLinf(0.1), text)
    (None, tensor([[[ True, False],
             [False, False]]]))
    """
    given = None if mask is None else full_mask(mask, images)
    if not isinstance(threat, Holding):
        return given
    own = threat.free(images)
    return own if given is None else own & given


def pixel_range(threat: ThreatModel) -> tuple[Bound, Bound]:
    """Return the range that clean images must lie in: the threat model's, where it is in pixels.

    >>> from saddlepoint.threat import Linf
    >>> from saddlepoint.threat import Box
    >>> pixel_range(Linf(0.1, -1.0, 1.0)), pixel_range(Box(0.2, 0.3))
    ((-1.0, 1.0), (0.0, 1.0))
    """
    ball = threat.ball if isinstance(threat, PerRootLength) else threat
    return (ball.lower, ball.upper) if isinstance(ball, NormBall) else (0.0, 1.0)


def range_of_candidates(threat: ThreatModel) -> tuple[Bound, Bound]:
    """Return the range that perturbed images must lie in; that of a Box is the Box itself.

    >>> from saddlepoint.threat import Linf
    >>> range_of_candidates(Rescaled(Linf(0.1, -2.0, 2.0), (0.5,), (0.2,)))
    ((0.1,), (0.9,))
    """
    if isinstance(threat, Rescaled):
        return threat.pixel_range
    return pixel_range(threat) if isinstance(threat, NormBall) else (-math.inf, math.inf)


def may_move(threat: ThreatModel, images: Tensor) -> Tensor:
    """Return which images the budget lets change at all: with one of 0 only the image itself is left.

    >>> from saddlepoint.threat import Linf
    >>> may_move(Linf(torch.tensor([0.0, 0.1])), torch.zeros(2, 3))
    tensor([False,  True])
    """
    if isinstance(threat, Normed):
        return threat.radius(images) > 0
    return torch.ones(len(images), dtype=torch.bool, device=images.device)
