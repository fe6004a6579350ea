"""Suites: named sequences of attacks, cheapest first."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from saddlepoint.attacks import FGSM, MIFGSM, PGD, Attack
from saddlepoint.errors import InputError, unknown
from saddlepoint.threat import ThreatModel

Suite = Mapping[str, Attack]
"""Attacks by name, in the order in which they are run."""

SUITES: Mapping[str, str] = MappingProxyType(
    {
        "quick": "FGSM, PGD-20 on the cross-entropy and on the margin: a first look",
        "standard": "FGSM, MI-FGSM, PGD-40 × 2 on the cross-entropy and × 2 on the margin",
        "thorough": "standard, then PGD-100 × 5 on the cross-entropy and × 5 on the margin",
    }
)


def build_suite(name: str, threat: ThreatModel) -> Suite:
    """Return the attacks of a suite for a threat model.

    The margin loss is in every serious suite: the gradient of the cross-entropy vanishes for a
    confident model, and a robust accuracy that rests on it alone is too high.

    >>> from saddlepoint.threat import Linf
    >>> list(build_suite("standard", Linf(8 / 255)))
    ['fgsm', 'mi-fgsm', 'pgd', 'pgd-margin']
    """
    if name not in SUITES:
        raise unknown("suite", name, SUITES)
    if getattr(threat, "norm_name", "") == "L0":
        raise InputError(
            "no suite attacks L0 yet: random search alone would report too much robustness"
        )

    def pgd(steps: int, restarts: int, loss: Literal["cross-entropy", "margin"]) -> PGD:
        # A falling step in Linf too: with Madry's constant one, PGD-20 left up to five points more
        # of a small adversarially trained network standing.
        return PGD(threat, steps=steps, restarts=restarts, loss=loss, schedule="cosine")

    suite: dict[str, Attack] = {"fgsm": FGSM(threat)}
    if name == "quick":
        suite["pgd"] = pgd(20, 1, "cross-entropy")
        return MappingProxyType({**suite, "pgd-margin": pgd(20, 1, "margin")})
    suite["mi-fgsm"] = MIFGSM(threat)
    suite["pgd"] = pgd(40, 2, "cross-entropy")
    suite["pgd-margin"] = pgd(40, 2, "margin")
    if name == "thorough":
        suite["pgd-100"] = pgd(100, 5, "cross-entropy")
        suite["pgd-100-margin"] = pgd(100, 5, "margin")
    return MappingProxyType(suite)
