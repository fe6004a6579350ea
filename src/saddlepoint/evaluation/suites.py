"""Suites: named sequences of attacks, cheapest first."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from saddlepoint.attacks import FGSM, MIFGSM, PGD, Attack
from saddlepoint.errors import InputError, unknown
from saddlepoint.threat import ThreatModel

Suite = Mapping[str, Attack]
"""Attacks by name, in the order in which they are run."""

SUITES: Mapping[str, str] = MappingProxyType(
    {
        "quick": "FGSM, then PGD-20: a first look",
        "standard": "FGSM, MI-FGSM, PGD-20 on the cross-entropy, PGD-40 × 2 on the margin",
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
    suite: dict[str, Attack] = {"fgsm": FGSM(threat)}
    if name == "quick":
        return MappingProxyType({**suite, "pgd": PGD(threat, steps=20)})
    suite["mi-fgsm"] = MIFGSM(threat)
    suite["pgd"] = PGD(threat, steps=20)
    suite["pgd-margin"] = PGD(threat, steps=40, restarts=2, loss="margin")
    if name == "thorough":
        suite["pgd-100"] = PGD(threat, steps=100, restarts=5)
        suite["pgd-100-margin"] = PGD(threat, steps=100, restarts=5, loss="margin")
    return MappingProxyType(suite)
