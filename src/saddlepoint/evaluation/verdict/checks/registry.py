"""Which checks there are, in the order in which they are run and told."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.wrappers.transfer import Transfer
from saddlepoint.evaluation.verdict.check import Check, Control, Measured, Probe
from saddlepoint.evaluation.verdict.checks.another_start import AnotherStart
from saddlepoint.evaluation.verdict.checks.answers import Answers
from saddlepoint.evaluation.verdict.checks.black_box import BlackBox
from saddlepoint.evaluation.verdict.checks.certificate import Certificate
from saddlepoint.evaluation.verdict.checks.diversified_start import DiversifiedStart
from saddlepoint.evaluation.verdict.checks.few_classes import FewClasses
from saddlepoint.evaluation.verdict.checks.gradient_agreement import GradientAgreement
from saddlepoint.evaluation.verdict.checks.gradient_inside import GradientInside
from saddlepoint.evaluation.verdict.checks.imbalance import Imbalance
from saddlepoint.evaluation.verdict.checks.logit_scale import LogitScale
from saddlepoint.evaluation.verdict.checks.more_steps import MoreSteps
from saddlepoint.evaluation.verdict.checks.noise import Noise
from saddlepoint.evaluation.verdict.checks.not_monotone import NotMonotone
from saddlepoint.evaluation.verdict.checks.one_step import OneStep
from saddlepoint.evaluation.verdict.checks.pixel_values import PixelValues
from saddlepoint.evaluation.verdict.checks.probabilities import Probabilities
from saddlepoint.evaluation.verdict.checks.purifier import Purification
from saddlepoint.evaluation.verdict.checks.repeatable import Repeatable
from saddlepoint.evaluation.verdict.checks.silent_success import SilentSuccess
from saddlepoint.evaluation.verdict.checks.single_step import SingleStep
from saddlepoint.evaluation.verdict.checks.smoothed_gradient import SmoothedGradient
from saddlepoint.evaluation.verdict.checks.surrogate import Surrogate
from saddlepoint.evaluation.verdict.checks.twin import Twin
from saddlepoint.evaluation.verdict.checks.unbounded import Unbounded
from saddlepoint.evaluation.verdict.checks.unstable_loss import UnstableLoss
from saddlepoint.evaluation.verdict.checks.zero_gradient import ZeroGradient

PROBES: tuple[type[Probe], ...] = (
    PixelValues, FewClasses, Probabilities, Repeatable, GradientInside, LogitScale, ZeroGradient,
    GradientAgreement, UnstableLoss, Imbalance, NotMonotone, SmoothedGradient, Unbounded, Purification,
)  # fmt: skip
CONTROLS: tuple[type[Control], ...] = (
    Noise, OneStep, DiversifiedStart, AnotherStart, BlackBox, MoreSteps,
)  # fmt: skip
BY_PRODUCTS: tuple[type[Check], ...] = (
    Answers,
    SingleStep,
    Surrogate,
    SilentSuccess,
    Twin,
    Certificate,
)
"""Run where the evaluation gives what they need."""
CHECKS: Mapping[str, type[Check]] = {
    check.name: check for check in (*PROBES, *CONTROLS, *BY_PRODUCTS)
}


def controls_for(
    suite: Mapping[str, Attack], surrogate: nn.Module | None, thorough: bool
) -> list[Measured]:
    """Return the checks that are run on the survivors of a suite.

    >>> [check.name for check in controls_for({}, None, thorough=False)]
    ['noise', 'one-step', 'diversified-start', 'another-start']
    """
    found: list[Measured] = [each() for each in CONTROLS if thorough or not each.thorough]
    if surrogate is not None:
        found.append(Surrogate(surrogate))
    found += [SilentSuccess(attack) for attack in suite.values() if attack.keep == "last"][:1]
    found += [Twin(attack) for attack in suite.values() if isinstance(attack, Transfer)][:1]
    return found
