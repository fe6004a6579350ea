"""Robust accuracy in a user's own tests: an assertion, and a cache that knows when to measure again."""

from __future__ import annotations

from saddlepoint.testing.assertion import assert_robust
from saddlepoint.testing.cache import RobustnessCache
from saddlepoint.testing.contents import ContentsError, contents
from saddlepoint.testing.decision import enough, false_passes, images_needed
from saddlepoint.testing.options import EvaluationOptions

__all__ = [
    "ContentsError",
    "EvaluationOptions",
    "RobustnessCache",
    "assert_robust",
    "contents",
    "enough",
    "false_passes",
    "images_needed",
]
