"""The nine-defences report's findings on studies in which each is known to hold, or not."""

from __future__ import annotations

import copy
import dataclasses
import gc

import numpy as np
import pyarrow as pa
import pytest
from studies.synthetic import NINE, recipe, synthetic

from saddlepoint.reports.study import findings
from saddlepoint.studies import results as r

EPS = (4 / 255, 8 / 255, 12 / 255, 16 / 255)
NAMES = (
    "best", "second", "rest", "saturates", "slowest", "accuracy lost", "higher", "fastest",
    "spread", "accuracy raised", "forms", "activations", "binary", "passes",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch):
    """Statsmodels collects garbage in every correction, a tenth of a second with torch loaded."""
    monkeypatch.setattr(gc, "collect", lambda *_: 0)


def study(
    recipes, success, clean=None, curve=None, seeds=6, budgets=EPS, noise=0.004, draw=0, **changed
):
    """Results with given rates: `success(variant, eps)`, `clean(variant)`, and noise per seed.

    `curve(variant, epochs)` is the loss; `success` may take a third argument, a normal number
    of the seed.
    """
    random = np.random.default_rng(0)
    evaluations, curves = [], []
    for variant in recipes:
        for seed in range(seeds):
            of_seed = random.normal()
            right = (clean(variant) if clean else 0.9) + noise * random.normal()
            for eps in budgets:
                rate = success(variant, eps, of_seed) + noise * random.normal()
                evaluations.append(
                    (variant, seed, eps, "pgd", 100, right, right * (1 - rate), rate, 1.0, "t", "e")
                )
            epochs = np.arange(1, 101) / 10
            losses = (curve or decay)(variant, epochs * (1 + noise * random.normal()))
            losses = losses * (1 + noise * random.normal())
            curves += [
                (variant, seed, None, e, x, 0.0) for e, x in zip(epochs, losses, strict=True)
            ]

    def table(rows, schema):
        arrays = [
            pa.array(c, k) for c, k in zip(zip(*rows, strict=True), schema.types, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    values = {
        "name": "s", "title": "S",
        "config": {"variants": {name: {"recipe": each} for name, each in recipes.items()}},
        "variants": tuple(recipes), "reference": next(iter(recipes)), "seeds": tuple(range(seeds)),
        "budgets": budgets, "attacks": ("pgd",), "threat": "Linf", "classes": tuple("0123456789"),
        "minimum_clean_accuracy": 0.5,
        "evaluations": table(evaluations, r.EVALUATION_COLUMNS),
        "curves": table(curves, r.CURVE_COLUMNS),
    }  # fmt: skip
    return r.StudyResults(**{**values, **changed})


def decay(variant, epochs):
    return np.exp(-epochs)


def nine():
    return {name: recipe(name) for name in NINE}


def verdicts(results):
    return dict(zip(NAMES, findings(results), strict=True))


def tier(variant):
    return 0.3 if "adversarial" in variant else 0.55 if "self-ensemble" in variant else 0.8


def as_reported(variant, eps, draw):
    """Saturating, with a spread that grows."""
    return tier(variant) * (1 - np.exp(-eps * 100)) + 0.3 * eps * draw


def reported_clean(variant):
    return 0.8 + 0.05 * ("adversarial" in variant) - 0.02 * ("regularised" in variant)


def reported_curve(variant, epochs):
    adversarial, regularised = "adversarial" in variant, "regularised" in variant
    floor = 0.6 if adversarial and regularised else 0.2
    pace = 0.5 if regularised else 8 if adversarial else 2
    return floor + 2 * np.exp(-pace * epochs)


@pytest.fixture(scope="module")
def reported():
    return study(nine(), as_reported, reported_clean, reported_curve, seeds=10)


def test_everything_that_the_report_found_is_found_where_it_is_so(reported):
    found = verdicts(reported)
    assert {name: f.verdict for name, f in found.items()} == {
        **dict.fromkeys(NAMES[:10], "holds"),
        **dict.fromkeys(NAMES[10:], "not in this study"),
    }
    assert "0.2 against" not in found["higher"].evidence
    assert "% against random self-ensemble" in found["best"].evidence
    assert all(f.evidence.endswith(".") and f.statement.endswith(".") for f in found.values())
    assert not any("nan" in f.evidence for f in found.values())


def test_everything_is_refuted_where_the_contrary_is_so():
    results = study(
        nine(),
        lambda variant, eps, draw: (1.1 - tier(variant)) * (eps * 30) ** 2 + (0.1 - eps) * draw / 5
        + 0.2 * (variant == "quantised"),
        lambda variant: 1.6 - reported_clean(variant),
        lambda variant, epochs: 3 - reported_curve(variant, 2 * np.maximum(3 - epochs, 0)),
        seeds=10,
    )  # fmt: skip
    found = {name: f.verdict for name, f in verdicts(results).items()}
    for name in (
        "best",
        "second",
        "rest",
        "saturates",
        "accuracy lost",
        "higher",
        "fastest",
        "spread",
    ):
        assert found[name] == "does not hold", name
    assert found["accuracy raised"] == "does not hold"


def test_noise_alone_confirms_nothing_but_that_there_is_no_difference():
    results = study(nine(), lambda v, e, d: 0.5, lambda v: 0.8, noise=0.03)
    found = {name: f.verdict for name, f in verdicts(results).items()}
    assert [name for name, verdict in found.items() if verdict == "holds"] == ["rest"]


def test_a_lost_accuracy_that_is_not_little_is_refuted():
    recipes = {name: recipe(name) for name in ("original", "regularised")}
    results = study(recipes, as_reported, lambda v: 0.9 - 0.2 * (v == "regularised"))
    found = verdicts(results)["accuracy lost"]
    assert found.verdict == "does not hold"
    assert "more than 5 points" in found.evidence


def test_no_significant_difference_is_not_yet_no_difference():
    recipes = {name: recipe(name) for name in ("original", "quantised")}
    noisy = study(recipes, lambda v, e, d: 0.5 + 0.1 * d, seeds=3)
    found = verdicts(noisy)["rest"]
    assert found.verdict == "cannot be told"
    assert "not excluded" in found.evidence


def test_repeats_of_one_seed_are_not_taken_for_independent():
    # The difference of each seed is the same at forty budgets: two seeds stay two seeds.
    many = tuple(k / 255 for k in range(1, 41))
    recipes = {name: recipe(name) for name in ("original", "adversarial")}
    results = study(
        recipes,
        lambda v, e, d: 0.5 + 0.05 * d - 0.05 * (v == "adversarial"),
        seeds=2, budgets=many, noise=0.001,
    )  # fmt: skip
    assert verdicts(results)["best"].verdict == "cannot be told"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seeds": 1}, "one seed alone"),
        ({"minimum_clean_accuracy": 0.83}, "below the 83 % that a conclusion needs"),
    ],
)
def test_what_cannot_be_told_says_why(changed, words):
    found = verdicts(study(nine(), as_reported, reported_clean, reported_curve, **changed))
    for name in NAMES[:10]:
        # What is said of all variants together leaves those out that have not trained.
        pooled = name in ("saturates", "spread") and "minimum_clean_accuracy" in changed
        assert found[name].verdict == ("holds" if pooled else "cannot be told"), name
    assert words in found["best"].evidence


def test_unfinished_studies(reported):
    rows = reported.evaluations.to_pylist()
    mask = [row["variant"] != "adversarial" for row in rows]
    partial = dataclasses.replace(
        reported, evaluations=reported.evaluations.filter(pa.array(mask)), missing=("x",)
    )
    found = verdicts(partial)
    assert found["best"].evidence == "adversarial has no finished evaluation."
    assert found["rest"].verdict == "holds", "it needs no adversarial training"
    assert "Left out: adversarial." in found["saturates"].evidence
    empty = dataclasses.replace(reported, evaluations=reported.evaluations.slice(0, 0))
    assert not {"holds", "does not hold"} & {f.verdict for f in findings(empty)}
    no_curves = dataclasses.replace(reported, curves=reported.curves.slice(0, 0))
    assert verdicts(no_curves)["slowest"].verdict == "cannot be told"
    assert verdicts(no_curves)["best"].verdict == "holds"


def test_one_budget_and_other_references(reported):
    one = study(nine(), as_reported, reported_clean, reported_curve, budgets=(8 / 255,))
    assert verdicts(one)["saturates"].verdict == "not in this study"
    assert verdicts(one)["spread"].verdict == "not in this study"
    assert verdicts(one)["best"].verdict == "holds"
    other = dataclasses.replace(reported, reference="quantised")
    assert verdicts(other)["rest"].verdict == "not in this study"
    bare = dataclasses.replace(reported, config={})
    assert {f.verdict for f in findings(bare)} == {"cannot be told"}
    assert "recipe of original" in findings(bare)[0].evidence


def with_option(base, part, name, option, values):
    found = {"original": recipe("original")}
    for value in values:
        each = copy.deepcopy(recipe(base))
        next(p for p in each[part] if p["name"] == name)[option] = value
        found[f"{base} {value}"] = each
    return found


def test_the_forms_of_the_orthogonal_penalty():
    recipes = with_option("regularised", "penalties", "orthogonal", "form", [1, 2, 3, 4])
    same = study(recipes, lambda v, e, d: 0.5)
    assert verdicts(same)["forms"].verdict == "holds"
    far = study(recipes, lambda v, e, d: 0.8 if v.endswith("3") else 0.5)
    assert verdicts(far)["forms"].verdict == "does not hold"
    assert "6 pairs" in verdicts(far)["forms"].evidence


def test_activations_and_the_binary_one():
    names = ["dtrelu", "ddtrelu"]
    recipes = with_option("quantised", "transforms", "quantise", "activation", names)
    binary = copy.deepcopy(recipe("quantised"))
    binary["transforms"][0]["activation_bits"] = 1
    results = study({**recipes, "binary": binary}, lambda v, e, d: 0.5)
    found = verdicts(results)
    assert (found["activations"].verdict, found["binary"].verdict) == ("holds", "holds")
    broken = study(
        {**recipes, "binary": binary},
        lambda v, e, d: 0.5,
        lambda v: 0.12 if v == "binary" else 0.8,
    )
    assert verdicts(broken)["binary"].verdict == "does not hold"
    assert verdicts(broken)["activations"].verdict == "holds", "the binary one is not of its group"


def test_passes_of_the_self_ensemble():
    counts = [1, 5, 10, 20]
    name = "random self-ensemble"
    recipes = with_option(name, "transforms", "random-self-ensemble", "samples", counts)

    def still_rising(variant):
        return 0.5 + 0.02 * int(variant.split()[-1]) if variant[-1].isdigit() else 0.9

    def saturated(variant):
        return 0.5 + 0.02 * min(10, int(variant.split()[-1])) if variant[-1].isdigit() else 0.9

    same = verdicts(study(recipes, lambda v, e, d: 0.5, saturated))["passes"]
    assert same.verdict == "holds"
    assert "From 1 to 10 passes" in same.evidence
    rising = verdicts(study(recipes, lambda v, e, d: 0.5, still_rising))["passes"]
    assert rising.verdict == "does not hold"


def test_the_synthetic_study_has_the_tiers_it_was_made_with():
    found = verdicts(synthetic(seeds=5, images=200))
    assert (found["best"].verdict, found["second"].verdict) == ("holds", "holds")
