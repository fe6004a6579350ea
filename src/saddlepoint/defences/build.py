"""Objectives, transforms and penalties built from their names and options; and back from the record
of a run.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from inspect import Parameter
from typing import Any, cast

from saddlepoint.attacks import Attack, build_attack, parse_criterion
from saddlepoint.configuration import configuration
from saddlepoint.data import AUGMENTATIONS
from saddlepoint.defences.objectives import TrainingObjective
from saddlepoint.defences.recipe import ModelTransform, Penalty
from saddlepoint.defences.registry import OBJECTIVES, PENALTIES, TRANSFORMS, DefenceInfo
from saddlepoint.errors import InputError
from saddlepoint.option_values import parse_options
from saddlepoint.plugins import is_file_spec, parameter_types, why
from saddlepoint.reading import shown
from saddlepoint.threat import NormBall, Statistics, ThreatModel, threat_from

BUDGET_FIELDS = ("norm", "eps", "space", "range")
"""What a mapping says of the threat model of an attack, or of an objective that has one itself."""


def build_objective(
    name: str, options: Mapping[str, Any] | None = None, statistics: Statistics | None = None
) -> TrainingObjective:
    """Return the objective of that name with its options.

    Args:
        name: a key of `OBJECTIVES`, or `FILE.py:NAME`, whose code is run.
        options: by name; an attack or another objective may be a mapping, and a threat model is
            given by the fields `norm`, `eps`, `space` and `range`.
        statistics: the data's mean and standard deviation, needed by budgets in normalised space.

    Raises `InputError` for an unknown name or option, or a value of the wrong type.

    >>> build_objective("standard", {"label_smoothing": 0.1})
    Standard(label_smoothing=0.1)
    >>> build_objective("yopo", {"eps": "8/255", "m": 3}).m
    3
    >>> build_objective("standrad")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown objective 'standrad'; did you mean 'standard'? (known: ...)
    """
    info = OBJECTIVES.find(name)
    given = resolved(info, options)
    for key in options_of(info, Attack):
        value = given[key]
        if isinstance(value, Mapping):
            given[key] = attack_from(value, statistics)
        elif value is not None and not isinstance(value, Attack):
            raise InputError(
                f"{name}: {key} is {value!r:.60}; give an attack, {{name: pgd, eps: …}}"
            )
    for key in options_of(info, TrainingObjective):
        if isinstance(given[key], str | Mapping):
            inner, rest = named(given[key], "objective")
            given[key] = build_objective(inner, rest, statistics)
    parameters = inspect.signature(info.build).parameters
    for key in options_of(info, ThreatModel):
        told = [each for each in BUDGET_FIELDS if each in given and each not in parameters]
        fields = {each: given.pop(each) for each in told}
        if key not in given and (fields or parameters[key].default is Parameter.empty):
            given[key] = _threat_from(name, fields, statistics)
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


def transform_word(word: str) -> tuple[str, dict[str, str]]:
    """Return the name and the options of a transform as a command line writes it: `NAME`,
    `NAME:KEY=VALUE,KEY=VALUE`, or `FILE.py:NAME`, which takes none.

    Raises `InputError` for what is no option.

    >>> transform_word("defense-gan:generator=runs/gan,restarts=10")
    ('defense-gan', {'generator': 'runs/gan', 'restarts': '10'})
    >>> transform_word("mine.py:Mine")
    ('mine.py:Mine', {})
    """
    name, colon, rest = word.partition(":")
    if is_file_spec(word) or not colon:
        return word, {}
    options = {}
    for each in rest.split(","):
        key, equals, value = (part.strip() for part in each.partition("="))
        if not equals or not key or not value:
            raise InputError(f"--transform {word}: write {name}:KEY=VALUE,KEY=VALUE")
        options[key] = value
    return name, options


def build_penalty(name: str, options: Mapping[str, Any] | None = None) -> Penalty:
    """Return the penalty of that name with its options; raises as `build_objective`.

    >>> build_penalty("orthogonal", {"form": 2}).form
    2
    """
    info = PENALTIES.find(name)
    return cast(Penalty, _made(info, resolved(info, options)))


def options_of(info: DefenceInfo, kind: type[Any]) -> tuple[str, ...]:
    """Return the names of an objective's options that are attacks, threat models or objectives.

    >>> options_of(OBJECTIVES["adversarial-training"], Attack)
    ('attack',)
    >>> options_of(OBJECTIVES["yopo"], ThreatModel), options_of(OBJECTIVES["awp"], TrainingObjective)
    (('threat',), ('objective',))
    """
    return tuple(k for k, each in parameter_types(info.build).items() if _is_kind(each, kind))


def _is_kind(found: Any, kind: type[Any]) -> bool:
    """Whether an annotation is of a kind; of protocols no class is asked whether it fits them."""
    if found is kind or kind is TrainingObjective or not inspect.isclass(found):
        return found is kind
    return issubclass(found, NormBall if kind is ThreatModel else kind)


def named(values: Any, kind: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of what a mapping describes; a name alone has no options.

    >>> named({"name": "yopo", "m": 3}, "objective")
    ('yopo', {'m': 3})
    """
    options = {"name": values} if isinstance(values, str) else dict(values)
    name = options.pop("name", None)
    if not isinstance(name, str):
        an = "an" if kind[0] in "ao" else "a"
        known: Iterable[str] = {
            "objective": OBJECTIVES, "transform": TRANSFORMS, "penalty": PENALTIES,
            "augmentation": AUGMENTATIONS,
        }[kind]  # fmt: skip
        raise InputError(f"{an} {kind} has no name; give one of {', '.join(known)}")
    return name, options


def resolved(info: DefenceInfo, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return every option: those given, checked, and the defaults; of the fields of a threat model
    those given.

    Raises `InputError` for one that is unknown, of the wrong type, or missing.

    >>> resolved(PENALTIES["orthogonal"], {"form": 1})["form"]
    1
    >>> sorted(resolved(OBJECTIVES["free"], {"eps": "8/255"}))
    ['eps', 'label_smoothing', 'm']
    """
    types = {k: kind for k, kind in parameter_types(info.build).items() if k != "model"}
    threats = options_of(info, ThreatModel)
    parts = (*options_of(info, Attack), *options_of(info, TrainingObjective), *threats)
    types |= dict.fromkeys(parts, Any)
    own = set(types)
    if threats:
        types |= {each: types.get(each, Any) for each in BUDGET_FIELDS}
    given = parse_options(info.name, options or {}, types)
    parameters = inspect.signature(info.build).parameters
    wanted = [k for k in types if k in own and k not in threats]
    missing = [k for k in wanted if k not in given and parameters[k].default is Parameter.empty]
    if missing:
        raise InputError(f"{info.name} has no {missing[0]}; give one")
    whole = {k: given.get(k, parameters[k].default) for k in wanted}
    for key in options_of(info, TrainingObjective):
        if isinstance(whole[key], str | Mapping):
            name, rest = named(whole[key], "objective")
            if not is_file_spec(name):  # whose code does not run before it is built
                whole[key] = {"name": name, **resolved(OBJECTIVES.find(name), rest)}
    return {**whole, **{k: given[k] for k in (*threats, *BUDGET_FIELDS) if k in given}}


def attack_from(values: Mapping[str, Any], statistics: Statistics | None) -> Attack:
    """Return the attack of a mapping: `name`, `norm`, `eps`, `space`, `range`, `criterion`, and its
    own options.

    >>> attack_from({"name": "pgd", "norm": "l2", "eps": 0.5, "steps": 7}, None).steps
    7
    """
    options = dict(values)
    name = options.pop("name", None)
    if name is None:
        raise InputError("the attack has no name; give one, for instance {name: pgd, eps: 8/255}")
    budget = {each: options.pop(each) for each in BUDGET_FIELDS if each in options}
    threat = _threat_from(f"the attack {name}", budget, statistics)
    criterion = options.pop("criterion", None)
    attack = build_attack(str(name), threat, options)
    return (
        attack if criterion is None else replace(attack, criterion=parse_criterion(str(criterion)))
    )


def _threat_from(
    owner: str, fields: Mapping[str, Any], statistics: Statistics | None
) -> ThreatModel:
    if fields.get("eps") is None:
        raise InputError(f"{owner} has no eps; give one, for instance eps: 8/255")
    return threat_from(
        str(fields.get("norm", "linf")),
        fields["eps"],
        str(fields.get("space", "pixels")),
        str(fields.get("range", "image")),
        statistics,
    )


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

    >>> from saddlepoint.defences import Recipe, quantise
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
