"""Spectral-norm regularisation: half the squared largest singular value of every layer."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

from saddlepoint.configuration import identified
from saddlepoint.defences.linear_operator import Operator, blocks_of, layer_operator
from saddlepoint.defences.power_iteration import Start
from saddlepoint.defences.warm_start import WarmStarted, wide
from saddlepoint.defences.weights import effective_weights, input_shapes, weighted_layers
from saddlepoint.errors import InputError
from saddlepoint.option_values import check_value


@identified("saddlepoint.defences.spectral.SpectralNorm")
class SpectralNorm(WarmStarted):
    """The penalty Σ σ²/2 over the layers, σ a layer's largest singular value: its Lipschitz bound.

    Lanczos steps with warm starts follow σ, see `krylov.follow`; its vectors are constants to the
    gradient, which is that of ⟨u, A v⟩ and exact once they have converged. σ is that of the weight
    as it acts, through any parametrisation. With groups, reshaped, it is the largest over the groups.

    Args:
        iterations: at every step.
        operator: "conv", the map that a convolution applies to inputs of the size it sees, any
            stride, dilation, groups and padding (Algorithm 4 of the nine-defences report,
            generalised); or "reshaped", its weight as a matrix (Algorithm 3; Yoshida and Miyato
            2017, arXiv:1705.10941). Convolutions that the images of `begin` do not reach are left
            out of the first.
        start: of the vectors: "random", or "ones" as in that report, which can miss σ.
        as_published: update u and v both with the old vectors, as it prints them. The two chains
            are uncoupled, and what is penalised is ⟨u, A v⟩²/2: too small until both have converged,
            and for good where the largest singular value is a multiple one.

        vectors: of the basis in which an iteration looks for the best one, that many applications
            of the layer's map: by default 10 for a convolution of 16×16 pixels or more, 7 for a
            smaller one, and 4 for a matrix. 1 is power iteration, Algorithms 3 and 4, which lags by
            several per cent where the weights move fast; its `start` and `as_published`
            go with it alone.

    Call `begin(model, images)` before; "reshaped" does so itself at the first call. Raises
    `InputError` for an unknown option, and for several vectors with that report's iteration.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    >>> _ = net[1].weight.data.copy_(torch.diag(torch.tensor([3.0, 1.0])))
    >>> penalty = SpectralNorm()
    >>> penalty.begin(net, torch.zeros(1, 1, 1, 2))
    >>> penalty(net)
    tensor(4.5000, grad_fn=<SumBackward0>)
    """

    def __init__(
        self,
        iterations: int = 1,
        operator: Literal["conv", "reshaped"] = "conv",
        start: Start = "random",
        as_published: bool = False,
        vectors: int | None = None,
    ) -> None:
        super().__init__(iterations, start, vectors, as_published)
        check_value("operator", operator, Literal["conv", "reshaped"])
        self.operator: Literal["conv", "reshaped"] = operator
        self.as_published = as_published

    @torch.no_grad()
    def singular_values(self, model: nn.Module) -> dict[str, float]:
        """Return σ by layer as the next call in training mode would see it; no vector is changed.

        Raises `InputError` as a call does.
        """
        twin = copy.deepcopy(self).train()
        twin._model = self._model
        twin(model)
        weights = effective_weights(model)
        return {
            name: float(twin._sigma(name, wide(weights[name])).abs()) for name in twin._operators
        }

    def _find(self, model: nn.Module, images: Tensor | None) -> dict[str, Operator]:
        layers = weighted_layers(model)
        if self.operator == "reshaped":
            return {name: layer_operator(each, kind="reshaped") for name, each in layers.items()}
        if images is None:
            raise InputError(
                "the spectral norm of a convolution depends on the size of its input; call"
                ' begin(model, images) with one or two images, or take operator="reshaped"'
            )
        shapes, found = input_shapes(model, images), {}
        for name, layer in layers.items():
            if name not in shapes and not isinstance(layer, nn.Linear):
                continue
            try:
                found[name] = layer_operator(layer, shapes.get(name))
            except InputError as error:
                raise InputError(f"SpectralNorm, layer {name}: {error}") from None
        return found

    def _begin_late(self, model: nn.Module) -> None:
        if self.operator == "conv":
            raise InputError(
                "SpectralNorm has not seen this model, or its layers changed since; call"
                " begin(model, images) first, with one or two images"
            )
        self.begin(model)

    def _vectors(self, operator: Operator) -> dict[str, tuple[int, ...]]:
        return {"u": operator.output_shape, "v": operator.input_shape}

    def _advance(self, name: str, weight: Tensor, iterations: int) -> None:
        self._advance_top(name, weight, iterations, self.as_published)

    def _sigma(self, name: str, weight: Tensor) -> Tensor:
        u, v = self._get("u", name, weight), self._get("v", name, weight)
        operator = self._operators[name]
        gains = (u * operator.apply(weight, v)).reshape(blocks_of(operator), -1).sum(1)
        # With a basis each group has vectors of its own; the printed iteration has one for all.
        return gains.amax() if self._count(name) > 1 else gains.sum()

    def _term(self, name: str, weight: Tensor) -> Tensor:
        return self._sigma(name, weight) ** 2 / 2
