"""The report's findings about settings, from studies whose variants differ in one alone."""

from __future__ import annotations

import itertools
from typing import Any

from saddlepoint.reports.study.comparisons_cells import mean
from saddlepoint.reports.study.findings_measures import Measures
from saddlepoint.reports.study.findings_roles import RSE, differ_only_in
from saddlepoint.reports.study.findings_verdict import Finding, absent, alike, amount, worst

HARDLY = 0.05  # "hardly": by less than five points of accuracy or of success
SATURATED = 0.02  # of accuracy: more passes than ten buy less than two points
ABOUT_TEN = range(8, 13)
TRAINS = 2.0  # times chance, and the study's least clean accuracy: it has learnt something


def orthogonal_forms(m: Measures) -> Finding:
    """Say whether variants that differ in the orthogonal form alone are alike.

    >>> from saddlepoint.reports.study.findings_measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> orthogonal_forms(measures(results)).verdict
    'not in this study'
    """
    statement = "The forms of the orthogonal penalty hardly differ."
    groups = differ_only_in(m.found, "penalties", "orthogonal", "form")
    return _hardly(m, statement, groups, "variants that differ in the orthogonal form alone")


def activations(m: Measures) -> Finding:
    """Say whether variants that differ in the quantised activation alone are alike.

    >>> from saddlepoint.reports.study.findings_measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> activations(measures(results)).verdict
    'not in this study'
    """
    statement = "The choice of the quantised activation hardly matters."
    groups = differ_only_in(m.found, "transforms", "quantise", "activation")
    return _hardly(m, statement, groups, "variants that differ in the activation alone")


def binary(m: Measures) -> Finding:
    """Say whether variants with binary activations train.

    >>> from saddlepoint.reports.study.findings_measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> binary(measures(results)).verdict
    'not in this study'
    """
    statement = "Even a binary activation trains."
    names = [
        variant
        for variant, recipe in m.found.items()
        for each in recipe.get("transforms") or ()
        if each.get("name") == "quantise" and each.get("activation_bits") == 1
    ]
    if not names:
        return absent(statement, "a variant whose activations have one bit")
    others = [v for v in m.found if v not in names and m.clean[v]]
    least = m.results.minimum_clean_accuracy
    if any(not m.clean[v] for v in names):
        return Finding(statement, "cannot be told", "It has no finished evaluation.")
    if others and all(mean(m.clean[v]) < least for v in others):
        return Finding(statement, "cannot be told", "No other variant has trained here either.")
    needed = max(least, TRAINS / len(m.results.classes) if m.results.classes else 0.0)
    reached = {v: mean(m.clean[v]) for v in names}
    if min(len({seed for seed, _ in m.clean[v]}) for v in names) < 2:
        return Finding(statement, "cannot be told", "It was trained with one seed alone.")
    text = ", ".join(f"{v} {amount(value)}" for v, value in reached.items())
    return Finding(
        statement,
        "holds" if min(reached.values()) >= needed else "does not hold",
        f"Mean clean accuracy with one bit: {text}; {amount(needed)} asked for, twice chance or the"
        " least that this study concludes from.",
    )


def passes_saturate(m: Measures) -> Finding:
    """Say whether more passes of the random self-ensemble than about ten change nothing.

    >>> from saddlepoint.reports.study.findings_measures import measures
    >>> from saddlepoint.studies.results import StudyResults
    >>> results = StudyResults("s", "S", {}, ("a",), "a", (0,), (0.1,), ("pgd",), "Linf")
    >>> passes_saturate(measures(results)).verdict
    'not in this study'
    """
    statement = "About ten passes of the random self-ensemble saturate."
    needed = "variants that differ in the number of passes alone: fewer than ten, about ten, more"
    for group in differ_only_in(m.found, "transforms", RSE, "samples"):
        ten = [n for n in sorted(group) if n in ABOUT_TEN]
        fewer = [n for n in sorted(group) if n < ABOUT_TEN.start]
        more = [n for n in sorted(group) if n >= ABOUT_TEN.stop]
        if ten and fewer and more:
            break
    else:
        return absent(statement, needed)
    middle = group[ten[0]]
    if why := m.obstacle([group[fewer[0]], middle, *(group[n] for n in more)]):
        return Finding(statement, "cannot be told", why)
    pairs = [(group[n], middle) for n in more]
    clean, clean_text = alike(m.clean, pairs, SATURATED)
    robust, robust_text = alike(m.robust, pairs, SATURATED)
    rises = " and ".join(
        f"{100 * (mean(cells[middle]) - mean(cells[group[fewer[0]]])):+.1f} points {when}"
        for cells, when in ((m.clean, "before"), (m.robust, "after the attack"))
    )
    return Finding(
        statement,
        worst([clean, robust]),
        f"From {fewer[0]} to {ten[0]} passes accuracy changes by {rises}; beyond {ten[0]}, before:"
        f" {clean_text}; after: {robust_text}.",
    )


def _hardly(m: Measures, statement: str, groups: list[dict[Any, str]], needed: str) -> Finding:
    if not groups:
        return absent(statement, needed)
    if why := m.obstacle(variant for group in groups for variant in group.values()):
        return Finding(statement, "cannot be told", why)
    pairs = [pair for group in groups for pair in itertools.combinations(group.values(), 2)]
    clean, clean_text = alike(m.clean, pairs, HARDLY)
    success, success_text = alike(m.success, pairs, HARDLY)
    return Finding(
        statement,
        worst([clean, success]),
        f"{len(pairs)} pairs of variants, per-seed means. Clean accuracy: {clean_text}. Attack"
        f" success: {success_text}.",
    )
