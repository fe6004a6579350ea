"""Transforms and penalties by name, for recipes in files, and back from the record of a run."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from saddlepoint.configuration import configuration
from saddlepoint.defences.orthogonal import Orthogonal
from saddlepoint.defences.quantisation import quantise
from saddlepoint.defences.recipe import ModelTransform, Penalty
from saddlepoint.defences.self_ensemble import random_self_ensemble
from saddlepoint.defences.spectral import SpectralNorm
from saddlepoint.errors import InputError, unknown
from saddlepoint.option_values import parse_options
from saddlepoint.reading import shown

TRANSFORMS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"quantise": quantise, "random-self-ensemble": random_self_ensemble}
)
"""Changes to the model, each a function of the model and its options."""

PENALTIES: Mapping[str, Callable[..., Penalty]] = MappingProxyType(
    {"orthogonal": Orthogonal, "spectral-norm": SpectralNorm}
)
"""Terms added to the loss."""


def build_transform(name: str, options: Mapping[str, Any] | None = None) -> ModelTransform:
    """Return the transform of that name with its options, defaults filled in.

    Raises `InputError` for an unknown name or option, or a value of the wrong type.

    >>> build_transform("quantise", {"weight_bits": 2}).keywords["activation"]
    'dtrelu'
    >>> build_transform("quantize")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown transform 'quantize'; did you mean 'quantise'? (known: ...)
    """
    if name not in TRANSFORMS:
        raise unknown("transform", name, TRANSFORMS)
    return functools.partial(TRANSFORMS[name], **resolved(name, options))


def build_penalty(name: str, options: Mapping[str, Any] | None = None) -> Penalty:
    """Return the penalty of that name with its options; raises as `build_transform`.

    >>> build_penalty("orthogonal", {"form": 2}).form
    2
    """
    if name not in PENALTIES:
        raise unknown("penalty", name, PENALTIES)
    return PENALTIES[name](**resolved(name, options))


def resolved(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return every option of a transform or a penalty: those given, checked, and the defaults.

    >>> resolved("orthogonal", {"form": 1})["form"]
    1
    """
    build = {**TRANSFORMS, **PENALTIES}[name]
    target = build.__init__ if inspect.isclass(build) else build
    hints = typing.get_type_hints(target)
    parameters = {k: p for k, p in inspect.signature(build).parameters.items() if k != "model"}
    given = parse_options(name, options or {}, {key: hints[key] for key in parameters})
    return {key: p.default for key, p in parameters.items()} | given


def transforms_of(run: Mapping[str, Any]) -> tuple[ModelTransform, ...]:
    """Return the transforms that the configuration of a training run describes, in order.

    Raises `InputError` for one that is not in `TRANSFORMS`: only its author can build it again.

    >>> from saddlepoint.defences import Recipe
    >>> run = configuration({"recipe": Recipe(transforms=(build_transform("quantise"),))})
    >>> transforms_of(run)[0].func is quantise
    True
    """
    names = {configuration(function): name for name, function in TRANSFORMS.items()}
    found = []
    recipe = run.get("recipe")
    entries = recipe.get("transforms") if isinstance(recipe, Mapping) else None
    if not isinstance(entries, list):
        raise InputError("the run holds no recipe of a training")
    for entry in entries:
        kind = entry.get("type") if isinstance(entry, Mapping) else entry
        if not isinstance(kind, str) or kind not in names:
            raise InputError(
                f"the run was trained with the transform {shown(kind)}, which has no name here; build the"
                " model in Python and load its weights there"
            )
        options = {k: v for k, v in entry.items() if k not in ("type", "args")}
        found.append(build_transform(names[kind], options))
    return tuple(found)
