"""Options are parsed and fields checked by their annotations, with messages that name the remedy."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import pytest

from saddlepoint.errors import InputError
from saddlepoint.option_values import (
    BelowOne,
    Count,
    Interval,
    Natural,
    NonNegative,
    Positive,
    Share,
    Whole,
    check_fields,
    check_value,
    parse_option,
    parse_options,
)


@dataclass(frozen=True)
class Base:
    steps: Count = 10
    keep: Literal["best", "last"] = "best"
    norms: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        check_fields(self)


@dataclass(frozen=True)
class Settings(Base):
    pruned: Natural = 0
    restarts: Annotated[int, Whole(2, 100)] = 2
    coordinates: Count | None = None
    step_size: Positive | None = None
    decay: NonNegative = 0.0
    p: Share = 1.0
    momentum: BelowOne = 0.0
    gamma: Annotated[float, Interval("(0, 1)")] = 0.5
    eta: Annotated[float, Interval("[1, inf)")] = 1.0
    eps: tuple[Positive, ...] = (0.1,)
    pair: tuple[Positive, Positive] = (1.0, 2.0)
    mixed: tuple[int, str] = (0, "any")
    dtype: Literal["bf16"] | None = None
    loss: Literal["a", "b", "c", "d"] = "a"
    form: Literal[1, 2] = 1
    free: float = math.nan
    either: int | str = "anything"
    classes: Count | Literal["all"] = 10


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"pruned": 3, "coordinates": 1, "step_size": 1e-9, "decay": 5, "p": 1e-9, "momentum": 0.99},
        {"gamma": 0.5, "eta": 10, "eps": [1, 2], "dtype": "bf16", "loss": "d", "form": 2},
        {"step_size": np.float32(0.5), "restarts": 100},
        {"free": -1, "either": None, "mixed": ()},
        {"classes": "all"},
    ],
)
def test_fields_that_may_be_are_accepted(given):
    settings = Settings(**given)
    assert all(getattr(settings, name) == value for name, value in given.items())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps is 0; give at least 1"),
        ({"steps": True}, "steps is True; give a whole number of at least 1"),
        ({"steps": 2.0}, "steps is 2.0; give a whole number of at least 1"),
        ({"steps": 10**10}, "steps is 10000000000; give at most 1,000,000,000"),
        ({"steps": None}, "steps is None; give a whole number of at least 1"),
        ({"pruned": -1}, "pruned is -1; give at least 0"),
        ({"restarts": 1}, "restarts is 1; give at least 2"),
        ({"restarts": 101}, "restarts is 101; give at most 100"),
        ({"coordinates": 0}, "coordinates is 0; give at least 1"),
        ({"step_size": 0}, "step_size is 0; give a positive number"),
        ({"step_size": math.nan}, "step_size is nan; give a positive number"),
        ({"step_size": math.inf}, "step_size is inf; give a positive number"),
        ({"step_size": "0.1"}, "step_size is '0.1'; give a positive number"),
        ({"step_size": True}, "step_size is True; give a positive number"),
        ({"decay": -1}, "decay is -1; give a number of at least 0"),
        ({"decay": None}, "decay is None; give a number of at least 0"),
        ({"p": 0}, "p is 0; give a number in (0, 1]"),
        ({"p": 1.1}, "p is 1.1; give a number in (0, 1]"),
        ({"momentum": 1}, "momentum is 1; give a number in [0, 1)"),
        ({"gamma": 0}, "gamma is 0; give a number in (0, 1)"),
        ({"gamma": 1}, "gamma is 1; give a number in (0, 1)"),
        ({"eta": 0.9}, "eta is 0.9; give a number in [1, inf)"),
        ({"eps": (0.1, -1.0)}, "eps is -1.0; give a positive number"),
        ({"eps": ()}, "eps is (); give at least one"),
        ({"eps": 0.1}, "eps is 0.1; give at least one"),
        ({"pair": (1.0, 0.0)}, "pair is 0.0; give a positive number"),
        ({"keep": "first"}, 'keep is "first"; it is "best" or "last"'),
        ({"classes": 0}, "classes is 0; give at least 1"),
        ({"classes": "most"}, "classes is 'most'; give a whole number of at least 1"),
        ({"classes": None}, "classes is None; give a whole number of at least 1"),
        ({"dtype": "fp16"}, 'dtype is "fp16"; it is "bf16" or None'),
        ({"loss": "e"}, 'loss is "e"; it is one of a, b, c, d'),
        ({"form": 3}, "form is 3; it is 1 or 2"),
    ],
)
def test_a_field_that_may_not_be_is_refused_with_its_remedy(given, message):
    with pytest.raises(InputError) as error:
        Settings(**given)
    assert str(error.value) == message


def test_a_copy_is_checked_and_an_owner_is_named():
    settings = Settings()
    with pytest.raises(InputError, match=r"^steps is 0; give at least 1$"):
        replace(settings, steps=0)
    object.__setattr__(settings, "steps", 0)
    with pytest.raises(InputError, match=r"^PGD: steps is 0; give at least 1$"):
        check_fields(settings, "PGD")


def test_a_value_is_checked_alone():
    check_value("gradient", "lsq", Literal["report", "lsq"])
    check_value("anything", object(), dict)
    with pytest.raises(InputError, match="iterations is 0; give at least 1"):
        check_value("iterations", 0, Count)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("40", int, 40),
        ("2/255", float, 2 / 255),
        (" 0.5 ", float, 0.5),
        ("-1/4", float, -0.25),
        ("2/255", float | None, 2 / 255),
        (None, float | None, None),
        ("yes", bool, True),
        ("a/b", str, "a/b"),
        ("1/2", str, "1/2"),
        ("margin", Literal["margin", "dlr"], "margin"),
        ("0, 8/255 ,1", tuple[float, ...], (0.0, 8 / 255, 1.0)),
        ("3,7", tuple[int, int], (3, 7)),
        ("3,7", tuple[int, ...] | None, (3, 7)),
        ([1, 2], tuple[int, ...], (1, 2)),
        (7, int, 7),
    ],
)
def test_an_option_is_understood(value, kind, expected):
    found = parse_option("pgd", "option", value, kind)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("many", int, "pgd: steps is 'many': input should be a valid integer, unable to parse"),
        ("1/0", float, "pgd: steps is '1/0': input should be a valid number"),
        ("2/x", float, "pgd: steps is '2/x': input should be a valid number"),
        ("nan/1", float, "pgd: steps is 'nan/1': input should be a valid number"),
        ("1,x", tuple[int, ...], "pgd: steps is '1,x': input should be a valid integer"),
        ("hinge", Literal["margin", "dlr"], "pgd: steps is 'hinge': input should be 'margin'"),
        (2**70, int, "pgd: steps is 1180591620717411303424; give a smaller number"),
    ],
)
def test_an_option_that_is_none_is_refused(value, kind, message):
    with pytest.raises(InputError) as error:
        parse_option("pgd", "steps", value, kind)
    assert str(error.value).startswith(message)


def test_options_are_found_by_name():
    kinds = {field.name: int for field in fields(Base)}
    assert parse_options("pgd", {"steps": "4"}, kinds) == {"steps": 4}
    with pytest.raises(InputError, match=r"unknown setting of pgd 'step'; did you mean 'steps'\?"):
        parse_options("pgd", {"step": 4}, kinds, "setting")
