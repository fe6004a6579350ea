"""The wrappers by name, for the command line: `NAME` or `NAME=VALUE`, around the attack so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Any, get_type_hints

from torch import nn

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.wrappers.bpda import BPDA
from saddlepoint.attacks.wrappers.eight_bit import EightBit
from saddlepoint.attacks.wrappers.restarted import Restarted
from saddlepoint.attacks.wrappers.shrinking_budget import ShrinkingBudget
from saddlepoint.attacks.wrappers.skip_gradient import SkipGradient
from saddlepoint.attacks.wrappers.smallest_budget import SmallestBudget
from saddlepoint.attacks.wrappers.smoothed import Smoothed
from saddlepoint.attacks.wrappers.straight_through import StraightThrough
from saddlepoint.attacks.wrappers.transfer import Transfer
from saddlepoint.attacks.wrappers.wrapper import Wrapper
from saddlepoint.errors import InputError, unknown
from saddlepoint.option_values import parse_option

Lend = Callable[[str], nn.Module]
"""From what was written for a surrogate to the model."""


@dataclass(frozen=True)
class WrapperInfo:
    """What a list says of a wrapper.

    Attributes:
        name: on the command line.
        wrapper: its class.
        takes: the field that a value is for; "" where it takes none.
        example: of a value; "" where it is not needed.
        what: it does, in words.

    >>> WRAPPERS["restarted"].form, WRAPPERS["eight-bit"].form
    ('restarted=5', 'eight-bit')
    """

    name: str
    wrapper: type[Wrapper]
    takes: str
    example: str
    what: str

    @property
    def form(self) -> str:
        """How it is written."""
        return f"{self.name}={self.example}" if self.example else self.name

    def around(self, attack: Attack, value: str | None, lend: Lend | None = None) -> Attack:
        """Return the attack inside this wrapper; raises `InputError` where the two do not fit.

        Args:
            value: what was written for it, None for nothing.
            lend: builds the surrogate of a transfer.
        """
        build: Callable[..., Attack] = self.wrapper
        if value is None:
            if self.example:
                raise InputError(f"{self.name} needs a value; write {self.form}")
            return build(attack)
        if not self.example:
            raise InputError(f"{self.name} takes no value; write {self.form}")
        kind: Any = get_type_hints(self.wrapper)[self.takes]
        if kind is nn.Module:
            if lend is None:
                raise InputError(f"{self.name}: there is no surrogate here")
            return build(attack, **{self.takes: lend(value)})
        given = parse_option(self.name, self.takes, value, kind)
        return build(attack, **{self.takes: given})


WRAPPERS: Mapping[str, WrapperInfo] = MappingProxyType(
    {
        each.name: each
        for each in (
            WrapperInfo(
                "bpda", BPDA, "modules", "MODULE", "the backward of modules becomes the identity"
            ),
            WrapperInfo(
                "straight-through", StraightThrough, "", "", "roundings pass the gradient on"
            ),
            WrapperInfo("smoothed", Smoothed, "", "", "gradients are means around the iterate"),
            WrapperInfo(
                "skip-gradient", SkipGradient, "gamma", "0.5", "residual branches count by γ"
            ),
            WrapperInfo(
                "transfer", Transfer, "surrogate", "WEIGHTS", "attacks a surrogate in its place"
            ),
            WrapperInfo(
                "restarted", Restarted, "restarts", "5", "so many runs, from other random draws"
            ),
            WrapperInfo(
                "smallest", SmallestBudget, "", "", "the smallest budget at which it fools"
            ),
            WrapperInfo(
                "shrinking", ShrinkingBudget, "", "", "ever smaller budgets, from the far side"
            ),
            WrapperInfo("eight-bit", EightBit, "", "", "results are 8-bit images that fool"),
        )
    }
)
"""Every wrapper that needs no Python, by name."""


def wrapped(attack: Attack, words: Sequence[str], lend: Lend | None = None) -> Attack:
    """Return the attack inside the wrappers, the first one innermost.

    Args:
        attack: the attack.
        words: `NAME` or `NAME=VALUE`; see `WRAPPERS`.
        lend: builds the surrogate of a transfer.

    Raises `InputError` for an unknown name, a value that makes no sense, and an order in which a
    wrapper cannot take what is inside it.

    >>> from saddlepoint.attacks import PGD
    >>> from saddlepoint.threat import Linf
    >>> attack = wrapped(PGD(Linf(0.1)), ["restarted=5", "smallest", "eight-bit"])
    >>> attack.attack.attack.restarts
    5
    >>> wrapped(PGD(Linf(0.1)), ["eight-bit", "smallest"])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: eight-bit around PGD: the lattice search takes a minimum-norm ...
    """
    return reduce(lambda inner, word: _around(inner, word, lend), words, attack)


def _around(inner: Attack, word: str, lend: Lend | None) -> Attack:
    name, equals, value = word.partition("=")
    if name not in WRAPPERS:
        raise unknown("wrapper", name, WRAPPERS)
    try:
        return WRAPPERS[name].around(inner, value if equals else None, lend)
    except InputError as error:
        raise InputError(f"{name} around {type(inner).__name__}: {error}") from error
