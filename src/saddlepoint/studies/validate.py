"""Reading a study's specification; an error names the line, the field and what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from saddlepoint.attacks import ATTACKS
from saddlepoint.data import DATASETS
from saddlepoint.defences import resolve_recipe
from saddlepoint.document import Document, parse_document, read_document
from saddlepoint.errors import InputError, unknown
from saddlepoint.evaluation import SUITES
from saddlepoint.reading import shown
from saddlepoint.studies.spec import StudySpec
from saddlepoint.threat import Statistics, norm_ball

_ANY: Statistics = ((0.5,), (0.25,))  # an attack's options are checked before there is data
_NO_FIELDS = ("str", "list[union[str,dict[str,any]]]", "[key]")  # pydantic's own steps in a path


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
        path = [part for part in first["loc"] if part not in _NO_FIELDS]
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
    return f"is {shown(error['input'])[:60]}, {message}"


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
    if spec.threat.norm == "linf" and spec.threat.space == "pixels" and max(spec.eps) > 1:
        raise document.error(
            ("eps",), f"{max(spec.eps):g} is more than the range of pixels, 1; 8/255 may be meant"
        )
    known_data = DATASETS.get(spec.data.name)
    if spec.threat.space == "pixels" and known_data and spec.data.image_size is None:
        try:
            norm_ball(spec.threat.norm, max(spec.eps)).check_width(known_data.shape)
        except InputError as error:
            raise document.error(("eps",), str(error)) from None
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
        spec.model_copy(update={"variants": {"": []}}).recipe_at("", spec.eps[0], _ANY)
    except InputError as error:
        raise document.error(("recipe",), str(error)) from None
    for part in spec.parts:
        alone = spec.model_copy(update={"variants": {part: [part]}})
        try:
            alone.recipe_at(part, spec.eps[0], _ANY)
        except InputError as error:
            raise document.error(("parts", part), str(error)) from None
    for variant in spec.variants:
        try:
            spec.recipe_at(variant, spec.eps[0], _ANY)
        except InputError as error:
            raise document.error(("variants", variant), str(error)) from None
    return spec.model_copy(update={"reference": reference, "title": spec.title or spec.name})
