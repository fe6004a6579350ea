"""Common corruptions: fifteen of Hendrycks and Dietterich (2019, arXiv:1903.12261), generated.

constants    the published severities, for 32 and for 224 pixels
pixels       images in 256 levels
corruption   a corruption, keyed by (seed, image, name, severity)
registry     the fifteen by name
corrupted    a data set under one
noise, defocus, glass, motion, zoom, weather, frost, tone, elastic, storage   what each does
plasma       clouds, for fog and frost
"""

from __future__ import annotations

from saddlepoint.data.corruptions.constants import (
    FORMS,
    SEVERITIES,
    VERSION,
    Form,
    check_form,
    form_for,
)
from saddlepoint.data.corruptions.corrupted import CorruptedData, corrupted
from saddlepoint.data.corruptions.corruption import Corruption, check_severity, check_shape
from saddlepoint.data.corruptions.registry import (
    CORRUPTIONS,
    corruption_named,
    corruptions_named,
    parse_corruption,
)

__all__ = [
    "CORRUPTIONS",
    "FORMS",
    "SEVERITIES",
    "VERSION",
    "CorruptedData",
    "Corruption",
    "Form",
    "check_form",
    "check_severity",
    "check_shape",
    "corrupted",
    "corruption_named",
    "corruptions_named",
    "form_for",
    "parse_corruption",
]
