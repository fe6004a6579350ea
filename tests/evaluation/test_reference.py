"""`evaluate` against a naive evaluation, image by image, written without its machinery."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sampled import mostly_slow
from small import conv, digits, trained

from saddlepoint.attacks import FGSM, MIFGSM, PGD, FixedBudget
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation, build_suite, evaluate
from saddlepoint.evaluation.autoattack_versions import attack_of, version_of
from saddlepoint.threat import L0, L1, L2, Box, Linf

COUNT = 32
EPS = (8 / 255, 16 / 255, 32 / 255, 48 / 255)
SUITE = {
    "fgsm": FGSM(Linf(1.0)),
    "mi-fgsm": MIFGSM(Linf(1.0), steps=3),
    "pgd": PGD(Linf(1.0), steps=10),
    "margin": PGD(Linf(1.0), steps=4, restarts=2, loss="margin"),
}


def naive(model, data, threats, attacks, seed=0):
    """Every image alone: attacks in turn, budgets ascending, until something fools the model."""
    rows = []
    for i in range(len(data)):
        x, y = data.images(torch.tensor([i])), data.labels[i : i + 1]
        clean = int(model(x.to(next(model.parameters()))).argmax())
        row = {"id": i, "clean": clean, "by": "", "at": np.nan, "tries": []}
        rows.append(row)
        if clean != int(y):
            row["by"] = "initially wrong"
            continue
        start = None
        for threat in threats:
            for name, attack in attacks.items():
                result = replace(attack, threat=threat)(
                    model, x, y, seed=seed, ids=torch.tensor([i]), starts=start
                )
                passes = int(result.forwards), int(result.backwards)
                row["tries"].append((threat.eps, name, bool(result.success), *passes))
                if bool(result.success):
                    row |= {"by": name, "at": threat.eps, "distance": float(result.distance)}
                    row["prediction"] = int(result.predictions)
                    break
            if row["by"]:
                break
            start = result.adversarials
    return rows


@pytest.fixture(scope="module")
def subject():
    torch.set_num_threads(1)
    return trained(torch.float64), digits("test", COUNT)


@pytest.fixture(scope="module")
def reference(subject):
    torch.set_num_threads(1)
    return naive(*subject, [Linf(eps) for eps in EPS], SUITE)


@pytest.fixture(scope="module")
def found(subject):
    torch.set_num_threads(1)
    return evaluate(*subject, Linf(), eps=EPS, suite=SUITE, batch_size=16, diagnosis=None)


def test_every_image_is_fooled_as_in_the_naive_evaluation(found, reference):
    table = found.images.to_pylist()
    assert len(table) == COUNT * len(EPS)
    for line in table:
        row = reference[line["id"]]
        fooled = row["at"] <= line["eps"]
        assert line["clean_prediction"] == row["clean"]
        if row["by"] == "initially wrong":
            assert (line["fooled_by"], line["prediction"]) == ("initially wrong", row["clean"])
        elif fooled:
            assert (line["fooled_by"], line["fooled_at"]) == (row["by"], row["at"])
            assert line["distance"] == pytest.approx(row["distance"], abs=1e-9)
            assert line["prediction"] == row["prediction"] != line["label"]
        else:
            assert line["fooled_by"] == ""
            assert line["fooled_at"] is None
            assert line["prediction"] == line["label"]
    by = {row["by"] for row in reference}
    assert {"initially wrong", "fgsm", "mi-fgsm"} <= by  # the case is worth its name


def test_only_survivors_are_attacked_and_every_attempt_is_recorded(found, reference):
    attempts = [
        (a["id"], a["eps"], a["attack"], a["success"], a["forwards"], a["backwards"])
        for a in found.attempts.to_pylist()
    ]
    expected = [
        (row["id"], eps, name, success, forwards, backwards)
        for row in reference
        for eps, name, success, forwards, backwards in row["tries"]
    ]
    assert sorted(attempts) == sorted(expected)
    # The table tells of no image after it was fooled.
    done = set()
    for each in sorted(attempts, key=lambda a: (a[1], list(SUITE).index(a[2]))):
        assert each[0] not in done
        if each[3]:
            done.add(each[0])


def test_the_summary_counts_the_tables(found):
    total = COUNT
    rows, tries = found.images.to_pylist(), found.attempts.to_pylist()
    right = sum(r["clean_prediction"] == r["label"] for r in rows if r["eps"] == EPS[0])
    assert (found.clean.count, found.clean.total) == (right, total)
    for budget in found.budgets:
        here = [r for r in rows if r["eps"] == budget.eps]
        tried = [t for t in tries if t["eps"] == budget.eps]
        standing = sum(r["fooled_by"] == "" for r in here)
        assert (budget.robust_accuracy.count, budget.robust_accuracy.total) == (standing, total)
        assert (budget.success.count, budget.success.total) == (right - standing, right)
        assert budget.forwards == sum(t["forwards"] for t in tried) / total
        assert budget.backwards == sum(t["backwards"] for t in tried) / total
        for name in SUITE:
            mine = [t for t in tried if t["attack"] == name]
            assert budget.attacked[name] == len(mine)
            assert budget.fooled_by[name] == sum(t["success"] for t in mine)
    assert [b.eps for b in found.budgets] == sorted(EPS)


def test_accuracy_falls_with_the_budget_and_once_fooled_is_always_fooled(found):
    values = [found.clean.count, *(b.robust_accuracy.count for b in found.budgets)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[2] > values[-1]
    fooled = {}
    for row in found.images.to_pylist():
        assert fooled.get(row["id"], False) <= (row["fooled_by"] != "")
        fooled[row["id"]] = row["fooled_by"] != ""


def test_at_the_first_budget_it_is_the_union_of_the_attacks_on_everything(subject, found):
    model, data = subject
    images, union = data.images(torch.arange(COUNT)), torch.zeros(COUNT, dtype=torch.bool)
    for attack in SUITE.values():
        union |= replace(attack, threat=Linf(EPS[0]))(model, images, data.labels).success
    here = [row["fooled_by"] != "" for row in found.images.to_pylist() if row["eps"] == EPS[0]]
    assert here == union.tolist()


def values(record):
    """Everything measured, image by image, in an order of its own."""
    images = sorted(tuple(map(str, row.values())) for row in record.images.to_pylist())
    attempts = sorted(tuple(map(str, row.values())) for row in record.attempts.to_pylist())
    return images, attempts


@pytest.mark.parametrize(
    ("batch_size", "parts"),
    mostly_slow([(1, 32), (7, 11), (32, 3), (1000, 512)], quick=[(7, 11)]),
)
def test_batches_and_parts_do_not_change_a_result(subject, found, monkeypatch, batch_size, parts):
    monkeypatch.setattr("saddlepoint.evaluation.steps.SIZE", parts)
    other = evaluate(*subject, Linf(), eps=EPS, suite=SUITE, batch_size=batch_size, diagnosis=None)
    for name in ("id", "eps", "fooled_by", "fooled_at", "prediction"):
        first, second = (
            sorted(
                map(
                    str,
                    zip(*(r.images[c].to_pylist() for c in ("id", "eps", name)), strict=True),
                )
            )
            for r in (found, other)
        )
        assert first == second
    key = ("id", "eps")
    first, second = (r.images.sort_by([(k, "ascending") for k in key]) for r in (found, other))
    np.testing.assert_allclose(first["distance"], second["distance"], atol=1e-9)
    assert [b.forwards for b in other.budgets] == [b.forwards for b in found.budgets]


def test_an_evaluation_in_float32_agrees_where_margins_are_no_rounding_errors(found):
    other = evaluate(
        trained(),
        digits("test", COUNT),
        Linf(),
        eps=EPS,
        suite=SUITE,
        batch_size=13,
        diagnosis=None,
    )
    for mine, theirs in zip(found.budgets, other.budgets, strict=True):
        assert abs(mine.robust_accuracy.count - theirs.robust_accuracy.count) <= 1


def test_the_same_again_is_the_same_and_another_seed_is_another(subject):
    def run(seed):
        return values(evaluate(*subject, Linf(0.1), suite="quick", seed=seed, diagnosis=None))

    assert run(0) == run(0) != run(1)


def test_budgets_are_sorted_and_repeated_ones_run_once(subject):
    record = evaluate(*subject, Linf(), eps=[0.1, 0.05, 0.1], suite="quick", diagnosis=None)
    assert [budget.eps for budget in record.budgets] == [0.05, 0.1]


@pytest.mark.parametrize("threat", [L2(0.5), L1(1.0)])
def test_other_norms_are_evaluated_too(subject, threat):
    record = evaluate(*subject, threat, suite="quick", diagnosis=None)
    assert 0 < record.budgets[0].robust_accuracy.count < record.clean.count


def test_a_box_has_no_eps_but_a_record(subject, tmp_path):
    model, data = subject
    box = Box(torch.zeros(1, 8, 8), torch.ones(1, 8, 8))
    record = evaluate(model, data, box, suite="quick", out=tmp_path, diagnosis=None)
    assert record.budgets[0].robust_accuracy.count < record.clean.count
    again = Evaluation.load(tmp_path)
    assert np.isnan(again.budgets[0].eps)
    assert again.json() == record.json()
    with pytest.raises(InputError, match="has no eps; leave eps out"):
        evaluate(model, data, box, eps=[0.1], diagnosis=None)


class Lucky(FixedBudget):
    """Says nothing true: its images are outside the ball."""

    def perturb(self, batch, tracker):
        tracker.hand_over(batch, torch.rand(len(batch), 1, 8, 8))


def test_an_attack_that_leaves_the_ball_fools_nobody(subject):
    with pytest.warns(UserWarning, match="Lucky left the budget, the range or the mask for"):
        record = evaluate(
            *subject, Linf(), eps=[1e-3, 2e-3], suite={"lucky": Lucky(Linf(1.0))}, diagnosis=None
        )
    assert [b.robust_accuracy.count for b in record.budgets] == [record.clean.count] * 2
    assert all(record.attempts["rejected"].to_pylist())


def test_in_every_norm_standard_is_autoattacks():
    for threat in (Linf(0.1), L2(0.5), L1(12)):
        settings, names = version_of("standard", threat)
        theirs = [attack_of(name, threat, settings, "standard") for name in names]
        assert list(build_suite("standard", threat).values()) == theirs
    settings, names = version_of("rand", Linf(0.1))
    theirs = [attack_of(name, Linf(0.1), settings, "rand") for name in names]
    assert list(build_suite("rand", Linf(0.1)).values()) == theirs


def test_in_l0_more_features_leave_fewer_images(subject):
    model, data, *_ = subject
    record = evaluate(model, data, "L0", eps=[1, 4, 16], suite="fast", diagnosis=None)
    left = [budget.robust_accuracy.count for budget in record.budgets]
    assert left == sorted(left, reverse=True)
    assert left[0] > left[-1]
    assert list(build_suite("standard", L0(4))) == [
        "sigma-zero",
        "fmn",
        "brendel-bethge",
        "sparse-rs",
    ]
    assert len(build_suite("thorough", L0(4))) == 6


def test_the_suites_are_ordered_by_cost():
    costs = {"fast": 1, "quick": 3, "standard": 4, "thorough": 6, "rand": 2}
    assert {name: len(build_suite(name, Linf(0.1))) for name in costs} == costs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suite": "standart"}, "did you mean 'standard'"),
        ({"suite": {}}, "the suite is empty"),
        ({"eps": []}, "eps is empty"),
        ({"eps": [-0.1]}, "eps"),
        ({"eps": [float("nan")]}, "eps"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"eot_samples": 0}, "eot_samples is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"threat": L0(4), "suite": "rand"}, "rand has no L0 form"),
        ({"threat": Linf()}, "the budget of Linf is not given; give eps"),
        ({"model": conv}, "is a function; give a torch.nn.Module"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_and_the_folder_stays_free(tmp_path, options, message):
    arguments = {"model": trained(), "data": digits("test", 8), "threat": Linf(0.1), **options}
    with pytest.raises(InputError, match=message):
        evaluate(**arguments, out=tmp_path, diagnosis=None)
    evaluate(trained(), digits("test", 8), Linf(0.1), suite="quick", out=tmp_path, diagnosis=None)


def test_no_images_cannot_be_evaluated():
    with pytest.raises(InputError, match="no images"):
        evaluate(trained(), digits("test", 8).take(torch.arange(0)), Linf(0.1), diagnosis=None)


def test_wrong_everywhere_is_an_accuracy_of_zero_and_costs_nothing(tmp_path):
    data = digits("test", 16)
    wrong = replace(data, labels=(data.labels + 1) % 10)
    keep = (trained()(data.images(torch.arange(16))).argmax(1) != wrong.labels).nonzero()[:, 0]
    record = evaluate(
        trained(), wrong.take(keep), Linf(0.1), out=tmp_path, suite="quick", diagnosis=None
    )
    assert (record.clean.count, record.budgets[0].forwards) == (0, 0)
    assert record.budgets[0].success.total == 0
    assert Evaluation.load(tmp_path).attempts.num_rows == 0
