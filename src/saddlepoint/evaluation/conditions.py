"""Under which conditions a model was evaluated, as its record tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saddlepoint.evaluation.record import Evaluation
from saddlepoint.reading import decoding, shown

# What an attack's configuration says of the threat model and of the model: not of the suite.
_NOT_THE_SUITES = {"threat", "criterion", "eot_samples", "stop"}


@dataclass(frozen=True)
class Conditions:
    """Under which conditions a model was evaluated.

    Attributes:
        model: the fingerprint of its weights.
        data: name, split, number and fingerprint of the images.
        norm, space: of the budgets.
        bounds: all else of the threat model: range, mean, standard deviation; None where the record
            does not say.
        criterion: what counts as fooled.
        suite: attack → its settings.

    >>> Conditions("a", {"name": "digits"}, "Linf", "pixels", None, "Misclassified", {}).norm
    'Linf'
    """

    model: str
    data: Mapping[str, Any]
    norm: str
    space: str
    bounds: Mapping[str, Any] | None
    criterion: str
    suite: Mapping[str, Any]


def conditions(name: str, evaluation: Evaluation) -> Conditions:
    """Return the conditions that a record tells of.

    Args:
        name: of the evaluation, for errors.

    Raises `InputError` where the record does not tell them.

    >>> import pyarrow as pa
    >>> from saddlepoint.evaluation.statistics import Proportion
    >>> empty = Evaluation({}, Proportion(0, 0), (), pa.table({}), pa.table({}), 0.0, ())
    >>> conditions("runs/a", empty)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: runs/a is not a whole record of an evaluation: 'attacks'
    """
    config = evaluation.config
    with decoding(name, "a whole record of an evaluation"):
        attacks = dict(config["attacks"])
        first = dict(next(iter(attacks.values())))
        threat = config["threat"]
        words = threat.split()[0] if isinstance(threat, str) else _flat(threat)["type"]
        # One budget is told in words; its range stands with the attacks alone.
        whole = _flat(first["threat"] if isinstance(threat, str) else threat)
        known = whole.pop("type") == words and ("std" in whole) == (config["space"] == "normalised")
        return Conditions(
            model=str(config["model"]),
            data=dict(config["data"]),
            norm=str(words),
            space=str(config["space"]),
            bounds=whole if known else None,
            criterion=_words(first["criterion"]),
            suite={key: _settings(each) for key, each in attacks.items()},
        )


def _flat(threat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a threat model's configuration without its budget, where that is one number; that of a
    ball within it in its place.
    """
    values = {**threat, **threat.get("ball", {})}
    values.pop("ball", None)
    if isinstance(values.get("eps"), int | float | str):  # an infinite one is text
        del values["eps"]
    return values


def _settings(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _settings(each) for key, each in value.items() if key not in _NOT_THE_SUITES}
    return [_settings(each) for each in value] if isinstance(value, list) else value


def _words(value: Any) -> str:
    """Return the configuration of a criterion as one writes it."""
    if not isinstance(value, Mapping):
        return shown(value)
    options = ", ".join(f"{key}={each}" for key, each in value.items() if key != "type")
    return shown(f"{value['type']}({options})" if options else str(value["type"]))
