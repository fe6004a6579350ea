"""Epochs at which networks are equally accurate: the highest there are, by trying all."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from saddlepoint.lab.matched import Trained, matched_epochs

COURSES = st.lists(
    st.lists(st.integers(0, 40), min_size=1, max_size=4), min_size=1, max_size=4
)  # right images of 300


def trained(courses):
    nets = (Trained(nn.Identity(), (), tuple(right / 300 for right in each)) for each in courses)
    return {str(i): each for i, each in enumerate(nets)}


def chosen(courses, epochs):
    return [each[epochs[str(i)] - 1] for i, each in enumerate(courses)]


@given(COURSES, st.sampled_from([0, 3, 6]))
def test_the_least_accurate_is_as_accurate_as_equal_networks_can_be(courses, within):
    found = chosen(courses, matched_epochs(trained(courses), within / 300))
    every = list(itertools.product(*courses))
    equal = [min(each) for each in every if max(each) - min(each) <= within]
    if equal:
        assert max(found) - min(found) <= within
        assert min(found) == max(equal)
    else:
        assert max(found) - min(found) == min(max(each) - min(each) for each in every)


def test_a_set_that_no_nearest_epoch_gives():
    courses = [[84, 89], [84], [87], [87, 82]]
    assert chosen(courses, matched_epochs(trained(courses), 0.01)) == [84, 84, 87, 87]
