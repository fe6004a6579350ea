"""What evaluations must share so that their models can be compared, and what a reader must know where
they differ in more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from saddlepoint.errors import InputError
from saddlepoint.evaluation.common_budgets import level_of, listed
from saddlepoint.evaluation.conditions import Conditions
from saddlepoint.reading import shown


def check_comparable(evaluations: Mapping[str, Conditions]) -> None:
    """Raise `InputError` unless all were evaluated on the same images under one threat model and
    criterion; the first difference is named.

    >>> a = Conditions("a", {"fingerprint": "0"}, "Linf", "pixels", None, "Misclassified", {})
    >>> b = Conditions("b", {"fingerprint": "0"}, "L2", "pixels", None, "Misclassified", {})
    >>> check_comparable({"a": a, "b": b})
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: a was attacked in Linf, b in L2; compare evaluations in one norm
    """
    (first, one), *others = evaluations.items()
    for second, other in others:
        a, b = shown(first), shown(second)
        if one.data.get("fingerprint") != other.data.get("fingerprint"):
            raise InputError(_other_data(a, one.data, b, other.data))
        if one.norm != other.norm:
            raise InputError(
                f"{a} was attacked in {one.norm}, {b} in {other.norm}; compare evaluations in one norm"
            )
        if one.space != other.space:
            raise InputError(
                f"the budgets of {a} are in the space {one.space}, those of {b} in {other.space};"
                " compare evaluations in one space"
            )
        if one.bounds is not None and other.bounds is not None and one.bounds != other.bounds:
            keys = sorted({*one.bounds, *other.bounds})
            differ = [key for key in keys if one.bounds.get(key) != other.bounds.get(key)]
            raise InputError(
                f"the threat models of {a} and {b} differ in {', '.join(map(shown, differ))}; compare"
                " evaluations under one threat model"
            )
        if one.criterion != other.criterion:
            raise InputError(
                f"what counts as fooled is {one.criterion} for {a}, {other.criterion} for {b};"
                " compare evaluations with one criterion"
            )


def remarks(
    evaluations: Mapping[str, Conditions],
    budgets: Mapping[str, Sequence[float]],
    eps: Sequence[float],
) -> tuple[str, ...]:
    """Return what a reader must know: suites, smaller budgets and weights that are not as expected.

    Args:
        budgets: of each evaluation.
        eps: those at which they are compared.

    >>> a = Conditions("0", {}, "Linf", "pixels", None, "Misclassified", {"fgsm": {}})
    >>> b = Conditions("1", {}, "Linf", "pixels", None, "Misclassified", {"apgd": {}})
    >>> remarks({"a": a, "b": b}, {"a": [0.1], "b": [0.1]}, [0.1])
    ('the suites differ, and a weaker one leaves more images standing: fgsm (a); apgd (b)',)
    """
    found = []
    told = {name: ", ".join(map(shown, each.suite)) for name, each in evaluations.items()}
    if len(set(told.values())) > 1:
        found.append(
            f"the suites differ, and a weaker one leaves more images standing: {_grouped(told)}"
        )
    else:
        suites = [each.suite for each in evaluations.values()]
        other = [key for key in suites[0] if any(each[key] != suites[0][key] for each in suites)]
        if other:
            found.append(
                "the suites have the same attacks with other settings, and weaker ones leave more"
                f" images standing: {', '.join(map(shown, other))}"
            )
    largest = max(eps, default=0.0)
    smaller = {listed(each[: level_of(largest, each) or 0]) for each in budgets.values()}
    if len(smaller) > 1:
        had = _grouped({name: listed(each) for name, each in budgets.items()})
        found.append(
            "an image fooled at a smaller budget counts as fooled at the larger ones, and not all"
            f" were attacked at the same budgets: {had}"
        )
    for (a, first), (b, second) in combinations(evaluations.items(), 2):
        if first.model == second.model:
            found.append(f"{shown(a)} and {shown(b)} are evaluations of the same weights")
    return tuple(found)


def _grouped(told: Mapping[str, str]) -> str:
    """Return what is told of evaluations, each once, with the names of those it is told of."""
    names = {text: [name for name, each in told.items() if each == text] for text in told.values()}
    return "; ".join(f"{text} ({', '.join(map(shown, each))})" for text, each in names.items())


def _other_data(a: str, one: Mapping[str, Any], b: str, other: Mapping[str, Any]) -> str:
    def what(data: Mapping[str, Any]) -> str:
        images = (
            f"{data.get('images')} images" if one.get("images") != other.get("images") else "images"
        )
        return f"{images} of {shown(data.get('name'))} {shown(data.get('split'))}"

    if what(one) == what(other):
        return (
            f"{a} and {b} were evaluated on other images, though both on {one.get('images')} of"
            f" {shown(one.get('name'))} {shown(one.get('split'))}: pixels or labels differ;"
            " evaluate both on the same"
        )
    return f"{a} has {what(one)}, {b} {what(other)}; evaluate both on the same"
