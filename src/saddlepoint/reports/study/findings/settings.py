"""Findings about settings, from studies whose variants differ in one alone."""

from __future__ import annotations

import itertools
from typing import Any

from saddlepoint.reports.study.cells import mean
from saddlepoint.reports.study.findings.claims import Judged, claim
from saddlepoint.reports.study.findings.measures import Measures
from saddlepoint.reports.study.findings.verdict import absent, alike, amount, worst
from saddlepoint.reports.study.roles import RSE, differ_only_in

HARDLY = 0.05  # "hardly": by less than five points of accuracy or of success
SATURATED = 0.02  # of accuracy: more passes than ten buy less than two points
ABOUT_TEN = range(8, 13)
TRAINS = 2.0  # times chance, and the study's least clean accuracy: it has learnt something


@claim("The forms of the orthogonal penalty hardly differ.")
def orthogonal_forms(m: Measures) -> Judged:
    """Judge whether variants that differ in the orthogonal form alone are alike."""
    groups = differ_only_in(m.found, "penalties", "orthogonal", "form")
    return _hardly(m, groups, "variants that differ in the orthogonal form alone")


@claim("The choice of the quantised activation hardly matters.")
def activations(m: Measures) -> Judged:
    """Judge whether variants that differ in the quantised activation alone are alike."""
    groups = differ_only_in(m.found, "transforms", "quantise", "activation")
    return _hardly(m, groups, "variants that differ in the activation alone")


@claim("Even a binary activation trains.")
def binary(m: Measures) -> Judged:
    """Judge whether variants with binary activations train."""
    names = [
        variant
        for variant, recipe in m.found.items()
        for each in recipe.get("transforms") or ()
        if each.get("name") == "quantise" and each.get("activation_bits") == 1
    ]
    if not names:
        raise absent("a variant whose activations have one bit")
    others = [v for v in m.found if v not in names and m.clean[v]]
    least = m.results.minimum_clean_accuracy
    if any(not m.clean[v] for v in names):
        return "cannot be told", "It has no finished evaluation."
    if others and all(mean(m.clean[v]) < least for v in others):
        return "cannot be told", "No other variant has trained here either."
    needed = max(least, TRAINS / len(m.results.classes) if m.results.classes else 0.0)
    reached = {v: mean(m.clean[v]) for v in names}
    if min(len({seed for seed, _ in m.clean[v]}) for v in names) < 2:
        return "cannot be told", "It was trained with one seed alone."
    text = ", ".join(f"{v} {amount(value)}" for v, value in reached.items())
    return (
        "holds" if min(reached.values()) >= needed else "does not hold",
        f"Mean clean accuracy with one bit: {text}; {amount(needed)} asked for, twice chance or the"
        " least that this study concludes from.",
    )


@claim("About ten passes of the random self-ensemble saturate.")
def passes_saturate(m: Measures) -> Judged:
    """Judge whether more passes of the random self-ensemble than about ten change nothing."""
    needed = "variants that differ in the number of passes alone: fewer than ten, about ten, more"
    for group in differ_only_in(m.found, "transforms", RSE, "samples"):
        ten = [n for n in sorted(group) if n in ABOUT_TEN]
        fewer = [n for n in sorted(group) if n < ABOUT_TEN.start]
        more = [n for n in sorted(group) if n >= ABOUT_TEN.stop]
        if ten and fewer and more:
            break
    else:
        raise absent(needed)
    middle = group[ten[0]]
    m.require(needed, [group[fewer[0]], middle, *(group[n] for n in more)])
    pairs = [(group[n], middle) for n in more]
    clean, clean_text = alike(m.clean, pairs, SATURATED)
    robust, robust_text = alike(m.robust, pairs, SATURATED)
    rises = " and ".join(
        f"{100 * (mean(cells[middle]) - mean(cells[group[fewer[0]]])):+.1f} points {when}"
        for cells, when in ((m.clean, "before"), (m.robust, "after the attack"))
    )
    return (
        worst([clean, robust]),
        f"From {fewer[0]} to {ten[0]} passes accuracy changes by {rises}; beyond {ten[0]}, before:"
        f" {clean_text}; after: {robust_text}.",
    )


def _hardly(m: Measures, groups: list[dict[Any, str]], needed: str) -> Judged:
    m.require(needed, [variant for group in groups for variant in group.values()])
    pairs = [pair for group in groups for pair in itertools.combinations(group.values(), 2)]
    clean, clean_text = alike(m.clean, pairs, HARDLY)
    success, success_text = alike(m.success, pairs, HARDLY)
    return (
        worst([clean, success]),
        f"{len(pairs)} pairs of variants, per-seed means. Clean accuracy: {clean_text}. Attack"
        f" success: {success_text}.",
    )
