"""The parts of which findings are made: roles, convergence, verdicts from paired seeds."""

from __future__ import annotations

import numpy as np
import pytest
from studies.synthetic import NINE, recipe

from saddlepoint.reports.study.cells import paired_by_seed
from saddlepoint.reports.study.findings.measures import early, half_way
from saddlepoint.reports.study.findings.verdict import alike, ordered
from saddlepoint.reports.study.roles import differ_only_in, role_of, without_penalties


def test_roles_come_from_the_recipe_not_from_the_name():
    recipes = {name: recipe(name) for name in NINE}
    assert role_of(recipes["original"]).plain
    assert role_of(recipes["quantised + adversarial"]).adversarial
    assert not role_of(
        {**recipes["regularised"], "penalties": [{"name": "x", "weight": 0.0}]}
    ).regularised
    assert without_penalties(recipes, "adversarial + regularised") == "adversarial"
    assert differ_only_in(recipes, "transforms", "quantise", "activation") == []


def test_convergence_is_measured_on_the_curves_own_scale():
    epochs = np.arange(1, 1001) / 100
    for floor in (0.0, 5.0):
        exponential = floor + np.exp(-(epochs - epochs[0]))
        assert half_way(epochs, exponential) - epochs[0] == pytest.approx(np.log(2), abs=1e-3)
        assert early(epochs, exponential) == pytest.approx(1 - np.exp(-0.49), abs=1e-3)
    assert half_way(epochs, epochs) == epochs[-1], "a loss that rises is never half-way"
    assert early(epochs, epochs) == 0


def test_verdicts_pair_seeds_and_correct_for_many():
    random = np.random.default_rng(0)
    base = {(s, 0.1): random.random() for s in range(5)}
    cells = {"a": {k: v + 0.01 + 0.001 * random.random() for k, v in base.items()}, "b": base}
    assert ordered(cells, [("a", "b")], "greater")[0] == "holds"
    assert ordered(cells, [("a", "b")], "less")[0] == "does not hold"
    assert ordered(cells, [("a", "b")], "greater", factor=2.0)[0] == "does not hold"
    assert alike(cells, [("a", "b")], 0.02)[0] == "holds"
    assert alike(cells, [("a", "b")], 0.005)[0] == "does not hold"
    assert paired_by_seed(cells["a"], {}) == ([], [])
    shifted = {"a": {k: v + 0.25 for k, v in base.items()}, "b": base}
    assert "all differences are equal" in ordered(shifted, [("a", "b")], "greater")[1]
    assert ordered({"a": base, "b": base}, [("a", "b")], "less")[0] == "does not hold"


def test_how_often_noise_is_taken_for_something():
    random = np.random.default_rng(0)
    pairs = [("a", "d"), ("b", "d"), ("c", "d")]
    found = []
    for _ in range(200):
        cells = {v: {(s, 0.1): random.normal() for s in range(6)} for v in "abcd"}
        found.append(ordered(cells, pairs, "less")[0])
    assert found.count("holds") <= 10
    assert found.count("does not hold") <= 16  # 5 % of 200 are 10; binomial, sd 3
