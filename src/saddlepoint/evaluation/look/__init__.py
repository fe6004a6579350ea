"""What a model looks at: filters, feature maps and attention, of images before and after an attack."""

from __future__ import annotations

from saddlepoint.evaluation.look.attended import SwinAttention, ViTAttention, attention_of
from saddlepoint.evaluation.look.features import FeatureMaps, feature_maps
from saddlepoint.evaluation.look.filters import Filters, first_filters
from saddlepoint.evaluation.look.look import Look, View, look_at
from saddlepoint.evaluation.look.numbers import look_numbers

__all__ = [
    "FeatureMaps",
    "Filters",
    "Look",
    "SwinAttention",
    "ViTAttention",
    "View",
    "attention_of",
    "feature_maps",
    "first_filters",
    "look_at",
    "look_numbers",
]
