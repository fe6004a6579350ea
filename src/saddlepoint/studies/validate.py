"""Reading a study's specification; an error names the line, the field and what was expected."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from saddlepoint.attacks import attack_info
from saddlepoint.data import DATASETS
from saddlepoint.defences import resolve_recipe
from saddlepoint.document import Document, parse_document, read_document
from saddlepoint.errors import InputError, unknown
from saddlepoint.evaluation import SUITES
from saddlepoint.reading import shown
from saddlepoint.studies.spec import StudySpec
from saddlepoint.threat import Statistics, norm_ball

_ANY: Statistics = ((0.5,), (0.25,))  # an attack's options are checked before there is data
_NO_FIELDS = ("str", "list[union[str,", "[key]", "function-")  # pydantic's own steps in a path


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
        errors = error.errors()
        # Of a union the branch that looked inside knows more than one that wanted another type.
        first = next((each for each in errors if each["type"] == "value_error"), errors[0])
        # The parts of a union are no fields of the document.
        path = [part for part in first["loc"] if not str(part).startswith(_NO_FIELDS)]
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


@contextlib.contextmanager
def _at(document: Document, *path: str | int) -> Iterator[None]:
    """Name the line and the field in the errors of the block."""
    try:
        yield
    except InputError as error:
        raise document.error(path, str(error)) from None


def _consistent(spec: StudySpec, document: Document) -> StudySpec:
    """Check what spans several fields; fill in the reference and the title."""
    reference = spec.reference or next(iter(spec.variants))
    with _at(document, "reference"):
        _known("variant", reference, spec.variants)
    for kind in ("seeds", "eps"):
        values = getattr(spec, kind)
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise document.error((kind,), f"{twice[0]} is given twice")
    with _at(document, "eps"):
        _check_budgets(spec)
    for variant, parts in spec.variants.items():
        for i, part in enumerate(parts):
            with _at(document, "variants", variant, i):
                if isinstance(part, str):
                    _known("part", part, spec.parts)
    for name, line in (spec.axis.lines if spec.axis else {}).items():
        for variant in line:
            with _at(document, "axis", "lines", name):
                _known("variant", variant, spec.variants)
    for name, attack in spec.attacks.items():
        if "eps" in attack:
            raise document.error(
                ("attacks", name, "eps"), "the budgets are the study's; leave eps out here"
            )
        with _at(document, "attacks", name):
            if set(attack) == {"suite"}:
                _known("suite", attack["suite"], SUITES)
            else:
                attack_info(str(attack.get("name")))
                spec.attack(attack, spec.eps[0], _ANY)
    with _at(document, "recipe"):
        resolve_recipe(spec.shared())
        _built(spec, "", [])
    for part in spec.parts:
        with _at(document, "parts", part):
            _built(spec, part, [part])
    for variant, parts in spec.variants.items():
        with _at(document, "variants", variant):
            _built(spec, variant, parts)
    return spec.model_copy(update={"reference": reference, "title": spec.title or spec.name})


def _known(kind: str, name: Any, known: Collection[str]) -> None:
    if not isinstance(name, str) or name not in known:
        raise unknown(kind, str(name), known)


def _built(spec: StudySpec, name: str, parts: list[str | dict[str, Any]]) -> None:
    """Build a recipe of these parts, which raises `InputError` where one is wrong."""
    spec.model_copy(update={"variants": {name: parts}}).recipe_at(name, spec.eps[0], _ANY)


def _check_budgets(spec: StudySpec) -> None:
    if spec.threat.space != "pixels":
        return
    largest, data = max(spec.eps), DATASETS.get(spec.data.name)
    if spec.threat.norm == "linf" and largest > 1:
        raise InputError(f"{largest:g} is more than the range of pixels, 1; 8/255 may be meant")
    if data and spec.data.image_size is None:
        norm_ball(spec.threat.norm, largest).check_width(data.shape)
