"""An assertion about robust accuracy, for a test of one's own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Unpack

from torch import nn

from saddlepoint.data import DataLike
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation, Suite, Verdict, evaluate
from saddlepoint.testing.cache import RobustnessCache
from saddlepoint.testing.decision import By, check_wanted, enough, images_needed
from saddlepoint.testing.options import EvaluationOptions
from saddlepoint.threat import ThreatModel, format_eps


def assert_robust(
    model: nn.Module,
    data: DataLike,
    threat: ThreatModel | str,
    at_least: float,
    *,
    suite: str | Suite = "fast",
    by: By = "interval",
    cache: RobustnessCache | None = None,
    **options: Unpack[EvaluationOptions],
) -> Evaluation:
    """Evaluate a model, and raise `AssertionError` unless enough images are robust; return the
    evaluation.

    The verdict comes first: where it is broken or undecidable the number means nothing, and the test
    fails however high it is. A suspicious one passes with a warning, since the number is an upper
    bound then. No attack finds everything, so that a pass says: this suite found no more.

    Args:
        model, data, threat, suite: as `evaluate` takes them, with one budget.
        at_least: the share of images that must be robust, clean mistakes counted as not robust.
        by: "interval" compares the lower end of the 95 % Wilson interval, so that a model whose true
            share is below `at_least` passes on images drawn at random with a chance of about 2.5 %
            (`false_passes` has it exactly); "point" compares the share of these very images.
        cache: where evaluations are kept; the fixture `robustness_cache` is one.
        options: of `evaluate`: eps, seed, batch_size, eot_samples, criterion, output, diagnosis.

    Raises `InputError` for what cannot be asked or evaluated.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=30)
    >>> net = build_model("simple-cnn", classes=10, shape=data.shape)
    >>> assert_robust(net, data, "Linf", 0.9, eps="8/255", suite="quick")
    Traceback (most recent call last):
        ...
    AssertionError: robust accuracy at Linf 8/255 is ...
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    check_wanted(at_least, by)
    _check_options(options)
    measure = evaluate if cache is None else cache.evaluate
    found = measure(model, data, threat, suite=suite, **options)
    told = complaint(found, at_least, by)
    if told is not None:
        raise AssertionError(told)
    if found.verdict is not None and found.verdict.judgement == "suspicious":
        warnings.warn(_of_verdict(found.verdict), stacklevel=2)
    return found


def complaint(evaluation: Evaluation, at_least: float, by: By = "interval") -> str | None:
    """Return what speaks against a robust accuracy of `at_least` at the largest budget of an
    evaluation, in a line and one for each check that found something; None where nothing does.

    >>> from saddlepoint.evaluation import Proportion
    >>> import pyarrow as pa
    >>> nobody = Evaluation({}, Proportion(9, 10), (), pa.table({}), pa.table({}), 1.0, ())
    >>> complaint(nobody, 0.45)
    'the model was not examined, so that its numbers are not to be trusted yet; evaluate with a diagnosis'
    """
    verdict = evaluation.verdict
    if verdict is None:
        return f"the model was {evaluation.told}; evaluate with a diagnosis"
    budget = evaluation.budgets[-1]
    robust = budget.robust_accuracy
    if verdict.judgement in ("broken", "undecidable"):
        return (
            f"{_of_verdict(verdict)}\nrobust accuracy {robust} is not compared with {at_least:.1%}"
        )
    if enough(robust.count, robust.total, at_least, by):
        return None
    # The record says "Linf 8/255" of one budget, and of several the first as a value.
    threat = evaluation.config.get("threat")
    place = threat if isinstance(threat, str) else f"eps {format_eps(budget.eps)}"
    number = (
        f"robust accuracy at {place} is {robust}, {robust.count:,} of {robust.total:,} images"
        f" (clean {evaluation.clean.value:.1%})"
    )
    if by == "point":
        return f"{number}; at least {at_least:.1%} were asked for"
    return (
        f"{number}; at least {at_least:.1%} were asked for, and the 95 % interval begins at"
        f" {robust.low:.1%}.\n{_more(robust.count / robust.total, at_least)}"
    )


def _more(share: float, at_least: float) -> str:
    needed = images_needed(share, at_least)
    if needed is None:
        return "The share itself is below: more images would not help."
    return (
        f"The share itself is above: if it stayed, {needed:,} images would show it. by='point'"
        " asks of these images alone."
    )


def _of_verdict(verdict: Verdict) -> str:
    """Return the verdict, and a line for each check that found something: what to do about it."""
    lines = [
        f"{each.check} ({each.judgement}): {each.figure}. {each.means} {each.remedy}".strip()
        for each in verdict.flagged
    ]
    return "\n".join((f"the verdict is {verdict.sentence}", *lines))


def _check_options(options: Mapping[str, Any]) -> None:
    eps = options.get("eps")
    if eps is not None and not isinstance(eps, int | float | str):
        raise InputError(f"eps is {eps!r:.60}; give one budget, and an assertion for each")
    if "diagnosis" in options and options["diagnosis"] is None:
        raise InputError("diagnosis is None; leave it out, since without a verdict nothing passes")
    for name in ("out", "unfinished"):
        if name in options:
            raise InputError(f"{name} is no option of a test; give cache=RobustnessCache(folder)")
