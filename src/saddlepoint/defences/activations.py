"""The quantised activations of the nine-defences report, section 3.2, by name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType

from saddlepoint.defences.activation_base import QuantisedActivation
from saddlepoint.defences.activation_ddtrelu import DDTReLU
from saddlepoint.defences.activation_dtrelu import DTReLU
from saddlepoint.defences.activation_piecewise import PiecewiseLinear
from saddlepoint.defences.dynamic_threshold import NaiveDynamicThreshold

__all__ = [
    "ACTIVATIONS",
    "DDTReLU",
    "DTReLU",
    "NaiveDynamicThreshold",
    "PiecewiseLinear",
    "QuantisedActivation",
]

ACTIVATIONS: Mapping[str, Callable[[int], QuantisedActivation]] = MappingProxyType(
    {
        "naive": NaiveDynamicThreshold,
        "naive-unaveraged": functools.partial(NaiveDynamicThreshold, averaged=False),
        "piecewise-linear": PiecewiseLinear,
        "dtrelu": DTReLU,
        "ddtrelu": DDTReLU,
    }
)
"""From the name to the class, to be called with the bits."""
