"""Errors say what was seen and what is near it."""

from __future__ import annotations

from saddlepoint.errors import InputError, OutputError, unknown


def test_a_near_name_is_suggested_and_all_are_listed():
    text = str(unknown("attack", "mifgsm", ["pgd", "mi-fgsm"]))
    assert text == "unknown attack 'mifgsm'; did you mean 'mi-fgsm'? (known: pgd, mi-fgsm)"


def test_a_far_name_gets_the_list_alone():
    text = str(unknown("attack", "zzz", iter(["pgd", "fgsm"])))
    assert text == "unknown attack 'zzz'; (known: pgd, fgsm)"


def test_every_error_of_a_user_is_a_value_error_of_ours():
    assert isinstance(unknown("norm", "x", []), InputError)
    assert issubclass(OutputError, InputError)
    assert issubclass(InputError, ValueError)
