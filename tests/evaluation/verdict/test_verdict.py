"""What the findings come to: rates need two images, controls share an error, the gravest decides."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from scipy.stats import binom

from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.verdict.check import HONEST, share
from saddlepoint.evaluation.verdict.checks.registry import CONTROLS
from saddlepoint.evaluation.verdict.examination import LEVEL, _corrected
from saddlepoint.evaluation.verdict.finding import Finding, Supplement, Verdict
from saddlepoint.tables import Table


def corrected(*fooled, images=64):
    """The findings of as many controls as there are numbers of survivors fooled."""
    rows = ({"fooled": torch.arange(images) < count} for count in fooled)
    return _corrected([kind().judge(each) for kind, each in zip(CONTROLS, rows, strict=False)])


def judgements(*fooled, images=64):
    return [each.judgement for each in corrected(*fooled, images=images)]


def test_one_survivor_of_few_is_no_finding_and_two_of_many_are_never_broken():
    for images in (1, 2, 64):
        assert judgements(1, images=images) == ["healthy"]
    assert judgements(2) == ["suspicious"]
    assert judgements(2, 0, 0, 0) == ["suspicious", "healthy", "healthy", "healthy"]
    assert judgements(2, 2, 2, 2) == ["suspicious"] * 4
    assert judgements(20, 0, 0, 0) == ["broken", "healthy", "healthy", "healthy"]
    assert judgements(9, images=9) == ["suspicious"]  # of fewer than ten nothing is broken
    assert judgements(4, images=10) == ["broken"]


def test_the_controls_share_one_chance_of_an_error():
    """Four of 64 are broken where it is the one control; where it is the luckiest of four it is not."""
    alone = corrected(4)[0]
    assert alone.p == pytest.approx(binom.sf(3, 64, HONEST))
    assert alone.p < LEVEL
    assert alone.judgement == "broken"
    among = corrected(4, 0, 0, 0)[0]
    assert among.p == pytest.approx(4 * alone.p)
    assert among.p > LEVEL
    assert among.judgement == "suspicious"
    assert corrected(4, 20, 0, 0)[0].p == pytest.approx(3 * alone.p)  # Holm, not Bonferroni


def test_an_honest_evaluation_is_rarely_called_broken():
    """Exact: the chance that some of four independent controls is broken, one survivor of a hundred
    falling to each.
    """
    fooled = range(8)
    chance = 0.0
    for several in itertools.product(fooled, repeat=2):  # of two, which correct each other
        if "broken" in judgements(*several):
            chance += float(binom.pmf(several, 64, HONEST).prod())
    assert chance < LEVEL


def test_a_rate_needs_two_images():
    one, two = torch.tensor([True, False]), torch.tensor([True, True])
    assert share(one, 0.01, 0.1) == "healthy"
    assert share(two, 0.01, 0.1) == "broken"
    many = torch.arange(1000) < 2
    assert share(many, 0.01, 0.1) == "healthy"
    assert share(torch.arange(1000) < 10, 0.01, 0.1) == "suspicious"
    assert share(torch.arange(1000) < 100, 0.01, 0.1) == "broken"


def found(judgement):
    means = "" if judgement == "healthy" else f"It is {judgement}."
    return Finding(judgement, judgement, "1 of 2", "two", 2, means, "", 0.25)


def test_the_gravest_finding_decides():
    order = ("healthy", "suspicious", "undecidable", "broken")
    for some in itertools.chain.from_iterable(
        itertools.permutations(order, count) for count in (1, 2, 3, 4)
    ):
        verdict = Verdict(tuple(map(found, some)))
        assert verdict.judgement == max(some, key=order.index)
        grave = [each for each in reversed(order) if each in some and each != "healthy"]
        assert [each.check for each in verdict.flagged] == grave
        assert verdict.sentence.startswith(f"{verdict.judgement}: ")
        assert all(each in verdict.sentence for each in grave)
    assert Verdict(()).judgement == "healthy"


def record(verdict):
    return Evaluation(
        {}, Proportion(9, 10), (), pa.table({"id": [1]}), pa.table({"id": [1]}), 1.0, (), (), verdict
    )  # fmt: skip


@pytest.fixture(name="verdict")
def _verdict():
    table = Table("standard", ("eps", "fell"), [("0.1", "2")], ("a note",))
    more = Supplement("second-look", table, {"fell": 2, "ids": [3, 4], "share": 0.5})
    return Verdict((found("broken"), replace(found("healthy"), p=None)), 123, (more,), "1a2b")


def test_a_saved_verdict_is_read_as_it_was(tmp_path, verdict):
    record(verdict).save(tmp_path)
    again = Evaluation.load(tmp_path).verdict
    assert again == verdict
    assert again.json() == verdict.json()
    assert str(again) == str(verdict)
    record(None).save(tmp_path)
    assert Evaluation.load(tmp_path).verdict is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda told: told["checks"][0].update(judgement="robust"),
        lambda told: told["checks"][0].update(colour="red"),
        lambda told: told.pop("checks"),
        lambda told: told["supplements"][0].pop("table"),
        lambda told: told.update(passes="many"),
    ],
)
def test_a_damaged_verdict_is_named(tmp_path, verdict, damage):
    record(verdict).save(tmp_path)
    file = tmp_path / "evaluation.json"
    values = json.loads(file.read_text())
    damage(values["verdict"])
    file.write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"evaluation\.json is not an evaluation"):
        Evaluation.load(tmp_path)


def test_an_earlier_finding_is_kept_where_it_is_graver_and_of_these_checks():
    old = Verdict(tuple(Finding(name, "suspicious", "1", "0", 9) for name in ("a", "b", "c")))
    new = Verdict((Finding("a", "healthy", "0", "0", 9), Finding("b", "broken", "9", "0", 9)))
    found = new.with_earlier(old, ["a", "b"]).findings
    assert {each.check: each.judgement for each in found} == {"a": "suspicious", "b": "broken"}
