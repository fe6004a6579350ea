"""Recipes by name or from a YAML file, validated: an error names the field and what was
expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError, with_config

from saddlepoint.data import build_augmentation
from saddlepoint.defences.build import (
    build_objective,
    build_penalty,
    build_transform,
    named,
    resolved,
)
from saddlepoint.defences.held_out import Validation, Watch
from saddlepoint.defences.optimiser import Optimiser
from saddlepoint.defences.recipe import Penalty, Recipe
from saddlepoint.defences.recipe_fields import RecipeChange
from saddlepoint.defences.registry import OBJECTIVES, PENALTIES, TRANSFORMS, DefenceInfo
from saddlepoint.defences.schedule import Schedule
from saddlepoint.document import parse_document, read_document
from saddlepoint.errors import InputError, unknown
from saddlepoint.plugins import Registry, is_file_spec
from saddlepoint.reading import shown
from saddlepoint.threat import Statistics

_STRICT = ConfigDict(extra="forbid")


@with_config(_STRICT)
@dataclass(frozen=True)
class _OptimiserSpec(Optimiser):
    pass


@with_config(_STRICT)
@dataclass(frozen=True)
class _ScheduleSpec(Schedule):
    pass


@with_config(_STRICT)
@dataclass(frozen=True)
class _WatchSpec(Watch):
    pass


@with_config(_STRICT)
@dataclass(frozen=True)
class _ValidationSpec(Validation):
    pass


def _mapping(value: Any) -> Any:
    """A name alone stands for the thing with its defaults."""
    return {"name": value} if isinstance(value, str) else value


_Named = Annotated[dict[str, Any], BeforeValidator(_mapping)]


@with_config(_STRICT)
@dataclass(frozen=True)
class _RecipeSpec:
    objective: _Named = field(default_factory=lambda: {"name": "standard"})
    transforms: tuple[_Named, ...] = ()
    penalties: tuple[_Named, ...] = ()
    epochs: int = 10
    batch_size: int = 128
    optimiser: _OptimiserSpec = field(default_factory=_OptimiserSpec)
    schedule: _ScheduleSpec = field(default_factory=lambda: _ScheduleSpec("one-cycle"))
    augmentation: str | tuple[_Named, ...] = "none"
    ema: float | None = None
    swa: float | None = None
    autocast: Literal["bf16"] | None = None
    ema_at: int | None = None
    watch: _WatchSpec | None = None
    validation: _ValidationSpec | None = None
    mixup: float | None = None
    cutmix: float | None = None
    batch_tokens: int | None = None


_PARTS: Mapping[str, type[Any]] = {
    "optimiser": _OptimiserSpec,
    "schedule": _ScheduleSpec,
    "watch": _WatchSpec,
    "validation": _ValidationSpec,
}
_FIELDS = tuple(
    name
    for each in fields(_RecipeSpec)
    for name in (
        [f"{each.name}.{inner.name}" for inner in fields(_PARTS[each.name])]
        if each.name in _PARTS
        else [each.name]
    )
)

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "adversarial": "pgd-at",
        "report": "nine-defences",
        "report-adversarial": "nine-defences-adversarial",
    }
)
"""Earlier names of shipped recipes, which work and are not listed."""


def recipe_names() -> tuple[str, ...]:
    """Return the names of the shipped recipes.

    >>> recipe_names()[:4]
    ('advgan', 'at-awp', 'bert-finetune', 'bert-pretrain')
    """
    files = resources.files("saddlepoint.defences").joinpath("recipes").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def load_recipe(
    source: str, statistics: Statistics | None = None, change: RecipeChange | None = None
) -> Recipe:
    """Return a shipped recipe by name, or the one in a YAML file.

    Args:
        source: a name of `recipe_names`, or an earlier one, or a path.
        statistics: the data's mean and standard deviation, needed by budgets in normalised space.
        change: what is put into it before it is checked; the recipe itself is checked first.

    Raises `InputError` for an unknown name, and for a file that is not a recipe: it names the
    field.

    >>> load_recipe("nine-defences").optimiser.learning_rate
    0.001
    >>> load_recipe("standrad")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown recipe 'standrad'; did you mean 'standard'? (known: ...)
    """
    values = recipe_values(source)
    _validated(values, source)
    return parse_recipe(
        values if change is None else change.applied(values, source), statistics, source
    )


def recipe_values(source: str) -> Any:
    """Return what a shipped recipe or a YAML file holds, unchecked; see `load_recipe`.

    >>> recipe_values("nine-defences")["epochs"]
    10
    """
    name = ALIASES.get(source, source)
    if name in recipe_names():
        return parse_document(recipe_text(name), f"the recipe {source}").values
    if Path(source).suffix not in (".yaml", ".yml"):
        raise unknown("recipe", source, recipe_names(), ALIASES)
    try:
        return read_document(Path(source)).values
    except InputError as error:
        message = str(error).replace(shown(Path(source)), f"the recipe {shown(source)}", 1)
        raise InputError(message) from error


def recipe_text(name: str) -> str:
    """Return the YAML of a shipped recipe; its first line is a comment that says what it is.

    >>> recipe_text("nine-defences").splitlines()[1]
    'objective: {name: standard}'
    """
    folder = resources.files("saddlepoint.defences").joinpath("recipes")
    return folder.joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def parse_recipe(
    values: Any, statistics: Statistics | None = None, source: str = "given"
) -> Recipe:
    """Return the recipe of a mapping, as a YAML file holds it; see `load_recipe`.

    >>> parse_recipe({"epochs": 3, "optimiser": {"learning_rate": 0.2}}).optimiser.learning_rate
    0.2
    >>> parse_recipe({"optimiser": {"learning_rat": 0.2}})
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the recipe given: unknown field 'optimiser.learning_rat'; did you mean
    'optimiser.learning_rate'? (known: ...)
    """
    spec = _validated(values, source)
    objective = build_objective(*named(spec.objective, "objective"), statistics)
    names = (
        "epochs",
        "batch_size",
        "ema",
        "swa",
        "autocast",
        "ema_at",
        "mixup",
        "cutmix",
        "batch_tokens",
    )
    plain = {name: getattr(spec, name) for name in names}
    augmentation = spec.augmentation
    return Recipe(
        objective=objective,
        transforms=tuple(build_transform(*named(each, "transform")) for each in spec.transforms),
        penalties=tuple(_penalty(each) for each in spec.penalties),
        optimiser=Optimiser(**vars(spec.optimiser)),
        schedule=Schedule(**vars(spec.schedule)),
        augmentation=augmentation
        if isinstance(augmentation, str)
        else tuple(build_augmentation(*named(each, "augmentation")) for each in augmentation),
        watch=None if spec.watch is None else Watch(**vars(spec.watch)),
        validation=None if spec.validation is None else Validation(**vars(spec.validation)),
        **plain,
    )


def resolve_recipe(values: Any, source: str = "given") -> dict[str, Any]:
    """Return the mapping of a recipe with every default filled in, as a file could hold it; what is
    of a file of code, `FILE.py:NAME`, stays as it is.

    >>> resolve_recipe({"transforms": ["quantise"]})["transforms"][0]["weight_bits"]
    4
    """
    spec = _validated(values, source)
    plain: dict[str, Any] = TypeAdapter(_RecipeSpec).dump_python(spec, mode="json")
    plain["objective"] = _resolved(plain["objective"], "objective")
    for field_name, kind in (("transforms", "transform"), ("penalties", "penalty")):
        plain[field_name] = [_resolved(each, kind) for each in plain[field_name]]
    if not isinstance(spec.augmentation, str):
        pairs = [named(each, "augmentation") for each in spec.augmentation]
        plain["augmentation"] = [
            {"name": name, **vars(build_augmentation(name, options))} for name, options in pairs
        ]
    return plain


def _validated(values: Any, source: str) -> _RecipeSpec:
    if not isinstance(values, Mapping):
        raise InputError(f"the recipe {source} is a {type(values).__name__}; give a mapping")
    try:
        return TypeAdapter(_RecipeSpec).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        if first["type"] == "unexpected_keyword_argument":
            raise InputError(f"the recipe {source}: {unknown('field', where, _FIELDS)}") from None
        if first["type"] == "value_error":  # our own, of a field's value
            raise InputError(f"the recipe {source}: {first['ctx']['error']}") from None
        seen, message = repr(first["input"])[:60], first["msg"].lower()
        if first["type"] == "dataclass_type":
            message = "give a mapping of its fields"
        raise InputError(f"the recipe {source}: {where} is {seen}: {message}") from None


_KINDS: Mapping[str, Registry[DefenceInfo]] = MappingProxyType(
    {"objective": OBJECTIVES, "transform": TRANSFORMS, "penalty": PENALTIES}
)


def _penalty(values: Mapping[str, Any]) -> tuple[float, Penalty]:
    name, options = named(values, "penalty")
    weight = options.pop("weight", None)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise InputError(f"the penalty {name} has weight {weight!r}; give a number, such as 0.001")
    return float(weight), build_penalty(name, options)


def _resolved(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    name, options = named(values, kind)
    if is_file_spec(name):  # whose code does not run before it is built
        return dict(values)
    weight = {"weight": options.pop("weight", None)} if kind == "penalty" else {}
    return {"name": name, **weight, **resolved(_KINDS[kind].find(name), options)}
