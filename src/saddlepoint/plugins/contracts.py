"""What a plug-in must have to be of a kind; an error says what it lacks."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from saddlepoint.errors import InputError


def lacks(name: str, found: object, methods: Mapping[str, tuple[str, ...]]) -> None:
    """Raise `InputError` where a class or an instance lacks one of the methods, or where they take
    other arguments; and where a class has fields but is no dataclass of them.

    Args:
        name: what was asked for, for messages.
        methods: by name, the arguments that each is called with.

    >>> class Criterion:
    ...     def margin(self, logits): ...
    >>> lacks("mine.py:C", Criterion, {"margin": ("logits", "labels")})
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: mine.py:C: margin takes (logits); it is called with (logits, labels)
    """
    owner = found if isinstance(found, type) else type(found)
    abstract: frozenset[str] = getattr(owner, "__abstractmethods__", frozenset())
    missing = [each for each in methods if not callable(getattr(owner, each, None))]
    missing += sorted(abstract - {*missing})
    if missing:
        told = ", ".join(f"{each}({', '.join(methods.get(each, ()))})" for each in missing)
        raise InputError(f"{name} lacks {told}")
    for method, arguments in methods.items():
        _check_call(f"{name}: {method}", getattr(owner, method), arguments)
    for each in owner.__mro__:
        named = {
            key
            for key, kind in vars(each).get("__annotations__", {}).items()
            if "ClassVar" not in str(kind)
        }
        fields = (
            {field.name for field in dataclasses.fields(each)} if _is_dataclass(each) else set()
        )
        if dataclasses.is_dataclass(owner) and named - fields:
            raise InputError(
                f"{name} has the field {sorted(named - fields)[0]}, but is no dataclass;"
                " write @dataclass(frozen=True, kw_only=True) above it"
            )


def returned(found: object) -> object:
    """Return what a function is annotated to return; None where it is not, or is no function.

    >>> def count() -> int: ...
    >>> returned(count)
    <class 'int'>
    """
    if not inspect.isfunction(found):
        return None
    try:
        return typing.get_type_hints(found).get("return")
    except (NameError, TypeError):
        return None


def parameter_types(build: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters of a function or a class by name, with their types.

    What is not annotated, or in words that mean nothing at run time, is of its default's type, or
    may be any value.

    >>> def build(threat, *, steps=3): ...
    >>> parameter_types(build)
    {'threat': typing.Any, 'steps': <class 'int'>}
    """
    plain = inspect.isclass(build) and not dataclasses.is_dataclass(build)
    try:
        hints = typing.get_type_hints(build.__init__ if plain else build)
    except (NameError, AttributeError, TypeError):
        hints = {}
    taken = inspect.signature(build).parameters.values()
    named = [each for each in taken if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    return {each.name: hints.get(each.name, _kind_of(each.default)) for each in named}


def _kind_of(default: object) -> Any:
    """Return the type of a default that is a number or text: what is not annotated is of that."""
    return type(default) if type(default) in (bool, int, float, str) else Any


def _is_dataclass(kind: type[Any]) -> bool:
    return "__dataclass_fields__" in vars(kind)


def _check_call(told: str, method: Any, arguments: tuple[str, ...]) -> None:
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # of a built-in
        return
    try:
        signature.bind(None, *arguments)
    except TypeError:
        takes = [str(each) for each in signature.parameters if each != "self"]
        raise InputError(
            f"{told} takes ({', '.join(takes)}); it is called with ({', '.join(arguments)})"
        ) from None
