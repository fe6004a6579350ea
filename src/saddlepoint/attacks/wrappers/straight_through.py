"""Straight through: an attack for which functions that round have the gradient of the identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from saddlepoint.attacks.core.batch import Batch
from saddlepoint.attacks.core.tracker import Tracker
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.errors import InputError
from saddlepoint.model import with_gradient_of


@dataclass(frozen=True, kw_only=True)
class StraightThrough(Wrapper):
    """An attack whose gradients pass by what rounds, also where a model calls it as a function.

    Values stay what they are; the gradient of `round`, `floor`, `ceil`, `trunc`, `fix`, `sign` and
    `sgn` becomes that of the identity, and that of a division that rounds (`//`, `floor_divide`,
    `div` with a rounding mode) that of the division. What is a module is seen too; of modules that
    hide in another way see `BPDA`. (torch's `fake_quantize` functions pass the gradient already.)

    What no function of torch rounds is not seen: numpy, PIL, `.detach()`, casts to whole numbers,
    autograd functions with a backward of their own, `x - x % step`, scripted models.

    Args:
        attack: any attack that follows gradients; not under torch.compile.

    Reference: Bengio, Léonard and Courville 2013, arXiv:1308.3432; as an attack Athalye, Carlini
    and Wagner 2018.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> class Rounded(torch.nn.Module):
    ...     def forward(self, x):
    ...         return (x * 8).round() / 8
    >>> images, labels = torch.tensor([[0.52, 0.35]]), torch.tensor([0])
    >>> bool(StraightThrough(PGD(Linf(0.2)))(Rounded(), images, labels).success)
    True
    """

    paper = "Athalye, Carlini and Wagner 2018, arXiv:1802.00420"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compile:
            raise InputError("what torch.compile has made cannot be looked into; leave compile out")

    def perturb(self, batch: Batch, tracker: Tracker) -> None:
        """Run the attack with roundings that pass the gradient on."""
        with _PassedBy():
            self.attack.perturb(batch, tracker)


class _PassedBy(TorchFunctionMode):
    """Inside it what rounds has the gradient of its stand-in, where a gradient is wanted at all."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named: dict[str, Any] = kwargs or {}
        rounds = _ROUNDS.get(func)
        given = (*args, *named.values())
        wanted = any(isinstance(each, Tensor) and each.requires_grad for each in given)
        if rounds is None or not wanted or not torch.is_grad_enabled() or "out" in named:
            return func(*args, **named)
        with torch.no_grad():
            value = rounds.value(*args, **named)
        stand_in = rounds.stand_in(*args, **named)
        found = with_gradient_of(value, stand_in.expand(value.shape).to(value.dtype))
        return args[0].copy_(found) if rounds.in_place else found


@dataclass(frozen=True)
class _Rounds:
    """A function that rounds, out of place, and what has the gradient that is wanted."""

    value: Callable[..., Tensor]
    stand_in: Callable[..., Tensor]
    in_place: bool = False


def _identity(input: Tensor, **options: Any) -> Tensor:
    return input


def _division(input: Tensor | float, other: Tensor | float, rounding_mode: object = None) -> Tensor:
    return torch.true_divide(input, other)


_STEPS = ("round", "floor", "ceil", "trunc", "fix", "sign", "sgn")
_DIVISIONS = ("floor_divide", "div", "divide")


def _known() -> Mapping[Any, _Rounds]:
    """Return what rounds, by each of its names in torch and among the methods of tensors."""
    known = {torch.special.round: _Rounds(torch.round, _identity)}
    for name in (*_STEPS, *_DIVISIONS):
        value, stand_in = getattr(torch, name), _identity if name in _STEPS else _division
        for place in (torch, Tensor):
            known[getattr(place, name)] = _Rounds(value, stand_in)
            if hasattr(place, f"{name}_"):
                known[getattr(place, f"{name}_")] = _Rounds(value, stand_in, in_place=True)
    known[Tensor.__floordiv__] = _Rounds(torch.floor_divide, _division)
    known[Tensor.__rfloordiv__] = _Rounds(
        lambda own, other: torch.floor_divide(other, own),
        lambda own, other: _division(other, own),
    )
    return MappingProxyType(known)


_ROUNDS = _known()
