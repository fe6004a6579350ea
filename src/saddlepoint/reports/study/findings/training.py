"""Findings about training: its speed, its loss, its cost in accuracy."""

from __future__ import annotations

import itertools

from saddlepoint.reports.study.cells import mean
from saddlepoint.reports.study.findings.claims import Judged, claim
from saddlepoint.reports.study.findings.measures import FIRST_STEPS, Measures
from saddlepoint.reports.study.findings.verdict import amount, ordered
from saddlepoint.reports.study.roles import without_penalties
from saddlepoint.reports.study.tables_text import percent

LITTLE = 0.05  # of clean accuracy: that report's "slightly", in its figure 8 a few points
CLEARLY = 1.1  # times the loss of any other variant: a gap that figure 7 shows without a ruler


@claim("The regularised variants converge slowest.")
def slowest(m: Measures) -> Judged:
    """Judge whether the regularised variants take longest over half of their fall in loss."""
    slow, others = m.those(regularised=True), m.those(regularised=False)
    m.require("variants with and without penalties", slow, others)
    pairs = list(itertools.product(slow, others))
    verdict, evidence = ordered(m.half_way, pairs, "greater", "epochs")
    return (
        verdict,
        "Epochs until half of the fall of the training loss without penalties is done, every"
        f" regularised variant against every other: {evidence}.",
    )


@claim("The regularised variants lose a little clean accuracy.")
def lose_a_little(m: Measures) -> Judged:
    """Judge whether every penalty costs clean accuracy, and little of it."""
    found = {v: without_penalties(m.found, v) for v in m.those(regularised=True)}
    pairs = [(v, other) for v, other in found.items() if other is not None]
    m.require("variants that differ in their penalties alone", [*itertools.chain(*pairs)])
    verdict, evidence = ordered(m.clean, pairs, "less")
    losses = [mean(m.clean[other]) - mean(m.clean[v]) for v, other in pairs]
    if verdict == "holds" and max(losses) > LITTLE:
        verdict = "does not hold"
        evidence += f", and the largest loss is more than {100 * LITTLE:g} points"
    span = f"{percent(min(losses))} … {percent(max(losses))} points"
    return (
        verdict,
        f"Clean accuracy against the same recipe without penalties: {span} lost; {evidence}.",
    )


@claim("Adversarial training with regularisation ends at a clearly higher training loss.")
def ends_higher(m: Measures) -> Judged:
    """Judge whether adversarial training with penalties ends at a clearly higher loss."""
    high = m.those(adversarial=True, regularised=True)
    others = [v for v in m.roles if v not in high]
    m.require("adversarial training with penalties, and others", high, others)
    pairs = list(itertools.product(high, others))
    verdict, evidence = ordered(m.end, pairs, "greater", "", factor=CLEARLY)
    ends = ", ".join(
        f"{v} {amount(mean(m.end[v]), '')} ({amount(mean(m.end_task[v]), '')} without its penalty)"
        for v in high
    )
    return (
        verdict,
        f"Loss over the last tenth of training, {CLEARLY:g} times that of every other variant"
        f" asked for: {ends}; {evidence}.",
    )


@claim("Adversarial training without regularisation converges fastest in the first steps.")
def fastest(m: Measures) -> Judged:
    """Judge whether adversarial training without penalties does most of its fall in the first steps."""
    fast = m.those(adversarial=True, regularised=False)
    others = [v for v in m.roles if v not in fast]
    m.require("adversarial training without penalties, and others", fast, others)
    verdict, evidence = ordered(m.early, list(itertools.product(fast, others)), "greater")
    return (
        verdict,
        f"Share of the fall of the training loss that is done after {100 * FIRST_STEPS:g} % of the"
        f" training, against every other variant: {evidence}.",
    )


@claim("Adversarial training raises clean accuracy.")
def raises_accuracy(m: Measures) -> Judged:
    """Judge whether adversarial training raises clean accuracy above the original's."""
    adversarial, reference = m.those(adversarial=True), m.results.reference
    m.require("adversarial training and an undefended reference", m.original, adversarial)
    verdict, evidence = ordered(m.clean, [(v, reference) for v in adversarial], "greater")
    means = ", ".join(f"{v} {amount(mean(m.clean[v]))}" for v in (reference, *adversarial))
    return (
        verdict,
        f"Clean accuracy: {means}. Every one of them against {reference}, per-seed means:"
        f" {evidence}. The nine-defences report's rise is one of models that under-fit.",
    )
