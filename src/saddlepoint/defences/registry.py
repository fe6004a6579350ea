"""Objectives, transforms and penalties by name, for recipes in files and for lists; and back from
the record of a run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, cast

from torch import nn

from saddlepoint.attacks import Attack
from saddlepoint.configuration import configuration, source_of
from saddlepoint.defences.objectives import AdversarialTraining, Standard, TrainingObjective
from saddlepoint.defences.orthogonal import Orthogonal
from saddlepoint.defences.quantisation import quantise
from saddlepoint.defences.recipe import ModelTransform, Penalty
from saddlepoint.defences.self_ensemble import random_self_ensemble
from saddlepoint.defences.spectral import SpectralNorm
from saddlepoint.errors import InputError
from saddlepoint.option_values import parse_options
from saddlepoint.plugins import Registry, lacks, parameter_types, why
from saddlepoint.reading import shown


@dataclass(frozen=True)
class DefenceInfo:
    """What a list says of an objective, a transform or a penalty; `source` is the plug-in that
    brought it.

    >>> PENALTIES["orthogonal"].paper
    'Bansal et al. 2018, arXiv:1810.09102'
    """

    name: str
    build: Callable[..., Any]
    paper: str
    cost: str
    source: str = ""


def _brought(name: str, found: Any) -> DefenceInfo:
    paper, cost = (str(getattr(found, key, "")) for key in ("paper", "cost"))
    return DefenceInfo(name, found, paper, cost, source_of(found) or "")


def _objective(name: str, found: Any) -> DefenceInfo:
    if not inspect.isclass(found):
        raise InputError(f"the objective {name} is a {type(found).__name__}; give a class")
    lacks(name, found, {"accumulate": ("model", "batch")})
    return _brought(name, found)


def _penalty(name: str, found: Any) -> DefenceInfo:
    if inspect.isclass(found):
        call = "forward" if issubclass(found, nn.Module) else "__call__"
        lacks(name, found, {call: ("model",)})
    else:
        _check_function("penalty", name, found)
    return _brought(name, found)


def _transform(name: str, found: Any) -> DefenceInfo:
    _check_function("transform", name, found)
    return _brought(name, found)


def _check_function(kind: str, name: str, found: Any) -> None:
    if not inspect.isfunction(found) or "model" not in parameter_types(found):
        takes = f"({', '.join(parameter_types(found))})" if inspect.isfunction(found) else ""
        what = f"a {type(found).__name__}{takes}"
        raise InputError(f"the {kind} {name} is no function of a parameter model, but {what}")


def _registry(
    kind: str, group: str, read: Callable[[str, Any], DefenceInfo], own: Iterable[DefenceInfo]
) -> Registry[DefenceInfo]:
    return Registry(kind, {info.name: info for info in own}, read, group=group)


_PASS = "1 forward and 1 backward pass per image and step"

OBJECTIVES = _registry(
    "objective",
    "saddlepoint.objectives",
    _objective,
    (
        DefenceInfo("standard", Standard, "cross-entropy on the images as they are", _PASS),
        DefenceInfo(
            "adversarial-training",
            AdversarialTraining,
            "Madry et al. 2018, arXiv:1706.06083",
            "1 forward and 1 backward pass more than its attack",
        ),
    ),
)
"""What a step minimises: classes of `TrainingObjective`."""

TRANSFORMS = _registry(
    "transform",
    "saddlepoint.transforms",
    _transform,
    (
        DefenceInfo(
            "quantise",
            quantise,
            "Jacob et al. 2017, arXiv:1712.05877",
            "a rounding of every weight and activation per pass",
        ),
        DefenceInfo(
            "random-self-ensemble",
            random_self_ensemble,
            "Liu et al. 2018, arXiv:1712.00673",
            "noise per layer and pass; passes averaged at inference",
        ),
    ),
)
"""Changes to the model, each a function of the model and its options."""

PENALTIES = _registry(
    "penalty",
    "saddlepoint.penalties",
    _penalty,
    (
        DefenceInfo(
            "orthogonal",
            Orthogonal,
            "Bansal et al. 2018, arXiv:1810.09102",
            "a Gram matrix per layer and step",
        ),
        DefenceInfo(
            "spectral-norm",
            SpectralNorm,
            "Yoshida & Miyato 2017, arXiv:1705.10941",
            "an iteration for the largest singular value per layer and step",
        ),
    ),
)
"""Terms added to the loss."""


def build_objective(
    name: str,
    options: Mapping[str, Any] | None = None,
    attack_of: Callable[[Mapping[str, Any]], Attack] | None = None,
) -> TrainingObjective:
    """Return the objective of that name with its options.

    Args:
        name: a key of `OBJECTIVES`, or `FILE.py:NAME`, whose code is run.
        options: by name; one that is an attack may be a mapping.
        attack_of: makes the attack of a mapping.

    Raises `InputError` for an unknown name or option, or a value of the wrong type.

    >>> build_objective("standard", {"label_smoothing": 0.1})
    Standard(label_smoothing=0.1)
    >>> build_objective("standrad")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown objective 'standrad'; did you mean 'standard'? (known: ...)
    """
    info = OBJECTIVES.find(name)
    given = resolved(info, options)
    for key in attack_options(info):
        value = given[key]
        if isinstance(value, Mapping) and attack_of is not None:
            given[key] = attack_of(value)
        elif value is not None and not isinstance(value, Attack):
            raise InputError(
                f"{name}: {key} is {value!r:.60}; give an attack, {{name: pgd, eps: …}}"
            )
    return cast(TrainingObjective, _made(info, given))


def build_transform(name: str, options: Mapping[str, Any] | None = None) -> ModelTransform:
    """Return the transform of that name with its options, defaults filled in; raises as
    `build_objective`.

    >>> build_transform("quantise", {"weight_bits": 2}).keywords["activation"]
    'dtrelu'
    >>> build_transform("quantize")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown transform 'quantize'; did you mean 'quantise'? (known: ...)
    """
    info = TRANSFORMS.find(name)
    return functools.partial(info.build, **resolved(info, options))


def build_penalty(name: str, options: Mapping[str, Any] | None = None) -> Penalty:
    """Return the penalty of that name with its options; raises as `build_objective`.

    >>> build_penalty("orthogonal", {"form": 2}).form
    2
    """
    info = PENALTIES.find(name)
    return cast(Penalty, _made(info, resolved(info, options)))


def attack_options(info: DefenceInfo) -> tuple[str, ...]:
    """Return the names of an objective's options that are attacks.

    >>> attack_options(OBJECTIVES["adversarial-training"])
    ('attack',)
    """
    types = parameter_types(info.build)
    return tuple(
        k for k, kind in types.items() if inspect.isclass(kind) and issubclass(kind, Attack)
    )


def resolved(info: DefenceInfo, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return every option: those given, checked, and the defaults.

    Raises `InputError` for one that is unknown, of the wrong type, or missing.

    >>> resolved(PENALTIES["orthogonal"], {"form": 1})["form"]
    1
    """
    types = {k: kind for k, kind in parameter_types(info.build).items() if k != "model"}
    types |= dict.fromkeys(attack_options(info), Any)
    given = parse_options(info.name, options or {}, types)
    parameters = inspect.signature(info.build).parameters
    missing = [k for k in types if k not in given and parameters[k].default is Parameter.empty]
    if missing:
        raise InputError(f"{info.name} has no {missing[0]}; give one")
    return {k: given.get(k, parameters[k].default) for k in types}


def _made(info: DefenceInfo, options: Mapping[str, Any]) -> Any:
    if inspect.isfunction(info.build):
        return functools.partial(info.build, **options)
    try:
        return info.build(**options)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{info.name} cannot be built: {why(error)}") from error


def transforms_of(
    run: Mapping[str, Any], offered: Sequence[str] = ()
) -> tuple[ModelTransform, ...]:
    """Return the transforms that the configuration of a training run describes, in order.

    What a record says runs no code: a transform of a file of the user is taken only where it is
    among those `offered`, `FILE.py:NAME`, and the file holds what it held at the training.

    Raises `InputError` for one that is neither in `TRANSFORMS` nor offered.

    >>> from saddlepoint.defences import Recipe
    >>> run = configuration({"recipe": Recipe(transforms=(build_transform("quantise"),))})
    >>> transforms_of(run)[0].func is quantise
    True
    """
    recipe = run.get("recipe")
    entries = recipe.get("transforms") if isinstance(recipe, Mapping) else None
    if not isinstance(entries, list):
        raise InputError("the run holds no recipe of a training")
    if not entries:
        return ()
    kinds = [entry.get("type") if isinstance(entry, Mapping) else entry for entry in entries]
    known = [*TRANSFORMS.own.values(), *(TRANSFORMS.find(each) for each in offered)]
    names = {configuration(info.build): info.name for info in known}
    if not all(isinstance(kind, str) and kind in names for kind in kinds):  # a package's, maybe
        names |= {configuration(info.build): info.name for info in TRANSFORMS.listed()}
    found = []
    for kind, entry in zip(kinds, entries, strict=True):
        if not isinstance(kind, str) or kind not in names:
            raise InputError(
                f"the run was trained with the transform {shown(kind)}, which has no name here; name"
                " its file as it was with --transform FILE.py:NAME, or load the weights in Python"
            )
        options = {k: v for k, v in entry.items() if k not in ("type", "args")}
        found.append(build_transform(names[kind], options))
    return tuple(found)
