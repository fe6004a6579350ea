"""The specification of a study: what is varied and what is held fixed, validated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from saddlepoint.attacks import ATTACKS, Attack
from saddlepoint.defences import Recipe, attack_from, parse_recipe, resolve_recipe
from saddlepoint.defences.recipe_file import recipe_values
from saddlepoint.errors import InputError, unknown
from saddlepoint.evaluation import SUITES
from saddlepoint.studies.document import Document, parse_document, read_document
from saddlepoint.threat import Statistics, parse_eps

_MOST_SEEDS = 2**32 - 1
_ANY: Statistics = ((0.5,), (0.25,))  # an attack's options are checked before there is data


def _budget(value: Any) -> Any:
    return parse_eps(value) if isinstance(value, str) else value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _seeds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError("there is no seed; give a number of seeds of at least 1, or a list")
        return list(range(value))
    return value


def _parts(value: Any) -> Any:
    return value if isinstance(value, list) else [] if value is None else [value]


_Eps = Annotated[float, BeforeValidator(_budget), Field(gt=0, lt=math.inf)]
_Seed = Annotated[int, Field(ge=0, le=_MOST_SEEDS, strict=True)]
_Limit = Annotated[int, Field(ge=1)] | None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSpec(_Part):
    """The images that are trained on and evaluated.

    >>> DataSpec(name="digits").test_limit
    """

    name: str
    train_limit: _Limit = None
    test_limit: _Limit = None
    image_size: _Limit = None


class ThreatSpec(_Part):
    """The norm of the budgets, the space that they are in and the valid range.

    >>> ThreatSpec().space
    'pixels'
    """

    norm: Literal["linf", "l2", "l1"] = "linf"
    space: Literal["pixels", "normalised"] = "pixels"
    range: str = "image"


class StudySpec(_Part):
    """A study: variants of a recipe × seeds × budgets × attacks.

    Attributes:
        name, title: the name of the study, and what a report is headed with.
        data: a name of `saddlepoint data`, or a mapping with `train_limit` and `test_limit`.
        model: a name of `saddlepoint models`, or a mapping with options of a built-in one.
        normalisation: "data", "imagenet" or "none".
        threat: norm, space and range of the budgets.
        seeds: their number, or a list; of the initial weights, the order and the attacks.
        eps: the budgets.
        attacks: by name, as in a recipe but without `eps`, or `{suite: quick}`; the first is the
            one that is reported.
        recipe: what the variants share: the name of a shipped recipe, or a mapping.
        parts: pieces of a recipe by name.
        variants: by name, the parts that make it; a mapping in place of a part's name is one.
        reference: the variant that the others are compared with.
        threads: of every cell; results depend on it in the last bits.
        batch_size, eot_samples: of the evaluation.
        minimum_clean_accuracy: below it, no conclusion is drawn.

    An attack in a recipe without `eps` takes the study's: its training is then repeated for each.

    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: []}}")
    >>> spec.seeds, spec.reference, spec.recipes()["original"]["epochs"]
    ((0,), 'original', 20)
    """

    name: Annotated[str, Field(min_length=1)]
    title: str = ""
    data: Annotated[DataSpec, BeforeValidator(_named)]
    model: Annotated[dict[str, Any], BeforeValidator(_named)] = {"name": "zoo:simple-cnn"}
    normalisation: Literal["data", "imagenet", "none"] = "data"
    threat: ThreatSpec = ThreatSpec()
    seeds: Annotated[tuple[_Seed, ...], BeforeValidator(_seeds), Field(min_length=1)] = (0,)
    eps: Annotated[tuple[_Eps, ...], Field(min_length=1)]
    attacks: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    recipe: str | dict[str, Any] = "standard"
    parts: dict[str, dict[str, Any]] = {}
    variants: Annotated[
        dict[str, Annotated[list[str | dict[str, Any]], BeforeValidator(_parts)]],
        Field(min_length=1),
    ]
    reference: str = ""
    threads: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] = 250
    eot_samples: Annotated[int, Field(ge=1)] | None = None
    minimum_clean_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.5

    def shared(self) -> dict[str, Any]:
        """Return what the variants' recipes have in common."""
        return recipe_values(self.recipe) if isinstance(self.recipe, str) else self.recipe

    def recipe_of(self, variant: str) -> dict[str, Any]:
        """Return the recipe of a variant, as a mapping with its defaults filled in."""
        values: dict[str, Any] = dict(self.shared())
        for part in self.variants[variant]:
            values = merged(values, self.parts[part] if isinstance(part, str) else part)
        return resolve_recipe(values, f"of the variant {variant}")

    def recipes(self) -> dict[str, dict[str, Any]]:
        """Return the recipe of every variant."""
        return {variant: self.recipe_of(variant) for variant in self.variants}

    def recipe_at(self, variant: str, eps: float, statistics: Statistics) -> Recipe:
        """Return the recipe of a variant at a budget, ready to train by."""
        values = self.recipe_of(variant)
        if "attack" in values["objective"]:
            attack = {"eps": eps, **dict(self.threat), **values["objective"]["attack"]}
            values["objective"] = {**values["objective"], "attack": attack}
        return parse_recipe(values, statistics, f"of the variant {variant}")

    def depends_on_eps(self, variant: str) -> bool:
        """Say whether the training of a variant is repeated for every budget."""
        attack = self.recipe_of(variant)["objective"].get("attack")
        return attack is not None and "eps" not in attack

    def attack(self, values: Mapping[str, Any], eps: float, statistics: Statistics) -> Attack:
        """Return an attack of the study or of a recipe; what it leaves out is the study's."""
        return attack_from({"eps": eps, **dict(self.threat), **values}, statistics)


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` changed by `more`: mappings are merged, transforms and penalties added.

    A mapping with another `name` is another thing: it replaces the one before.

    >>> merged({"epochs": 3, "transforms": ["a"]}, {"transforms": ["b"]})
    {'epochs': 3, 'transforms': ['a', 'b']}
    """
    result = dict(base)
    for key, value in more.items():
        before = result.get(key)
        if key in ("transforms", "penalties") and before is not None:
            result[key] = [*before, *value]
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            same = "name" not in value or value["name"] == before.get("name")
            result[key] = merged(before, value) if same else dict(value)
        else:
            result[key] = value
    return result


def load_study(path: Path | str) -> StudySpec:
    """Return the study in a YAML file; an error names the line, the field and what was expected.

    >>> load_study("no-such.yaml")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.yaml: No such file or directory
    """
    return _validated(read_document(Path(path)))


def parse_study(text: str, source: str = "the study") -> StudySpec:
    """Return the study of a YAML text; see `load_study`.

    >>> parse_study("{name: s, data: digits, eps: [0], attacks: {a: {name: pgd}}, variants: {o: []}}")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the study, line 1: eps.0: is 0, input should be greater than 0
    """
    return _validated(parse_document(text, source))


def _validated(document: Document) -> StudySpec:
    if not isinstance(document.values, Mapping):
        kind = type(document.values).__name__
        raise InputError(f"{document.source} holds a {kind}; a study is a mapping")
    try:
        spec = StudySpec.model_validate(dict(document.values))
    except ValidationError as error:
        first = error.errors()[0]
        # The parts of a union are no fields of the document.
        path = [
            part for part in first["loc"] if part not in ("str", "list[union[str,dict[str,any]]]")
        ]
        raise document.error(path, _message(first)) from None
    except InputError as error:  # a budget that is no number
        raise document.error(("eps",), str(error)) from None
    return _consistent(spec, document)


def _message(error: Any) -> str:
    message = error["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if error["type"] in ("missing", "extra_forbidden"):
        known = ", ".join(StudySpec.model_fields)
        return f"{message} (a study has: {known})" if len(error["loc"]) == 1 else message
    return f"is {str(error['input'])[:60]}, {message}"


def _consistent(spec: StudySpec, document: Document) -> StudySpec:
    """Check what spans several fields; fill in the reference and the title."""
    reference = spec.reference or next(iter(spec.variants))
    if reference not in spec.variants:
        message = str(unknown("variant", reference, spec.variants))
        raise document.error(("reference",), message)
    for kind in ("seeds", "eps"):
        values = getattr(spec, kind)
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise document.error((kind,), f"{twice[0]} is given twice")
    for variant, parts in spec.variants.items():
        for i, part in enumerate(parts):
            if isinstance(part, str) and part not in spec.parts:
                message = str(unknown("part", part, spec.parts))
                raise document.error(("variants", variant, i), message)
    for name, attack in spec.attacks.items():
        if "eps" in attack:
            raise document.error(
                ("attacks", name, "eps"), "the budgets are the study's; leave eps out here"
            )
        known: Sequence[str]
        if set(attack) == {"suite"}:
            known, given, kind = tuple(SUITES), attack["suite"], "suite"
        else:
            known, given, kind = tuple(ATTACKS), attack.get("name"), "attack"
        if not isinstance(given, str) or given not in known:
            message = str(unknown(kind, str(given), known))
            raise document.error(("attacks", name), message)
        if kind == "attack":
            try:
                spec.attack(attack, spec.eps[0], _ANY)
            except InputError as error:
                raise document.error(("attacks", name), str(error)) from None
    try:
        resolve_recipe(spec.shared())
    except InputError as error:
        raise document.error(("recipe",), str(error)) from None
    for variant in spec.variants:
        try:
            spec.recipe_at(variant, spec.eps[0], _ANY)
        except InputError as error:
            raise document.error(("variants", variant), str(error)) from None
    return spec.model_copy(update={"reference": reference, "title": spec.title or spec.name})
