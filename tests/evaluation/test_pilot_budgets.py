"""A pilot does not depend on the budgets to come; the verdict looks at the largest one too."""

from __future__ import annotations

from small import digits, trained

from saddlepoint.evaluation import evaluate
from saddlepoint.evaluation.verdict.checks.smoothed_gradient import SmoothedGradient


def test_a_budget_that_is_added_changes_no_pilot_and_is_looked_at(monkeypatch, tmp_path):
    looked_at = []
    measure = SmoothedGradient.measure

    def told(self, subject):
        looked_at.append(subject.threat.eps)
        return measure(self, subject)

    def masked_from(self, rows):
        broken = looked_at[-1] > 0.08
        return self.finding("broken" if broken else "healthy", "made up", len(rows["clean"]))

    monkeypatch.setattr(SmoothedGradient, "measure", told)
    monkeypatch.setattr(SmoothedGradient, "judge", masked_from)
    options = {"suite": "fast", "out": tmp_path, "batch_size": 16}
    one = evaluate(trained(), digits("test", 16), "Linf", eps=[0.05], **options)
    both = evaluate(trained(), digits("test", 16), "Linf", eps=[0.05, 0.1], **options)
    assert one.pilot == both.pilot
    assert not both.pilot.masked
    assert looked_at == [0.05, 0.05, 0.1]
    assert one.verdict.of("smoothed-gradient").judgement == "healthy"
    assert both.verdict.of("smoothed-gradient").judgement == "broken"
    assert both.budgets[0].robust_accuracy == one.budgets[0].robust_accuracy
    # What is found at the largest budget calls for the dearer controls, too.
    assert one.verdict.of("black-box") is None
    assert both.verdict.of("black-box") is not None
