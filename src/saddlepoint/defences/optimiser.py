"""Optimiser: what steps, how far, and on which parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn

from saddlepoint.configuration import added
from saddlepoint.defences.parameter_groups import layers_of, undecayed
from saddlepoint.errors import InputError
from saddlepoint.option_values import BelowOne, NonNegative, Positive, Share, check_fields

_BETAS, _EPS = (0.9, 0.999), 1e-8
SCALE = "scale"
"""The entry of a group of parameters that multiplies its learning rate."""


@dataclass(frozen=True)
class Optimiser:
    """The optimiser and its peak learning rate.

    Args:
        name: "sgd", "adam" or "adamw".
        learning_rate: the peak, which the schedule multiplies.
        momentum, nesterov: for sgd.
        weight_decay: on the parameters that `decay_on` says.
        betas, eps: for adam and adamw: β₁ and β₂, and what keeps the divisor from 0.
        decay_on: "all" parameters, or the "weights" alone: no biases, no normalisation layers, no
            position tables and tokens; see `undecayed`.
        layer_decay: the learning rate of a layer in units of that of the layer behind it; 1 is the
            same for all (Bao et al. 2022, arXiv:2106.08254). See `layers_of`.
        clip_norm: the gradient of all parameters, penalties included, is scaled to this L2 norm
            where it is longer; None leaves it.

    >>> Optimiser("sgd", 0.1).momentum
    0.9
    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> groups = Optimiser("adamw", layer_decay=0.5, decay_on="weights").build(net).param_groups
    >>> [(group["scale"], group["weight_decay"]) for group in groups]
    [(0.5, 0.0005), (0.5, 0.0), (1.0, 0.0005), (1.0, 0.0)]
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: Positive = 0.1
    momentum: BelowOne = 0.9
    nesterov: bool = True
    weight_decay: NonNegative = 5e-4
    betas: tuple[BelowOne, BelowOne] = added(_BETAS)
    eps: Positive = added(_EPS)
    decay_on: Literal["all", "weights"] = added("all")
    layer_decay: Share = added(1.0)
    clip_norm: Positive | None = added(None)

    def __post_init__(self) -> None:
        check_fields(self, "optimiser")
        if len(self.betas) != 2:
            raise InputError(f"optimiser: betas is {self.betas}; give two numbers in [0, 1)")
        if self.name == "sgd" and (tuple(self.betas) != _BETAS or self.eps != _EPS):
            raise InputError("optimiser: betas and eps are of adam and adamw; sgd has momentum")

    def build(self, model: nn.Module, parts: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return torch's optimiser over the parameters of a model, and of parts beside it, which
        learn as fast as its last layer.
        """
        groups = self._groups(model)
        if parts is not None:
            groups += replace(self, layer_decay=1.0)._groups(parts)
        if self.name == "sgd":
            return torch.optim.SGD(
                groups,
                lr=self.learning_rate,
                momentum=self.momentum,
                nesterov=self.nesterov and self.momentum > 0,
                weight_decay=self.weight_decay,
            )
        kind = torch.optim.Adam if self.name == "adam" else torch.optim.AdamW
        first, second = self.betas
        return kind(
            groups,
            lr=self.learning_rate,
            betas=(first, second),
            eps=self.eps,
            weight_decay=self.weight_decay,
        )

    def clip(self, model: nn.Module, parts: nn.Module | None = None) -> None:
        """Scale the gradient of all parameters, those of parts too, to `clip_norm` where it is longer.

        >>> net = nn.Linear(1, 1)
        >>> net.weight.grad, net.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
        >>> Optimiser(clip_norm=1.0).clip(net)
        >>> net.weight.grad, net.bias.grad
        (tensor([[0.6000]]), tensor([0.8000]))
        """
        if self.clip_norm is not None:
            beside = () if parts is None else parts.parameters()
            nn.utils.clip_grad_norm_([*model.parameters(), *beside], self.clip_norm)

    def _groups(self, model: nn.Module) -> list[dict[str, Any]]:
        # One group where all are alike: checkpoints number the parameters in this order.
        found = [list(model.parameters())] if self.layer_decay == 1 else layers_of(model)
        spared = undecayed(model) if self.decay_on == "weights" else frozenset()
        free = {id(each) for name, each in model.named_parameters() if name in spared}
        groups = []
        for number, layer in enumerate(found, start=1):
            scale = self.layer_decay ** (len(found) - number)
            for decay, kept in ((self.weight_decay, False), (0.0, True)):
                part = [each for each in layer if (id(each) in free) == kept]
                if part:
                    groups.append({"params": part, "weight_decay": decay, SCALE: scale})
        return groups
