"""What the penalties with power iteration share: vectors that last from step to step."""

from __future__ import annotations

import abc
import math
import weakref
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from saddlepoint.counts import check_count
from saddlepoint.defences.conv_operator import ConvOperator
from saddlepoint.defences.krylov import follow
from saddlepoint.defences.linear_operator import Operator, blocks_of
from saddlepoint.defences.power_iteration import Start, iterate, start_vector
from saddlepoint.defences.weights import effective_weights
from saddlepoint.errors import InputError
from saddlepoint.model import device_of
from saddlepoint.option_values import Count, check_value

WARM_UP = 30  # applications of a layer's map before the first step
LARGE_CONV_VECTORS, CONV_VECTORS, MATRIX_VECTORS = 10, 7, 4
"""A convolution has many singular values near its largest, the more the larger its input, and hardly
leaves a spatial frequency, so that one which overtakes is found late; a matrix has no such clusters.
Chosen by measurement: docs/results/power-iteration.md."""
LARGE = 16 * 16  # pixels


class WarmStarted(nn.Module, abc.ABC):
    """A sum over a model's layers, with vectors per layer that follow the weights as they move.

    Weights change little from step to step, so that an iteration or two per step keep a vector at
    the top of the spectrum, once it is there. The vectors are buffers, named KIND/MODULE/PATH, and
    so in the checkpoints. A call advances them in training mode only.

    A subclass says which operators there are, which vectors each needs, how they advance, and what
    a layer adds to the sum.

    >>> from saddlepoint.defences.orthogonal import Orthogonal
    >>> penalty, net = Orthogonal(), nn.Sequential(nn.Linear(3, 2))
    >>> penalty.begin(net)
    >>> {name: tuple(vector.shape) for name, vector in penalty.state_dict().items()}
    {'u/0': (1, 2), 'v/0': (1, 3)}
    """

    _apart = False  # whether each block of a `MatrixOperator` has vectors of its own

    def __init__(
        self, iterations: int, start: Start, vectors: int | None, as_published: bool = False
    ) -> None:
        super().__init__()
        check_count("iterations", iterations)
        check_value("start", start, Start)
        self.iterations = iterations
        self.start = start
        printed = start == "ones" or as_published
        if printed and vectors is None:
            vectors = 1
        check_value("vectors", vectors, Count | None)
        if printed and vectors != 1:
            raise InputError(
                f'vectors is {vectors}, but the published iteration (start="ones" or as_published)'
                " has one; give vectors=1"
            )
        self.vectors = vectors
        self._model: weakref.ref[nn.Module] | None = None
        self._operators: dict[str, Operator] = {}
        self._weight_shapes: dict[str, tuple[int, ...]] = {}

    def begin(self, model: nn.Module, images: Float[Tensor, "n ..."] | None = None) -> None:
        """Learn a model's layers and start their vectors, before training or a checkpoint is read.

        One forward pass of the images, which leaves the model as it was, and a few iterations. The
        vectors start from numbers that depend on the layers' names alone. Done again for the same
        model it changes nothing; for another it starts anew.

        Args:
            model: whose weights will be penalised.
            images: one or two that the model takes. They say how large the input of each
                convolution is, and may be left out where that does not matter.
        """
        with torch.inference_mode(False), torch.no_grad():
            weights = {name: wide(w) for name, w in effective_weights(model).items()}
            operators = self._find(model, images)
            if self._knows(model, weights) and operators == self._operators:
                return
            self._model, self._operators = weakref.ref(model), operators
            self._weight_shapes = {name: tuple(w.shape) for name, w in weights.items()}
            self._buffers.clear()
            for name, operator in operators.items():
                for kind, shape in self._vectors(operator).items():
                    vector = start_vector(shape, self.start, kind, name)
                    self.register_buffer(_key(kind, name), vector.to(weights[name]))
                self._advance(name, weights[name], -(-WARM_UP // self._count(name)))

    def forward(self, model: nn.Module) -> Float[Tensor, ""]:
        """Return the penalty of the model's present weights, differentiable in them.

        Raises `InputError` for a model that `begin` was not called for, where the input sizes
        matter.
        """
        weights = effective_weights(model)
        if not self._knows(model, weights):
            self._begin_late(model)
        terms = []
        for name in self._operators:
            weight = wide(weights[name])
            with torch.autocast(weight.device.type, enabled=False):
                if self.training and not torch.is_inference_mode_enabled():
                    with torch.no_grad():
                        self._advance(name, weight, self.iterations)
                terms.append(self._term(name, weight))
        # No layer may count, such as convolutions that the images never reached.
        return torch.stack(terms).sum() if terms else torch.zeros((), device=device_of(model))

    @abc.abstractmethod
    def _find(self, model: nn.Module, images: Tensor | None) -> dict[str, Operator]:
        """Return the operator of every layer that counts."""

    @abc.abstractmethod
    def _vectors(self, operator: Operator) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the vectors that an operator needs."""

    @abc.abstractmethod
    def _advance(self, name: str, weight: Tensor, iterations: int) -> None:
        """Move a layer's vectors on, without a graph."""

    @abc.abstractmethod
    def _term(self, name: str, weight: Tensor) -> Tensor:
        """Return what a layer adds, from the vectors as they are."""

    def _count(self, name: str) -> int:
        """Return of how many vectors the basis is for a layer."""
        if self.vectors is not None:
            return self.vectors
        operator = self._operators[name]
        if not isinstance(operator, ConvOperator):
            return MATRIX_VECTORS
        return LARGE_CONV_VECTORS if math.prod(operator.input_shape[1:]) >= LARGE else CONV_VECTORS

    def _advance_top(
        self, name: str, weight: Tensor, iterations: int, as_published: bool = False
    ) -> None:
        """Move on the vectors of the largest singular value, u and v."""
        operator, apart, vectors = self._operators[name], self._apart, self._count(name)
        u, v = self._get("u", name, weight), self._get("v", name, weight)
        if vectors == 1:
            dim = -1 if apart else None
            u, v = iterate(operator, weight, u, v, iterations, as_published=as_published, dim=dim)
        else:
            blocks = blocks_of(operator)
            u, v = follow(operator, weight, u, v, iterations, vectors, blocks=blocks)
        self._set("u", name, u)
        self._set("v", name, v)

    def _begin_late(self, model: nn.Module) -> None:
        self.begin(model)

    def _knows(self, model: nn.Module, weights: dict[str, Tensor]) -> bool:
        same = self._model is not None and self._model() is model
        return same and self._weight_shapes == {name: tuple(w.shape) for name, w in weights.items()}

    def _get(self, kind: str, name: str, like: Tensor) -> Tensor:
        return self.get_buffer(_key(kind, name)).to(like)  # the model may have moved since

    def _set(self, kind: str, name: str, value: Tensor) -> None:
        # A new tensor, not new values in the old one, which a graph may still hold.
        setattr(self, _key(kind, name), value)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out whose vectors these are: a copy has to `begin` with a model of its own."""
        return {**self.__dict__, "_model": None}


def wide(weight: Tensor) -> Tensor:
    """Return a weight in float32 at least: half precision is too coarse, and QR does not take it.

    >>> wide(torch.zeros(2, dtype=torch.bfloat16)).dtype, wide(torch.zeros(2).double()).dtype
    (torch.float32, torch.float64)
    """
    return weight.float() if weight.dtype in (torch.float16, torch.bfloat16) else weight


def _key(kind: str, name: str) -> str:
    return f"{kind}/{name.replace('.', '/')}"
