"""Options: from text to a value of the type that is asked for, and what a value may be."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from pydantic import TypeAdapter, ValidationError

from saddlepoint.counts import MOST, check_count, check_sizes
from saddlepoint.errors import InputError, unknown


@dataclass(frozen=True)
class Whole:
    """An annotation: a whole number from `least` to `most`.

    >>> Whole(2).check("restarts", 1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: restarts is 1; give at least 2
    """

    least: int = 1
    most: int = MOST

    def check(self, name: str, value: Any) -> None:
        """Raise `InputError` unless `value` is such a number."""
        check_count(name, value, self.least, self.most)


@dataclass(frozen=True)
class Interval:
    """An annotation: a number in an interval, written as in "[0, 1)"; infinity is "inf".

    Args:
        text: the interval.
        remedy: what the message of another number asks for; None says the interval.

    >>> Interval("(0, 1]").check("p", 1.5)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: p is 1.5; give a number in (0, 1]
    """

    text: str
    remedy: str | None = None

    def check(self, name: str, value: Any) -> None:
        """Raise `InputError` unless `value` is such a number."""
        low, high = self._ends
        try:
            inside = not isinstance(value, bool) and bool(
                (low < value if self.text[0] == "(" else low <= value)
                and (value < high if self.text[-1] == ")" else value <= high)
            )
        except TypeError:
            inside = False
        if not inside:
            raise InputError(
                f"{name} is {_shown(value)}; {self.remedy or f'give a number in {self.text}'}"
            )

    @functools.cached_property
    def _ends(self) -> tuple[float, float]:
        low, high = self.text[1:-1].split(",")
        return float(low), float(high)


Count = Annotated[int, Whole(1)]
Natural = Annotated[int, Whole(0)]
"""A count that may be 0."""
Positive = Annotated[float, Interval("(0, inf)", "give a positive number")]
NonNegative = Annotated[float, Interval("[0, inf)", "give a number of at least 0")]
Share = Annotated[float, Interval("(0, 1]")]
"""Of a whole, and some of it."""
Fraction = Annotated[float, Interval("(0, 1)")]
"""Of a whole, neither none nor all of it."""
BelowOne = Annotated[float, Interval("[0, 1)")]
"""For momentum, smoothing, tolerance: 0 is none."""

Check = Callable[[str, Any], None]
"""Takes a name and a value, and raises `InputError` unless the value may be."""


def check_fields(settings: Any, owner: str = "") -> None:
    """Raise `InputError` where a field of a dataclass is not what its annotation says.

    What is checked: `Literal`, numbers annotated with `Whole` or `Interval` (`Count`, `Positive` …),
    tuples of these, their unions, and `| None`. All else is left to others.

    Args:
        settings: the dataclass, from its `__post_init__`.
        owner: named before the field, where several are told apart by it.

    >>> @dataclass(frozen=True)
    ... class Settings:
    ...     steps: Count = 10
    ...     rates: tuple[Positive, ...] = (0.1,)
    ...     start: Literal["clean", "uniform"] | None = None
    ...
    ...     def __post_init__(self) -> None:
    ...         check_fields(self)
    >>> Settings(steps=0)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: steps is 0; give at least 1
    >>> Settings(start="random")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: start is "random"; it is "clean", "uniform" or None
    """
    kind: Any = type(settings)
    for name, check in _checks(kind):
        check(f"{owner}: {name}" if owner else name, getattr(settings, name))


def check_value(name: str, value: Any, kind: Any) -> None:
    """Raise `InputError` unless `value` is what the annotation `kind` says; see `check_fields`.

    >>> check_value("gradient", "exact", Literal["report", "lsq"])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: gradient is "exact"; it is "report" or "lsq"
    """
    check = _check_of(kind)
    if check is not None:
        check(name, value)


@functools.cache
def _checks(settings: type[Any]) -> tuple[tuple[str, Check], ...]:
    hints = _hints(settings)
    found = (
        (field.name, _check_of(hints.get(field.name))) for field in dataclasses.fields(settings)
    )
    return tuple((name, check) for name, check in found if check is not None)


def _hints(settings: type[Any]) -> dict[str, Any]:
    """Return the types of the fields by name, but for those whose words mean nothing at run time."""
    found: dict[str, Any] = {}
    for each in reversed(settings.__mro__):
        words = vars(sys.modules[each.__module__]) if each.__module__ in sys.modules else {}
        for name, kind in vars(each).get("__annotations__", {}).items():
            try:
                found[name] = eval(kind, dict(words)) if isinstance(kind, str) else kind
            except (NameError, AttributeError, TypeError):  # of a name for types alone
                found.pop(name, None)
    return found


def _check_of(kind: Any, optional: bool = False) -> Check | None:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is bool:
        return functools.partial(_check_word, (True, False))
    if origin is Annotated:
        rules = [each for each in arguments[1:] if isinstance(each, Whole | Interval)]
        return rules[0].check if rules else None
    if origin is Literal:
        return functools.partial(_check_word, (*arguments, None) if optional else arguments)
    if origin is tuple:
        return _check_of_tuple(arguments)
    if origin in (Union, types.UnionType):
        others = [each for each in arguments if each is not types.NoneType]
        optional = len(others) < len(arguments)
        checks = [check for each in others if (check := _check_of(each, optional)) is not None]
        whole = len(checks) == len(others)
        return functools.partial(_check_any, checks, optional) if whole else None
    return None


def _check_of_tuple(arguments: tuple[Any, ...]) -> Check | None:
    alike = len({*arguments} - {...}) == 1
    check = _check_of(arguments[0]) if alike else None
    return None if check is None else functools.partial(_check_each, check)


def _check_each(check: Check, name: str, values: Any) -> None:
    if not isinstance(values, tuple | list) or not values:
        raise InputError(f"{name} is {_shown(values)}; give at least one")
    for value in values:
        check(name, value)


def _check_any(checks: list[Check], optional: bool, name: str, value: Any) -> None:
    if optional and value is None:
        return
    errors = []
    for check in checks:
        try:
            check(name, value)
        except InputError as error:
            errors.append(error)
    if len(errors) == len(checks):
        raise errors[0]


def _check_word(words: tuple[Any, ...], name: str, value: Any) -> None:
    if value not in words:
        seen = f'"{value}"' if isinstance(value, str) else _shown(value)
        raise InputError(f"{name} is {seen}; it is {_one_of(words)}")


def _one_of(words: tuple[Any, ...]) -> str:
    if len(words) > 3:
        return f"one of {', '.join(map(str, words))}"
    quoted = [f'"{word}"' if isinstance(word, str) else str(word) for word in words]
    return " or ".join(each for each in (", ".join(quoted[:-1]), quoted[-1]) if each)


def parse_options(
    owner: str, given: Mapping[str, Any], kinds: Mapping[str, Any], what: str = "option"
) -> dict[str, Any]:
    """Return options as values of their types, by the names of `kinds`; a name may have hyphens.

    Args:
        owner: whose options, for messages.
        given: values, or text for them, by name.
        kinds: the types by name.
        what: an option is called in messages.

    Raises `InputError` for a name that is not in `kinds` or a value that is none.

    >>> parse_options("pgd", {"step-size": "2/255"}, {"steps": int, "step_size": float})
    {'step_size': 0.00784313725490196}
    """
    found = {}
    for key, value in given.items():
        name = key.replace("-", "_")
        if name not in kinds:
            raise unknown(f"{what} of {owner}", key, kinds)
        found[name] = parse_option(owner, name, value, kinds[name])
    return found


def parse_option(owner: str, name: str, value: Any, kind: Any) -> Any:
    """Return one option as a value of the type `kind`.

    Text is understood as a command line gives it: "2/255" is a number, and where several are asked
    for, commas divide them.

    Raises `InputError` where the value is none of that type.

    >>> parse_option("budgets", "linf", "0, 8/255", tuple[float, ...])
    (0.0, 0.03137254901960784)
    >>> parse_option("pgd", "steps", "many", int)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: pgd: steps is 'many': input should be a valid integer, ...
    """
    if isinstance(value, Mapping) and inspect.isclass(kind) and dataclasses.is_dataclass(kind):
        named = f"{owner}: {name}"  # whose fields have names of their own to be wrong
        return kind(**parse_options(named, value, _hints(kind)))
    seen = value
    if isinstance(value, str) and _several(kind):
        seen = [_plain(part.strip()) for part in value.split(",")]
    elif isinstance(value, str) and kind is not str:
        seen = _plain(value.strip())
    try:
        found = TypeAdapter(kind).validate_python(seen)
    except ValidationError as error:
        expected = error.errors()[0]["msg"].lower()
        raise InputError(f"{owner}: {name} is {repr(value)[:60]}: {expected}") from None
    check_sizes(f"{owner}: {name}", found)
    return found


def _several(kind: Any) -> bool:
    kinds = (kind, *typing.get_args(kind))
    return any(typing.get_origin(each) is tuple for each in kinds)


def _plain(text: str) -> str | float:
    numerator, slash, denominator = text.partition("/")
    try:
        value = float(numerator) / float(denominator) if slash else math.nan
    except (ValueError, ZeroDivisionError):
        return text
    return value if math.isfinite(value) else text


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)[:60]
