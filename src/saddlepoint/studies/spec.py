"""The specification of a study: what is varied and what is held fixed, validated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from saddlepoint.attacks import Attack
from saddlepoint.counts import MOST, MOST_SEED, MOST_THREADS, check_sizes
from saddlepoint.defences import Recipe, attack_from, parse_recipe, resolve_recipe
from saddlepoint.defences.objective_budget import takes_eps, with_budget
from saddlepoint.defences.recipe_file import recipe_values
from saddlepoint.errors import InputError
from saddlepoint.studies.axis import AxisSpec
from saddlepoint.threat import Statistics, parse_eps

_MOST_LISTED = 10_000
StudyDevice = Literal["cpu", "cuda"]


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is expected")
    return value


def _budget(value: Any) -> Any:
    return parse_eps(value) if isinstance(value, str) else _number(value)


def _budgets(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError("a list of budgets is expected, such as [4/255, 8/255]")
    return value


def _label(value: str) -> str:
    if not value.strip() or value != value.strip() or not value.isprintable():
        raise ValueError("a name is expected: text that can be printed, without spaces around it")
    return value


def _attack_label(value: str) -> str:
    if value == "training":
        raise ValueError("this is what trainings are called; choose another name")
    return value


def _plain(value: Any) -> Any:
    """Let only what JSON has through: the model's options are part of an address."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        check_sizes("an option", value)
        return value
    raise ValueError(f"{type(value).__name__} is no option of a model; give numbers and text")


def _model(value: Any) -> Any:
    value = _plain(_named(value))
    if isinstance(value, Mapping) and not isinstance(value.get("name"), str):
        raise ValueError("the model has no name; give one, for instance zoo:simple-cnn")
    return value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _seeds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError("there is no seed; give a number of seeds of at least 1, or a list")
        if value > _MOST_LISTED:
            raise ValueError(f"so many seeds have no end; give at most {_MOST_LISTED:,}, or a list")
        return list(range(value))
    return value


def _parts(value: Any) -> Any:
    return value if isinstance(value, list) else [] if value is None else [value]


def _part(value: Any) -> Any:
    """Check what a part has that is of no recipe: a model, and how many images are trained on."""
    if not isinstance(value, Mapping):
        return value
    whole = dict(value)
    if "model" in whole:
        whole["model"] = _plain(_named(whole["model"]))
        if not isinstance(whole["model"], Mapping):
            raise ValueError("the model of a part is a name, or a mapping with its options")
    limit = whole.get("train_limit")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError(f"train_limit is {limit!r:.20}; give a number of images, 1 or more")
    return whole


_Eps = Annotated[float, BeforeValidator(_budget), Field(gt=0, lt=math.inf)]
_Seed = Annotated[int, Field(ge=0, le=MOST_SEED, strict=True)]
_Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
_Threads = Annotated[int, Field(ge=1, le=MOST_THREADS, strict=True)]
_Limit = Annotated[int, Field(ge=1, le=MOST, strict=True)] | None
_Side = Annotated[int, Field(ge=1, le=4096, strict=True)] | None
_Name = Annotated[str, AfterValidator(_label)]
_AttackName = Annotated[str, AfterValidator(_label), AfterValidator(_attack_label)]


_PartValues = Annotated[dict[str, Any], BeforeValidator(_part)]
_OUTSIDE = ("model", "train_limit")  # of a part, and of no recipe


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSpec(_Fields):
    """The images that are trained on and evaluated.

    >>> DataSpec(name="digits").test_limit
    """

    name: str
    train_limit: _Limit = None
    test_limit: _Limit = None
    image_size: _Side = None


class ThreatSpec(_Fields):
    """The norm of the budgets, the space that they are in and the valid range.

    >>> ThreatSpec().space
    'pixels'
    """

    norm: Literal["linf", "l2", "l1"] = "linf"
    space: Literal["pixels", "normalised"] = "pixels"
    range: str = "image"


class StudySpec(_Fields):
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
        parts: pieces of a recipe by name; a part may also change the `model`, and the `train_limit`
            of the data.
        variants: by name, the parts that make it; a mapping in place of a part's name is one.
        reference: the variant that the others are compared with.
        axis: what the variants stand for as numbers; the report then draws accuracy against it.
        threads: of every cell; results depend on it in the last bits.
        device: "cpu" or "cuda", of every cell; likewise.
        batch_size, eot_samples: of the evaluation.
        minimum_clean_accuracy: below it, no conclusion is drawn.

    An objective without `eps`, or one whose attack has none, takes the study's: its training is then
    repeated for each.

    >>> from saddlepoint.studies import parse_study
    >>> spec = parse_study("{name: s, data: digits, eps: [0.1], attacks: {pgd: {name: pgd}}, "
    ...     "variants: {original: []}}")
    >>> spec.seeds, spec.reference, spec.recipes()["original"]["epochs"]
    ((0,), 'original', 20)
    """

    name: _Name
    title: str = ""
    data: Annotated[DataSpec, BeforeValidator(_named)]
    model: Annotated[dict[str, Any], BeforeValidator(_model)] = {"name": "zoo:simple-cnn"}
    normalisation: Literal["data", "imagenet", "none"] = "data"
    threat: ThreatSpec = ThreatSpec()
    seeds: Annotated[tuple[_Seed, ...], BeforeValidator(_seeds), Field(min_length=1)] = (0,)
    eps: Annotated[tuple[_Eps, ...], BeforeValidator(_budgets), Field(min_length=1)]
    attacks: Annotated[dict[_AttackName, dict[str, Any]], Field(min_length=1)]
    recipe: str | dict[str, Any] = "standard"
    parts: dict[str, _PartValues] = {}
    variants: Annotated[
        dict[_Name, Annotated[list[str | _PartValues], BeforeValidator(_parts)]],
        Field(min_length=1),
    ]
    reference: str = ""
    axis: AxisSpec | None = None
    threads: _Threads = 1
    device: StudyDevice = "cpu"
    batch_size: _Count = 250
    eot_samples: _Count | None = None
    minimum_clean_accuracy: Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)] = 0.5

    def values(self) -> dict[str, Any]:
        """Return the study as JSON values; what was added later is left out where it is not used, so
        that the folders of earlier studies stay theirs.
        """
        values = self.model_dump(mode="json")
        unused = {"axis": None, "device": "cpu"}
        return {k: v for k, v in values.items() if k not in unused or v != unused[k]}

    def shared(self) -> dict[str, Any]:
        """Return what the variants' recipes have in common."""
        return recipe_values(self.recipe) if isinstance(self.recipe, str) else self.recipe

    def recipe_of(self, variant: str) -> dict[str, Any]:
        """Return the recipe of a variant, as a mapping with its defaults filled in."""
        values: dict[str, Any] = dict(self.shared())
        for part in self.parts_of(variant):
            values = merged(values, {k: v for k, v in part.items() if k not in _OUTSIDE})
        return resolve_recipe(values, f"of the variant {variant}")

    def model_of(self, variant: str) -> dict[str, Any]:
        """Return the model of a variant: its name and its options."""
        model = self.model
        for part in self.parts_of(variant):
            more = part.get("model", {})
            # Another name is another model; options replace those before, lists too.
            model = {**model, **more} if more.get("name", model["name"]) == model["name"] else more
        return model

    def train_limit_of(self, variant: str) -> int | None:
        """Return how many of the training images a variant is trained on; None is all."""
        limits = [part["train_limit"] for part in self.parts_of(variant) if "train_limit" in part]
        return limits[-1] if limits else None

    def parts_of(self, variant: str) -> list[dict[str, Any]]:
        """Return the parts that make a variant, in their order."""
        return [self.parts[p] if isinstance(p, str) else p for p in self.variants[variant]]

    def recipes(self) -> dict[str, dict[str, Any]]:
        """Return the recipe of every variant."""
        return {variant: self.recipe_of(variant) for variant in self.variants}

    def recipe_at(self, variant: str, eps: float | None, statistics: Statistics) -> Recipe:
        """Return the recipe of a variant, ready to train by, at a budget; None is enough for one
        that does not depend on it.
        """
        values = self.recipe_of(variant)
        values["objective"] = with_budget(values["objective"], {"eps": eps, **dict(self.threat)})
        return parse_recipe(values, statistics, f"of the variant {variant}")

    def depends_on_eps(self, variant: str) -> bool:
        """Return whether the training of a variant is repeated for every budget."""
        return takes_eps(self.recipe_of(variant)["objective"])

    def attack(self, values: Mapping[str, Any], eps: float, statistics: Statistics) -> Attack:
        """Return an attack of the study or of a recipe; what it leaves out is the study's.

        Raises `InputError` for one that the clock ends: its cells would differ from run to run.
        """
        attack = attack_from({"eps": eps, **dict(self.threat), **values}, statistics)
        if _timed(attack):
            raise InputError(
                f"{values.get('name')} has a time limit, and no cell of a study could be repeated;"
                " give passes in place of seconds"
            )
        return attack


def _timed(attack: Attack) -> bool:
    """Return whether the clock ends an attack, or one inside it."""
    inner = [value for value in vars(attack).values() if isinstance(value, Attack)]
    return getattr(attack, "seconds", None) is not None or any(map(_timed, inner))


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` changed by `more`: mappings are merged, transforms and penalties added.

    A mapping with another `name` is another thing: it replaces the one before.

    >>> merged({"epochs": 3, "transforms": ["a"]}, {"transforms": ["b"]})
    {'epochs': 3, 'transforms': ['a', 'b']}
    """
    result = dict(base)
    for key, value in more.items():
        before = result.get(key)
        if isinstance(before, list) and isinstance(value, list):
            result[key] = [*before, *value]
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            same = "name" not in value or value["name"] == before.get("name")
            result[key] = merged(before, value) if same else dict(value)
        else:
            result[key] = value
    return result
