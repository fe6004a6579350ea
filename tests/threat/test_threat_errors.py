"""Budgets, bounds and norms that cannot be meant are named in the error."""

from __future__ import annotations

import pytest
import torch

from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L1, L2, Box, Linf, format_eps, norm_ball, parse_eps


@pytest.mark.parametrize("ball", [Linf, L2, L1, L0])
@pytest.mark.parametrize("eps", [-1, -0.5, float("nan"), "8/255", None, True])
def test_a_budget_that_is_not_a_positive_number_or_0_is_named(ball, eps):
    with pytest.raises(InputError, match=f"eps is {eps}; give a positive number"):
        ball(eps)


@pytest.mark.parametrize("eps", [1.5, 0.1])
def test_l0_counts(eps):
    with pytest.raises(InputError, match=f"whole number, not {eps}"):
        L0(eps)


def test_l0_counts_features_or_pixels():
    with pytest.raises(InputError, match='not per "channel"'):
        L0(1, per="channel")


@pytest.mark.parametrize("text", ["eight", "", "1/0", "-8/255", "nan", "inf", "8/255/2", "/255"])
def test_text_that_is_no_budget_is_quoted(text):
    with pytest.raises(InputError, match=f"eps is '{text}'"):
        parse_eps(text)


@pytest.mark.parametrize("text", ["8/255", "0.5", "12", "1e-3", " 8 / 255 ", 0.25, "0", "0/255"])
def test_budgets_are_read_as_written(text):
    assert parse_eps(text) == pytest.approx(eval(str(text)), rel=0)


def test_budgets_are_printed_as_people_write_them():
    assert [format_eps(parse_eps(t)) for t in ("1/255", "16/255", "0.5", "3", "0")] == [
        "1/255", "16/255", "0.5", "3", "0",
    ]  # fmt: skip


def test_an_unknown_norm_suggests_one():
    with pytest.raises(InputError, match=r"unknown norm 'linff'; did you mean 'linf'"):
        norm_ball("linff", 1)


def test_a_box_needs_an_inside():
    for lower, upper in ((0.5, 0.4), (torch.tensor([0.0, 0.6]), 0.5), (float("nan"), 1.0)):
        with pytest.raises(InputError, match="lower ≤ upper"):
            Box(lower, upper)


def test_a_box_with_bounds_per_sample_selects_them():
    lower = torch.tensor([0.1, 0.2, 0.3]).reshape(3, 1, 1, 1).expand(3, 2, 1, 1)
    box = Box(lower, 0.9).at(torch.tensor([2, 0]))
    x = torch.zeros(2, 2, 1, 1)
    assert box.project(x, x)[:, 0, 0, 0].tolist() == pytest.approx([0.3, 0.1])
    assert box.radius(x).tolist() == pytest.approx([0.3, 0.4])
    shared = Box(lower[0], 0.9)
    assert shared.at(torch.tensor([1])) is shared
