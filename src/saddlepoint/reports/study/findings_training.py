"""The report's findings about training: how fast, to which loss, and what it costs in accuracy."""

from __future__ import annotations

import itertools

from saddlepoint.reports.study.comparisons_cells import mean
from saddlepoint.reports.study.findings_measures import FIRST_STEPS, Measures
from saddlepoint.reports.study.findings_roles import without_penalties
from saddlepoint.reports.study.findings_verdict import Finding, absent, amount, ordered
from saddlepoint.reports.study.tables_text import percent

LITTLE = 0.05  # of clean accuracy: the report's "slightly", in its figure 8 a few points
CLEARLY = 1.1  # times the loss of any other variant: a gap that figure 7 shows without a ruler


def slowest(m: Measures) -> Finding:
    """Say whether the regularised variants take longest over half of their fall in loss.

    >>> from saddlepoint.reports.study.findings_measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> slowest(measures(results)).verdict
    'not in this study'
    """
    statement = "The regularised variants converge slowest."
    slow, others = m.those(regularised=True), m.those(regularised=False)
    if not slow or not others:
        return absent(statement, "variants with and without penalties")
    if why := m.obstacle([*slow, *others]):
        return Finding(statement, "cannot be told", why)
    pairs = list(itertools.product(slow, others))
    verdict, evidence = ordered(m.half_way, pairs, "greater", "epochs")
    return Finding(
        statement,
        verdict,
        "Epochs until half of the fall of the training loss without penalties is done, every"
        f" regularised variant against every other: {evidence}.",
    )


def lose_a_little(m: Measures) -> Finding:
    """Say whether every penalty costs clean accuracy, and little of it.

    >>> from saddlepoint.reports.study.findings_measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> lose_a_little(measures(results)).verdict
    'not in this study'
    """
    statement = "The regularised variants lose a little clean accuracy."
    found = {v: without_penalties(m.found, v) for v in m.those(regularised=True)}
    pairs = [(v, other) for v, other in found.items() if other is not None]
    if not pairs:
        return absent(statement, "variants that differ in their penalties alone")
    if why := m.obstacle(itertools.chain(*pairs)):
        return Finding(statement, "cannot be told", why)
    verdict, evidence = ordered(m.clean, pairs, "less")
    losses = [mean(m.clean[other]) - mean(m.clean[v]) for v, other in pairs]
    if verdict == "holds" and max(losses) > LITTLE:
        verdict = "does not hold"
        evidence += f", and the largest loss is more than {100 * LITTLE:g} points"
    span = f"{percent(min(losses))} … {percent(max(losses))} points"
    return Finding(
        statement,
        verdict,
        f"Clean accuracy against the same recipe without penalties: {span} lost; {evidence}.",
    )


def ends_higher(m: Measures) -> Finding:
    """Say whether adversarial training with penalties ends at a clearly higher loss.

    >>> from saddlepoint.reports.study.findings_measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> ends_higher(measures(results)).verdict
    'not in this study'
    """
    statement = "Adversarial training with regularisation ends at a clearly higher training loss."
    high = m.those(adversarial=True, regularised=True)
    others = [v for v in m.roles if v not in high]
    if not high or not others:
        return absent(statement, "adversarial training with penalties, and others")
    if why := m.obstacle([*high, *others]):
        return Finding(statement, "cannot be told", why)
    pairs = list(itertools.product(high, others))
    verdict, evidence = ordered(m.end, pairs, "greater", "", factor=CLEARLY)
    ends = ", ".join(
        f"{v} {amount(mean(m.end[v]), '')} ({amount(mean(m.end_task[v]), '')} without its penalty)"
        for v in high
    )
    return Finding(
        statement,
        verdict,
        f"Loss over the last tenth of training, {CLEARLY:g} times that of every other variant"
        f" asked for: {ends}; {evidence}.",
    )


def fastest(m: Measures) -> Finding:
    """Say whether adversarial training without penalties does most of its fall in the first steps.

    >>> from saddlepoint.reports.study.findings_measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> fastest(measures(results)).verdict
    'not in this study'
    """
    statement = "Adversarial training without regularisation converges fastest in the first steps."
    fast = m.those(adversarial=True, regularised=False)
    others = [v for v in m.roles if v not in fast]
    if not fast or not others:
        return absent(statement, "adversarial training without penalties, and others")
    if why := m.obstacle([*fast, *others]):
        return Finding(statement, "cannot be told", why)
    verdict, evidence = ordered(m.early, list(itertools.product(fast, others)), "greater")
    return Finding(
        statement,
        verdict,
        f"Share of the fall of the training loss that is done after {100 * FIRST_STEPS:g} % of the"
        f" training, against every other variant: {evidence}.",
    )


def raises_accuracy(m: Measures) -> Finding:
    """Say whether adversarial training raises clean accuracy above the original's.

    >>> from saddlepoint.reports.study.findings_measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> raises_accuracy(measures(results)).verdict
    'not in this study'
    """
    statement = "Adversarial training raises clean accuracy."
    adversarial, reference = m.those(adversarial=True), m.results.reference
    if not adversarial or not m.plain_reference:
        return absent(statement, "adversarial training and an undefended reference")
    if why := m.obstacle([reference, *adversarial]):
        return Finding(statement, "cannot be told", why)
    verdict, evidence = ordered(m.clean, [(v, reference) for v in adversarial], "greater")
    means = ", ".join(f"{v} {amount(mean(m.clean[v]))}" for v in (reference, *adversarial))
    return Finding(
        statement,
        verdict,
        f"Clean accuracy: {means}. Every one of them against {reference}, per-seed means:"
        f" {evidence}. The report's rise is one of models that under-fit.",
    )
