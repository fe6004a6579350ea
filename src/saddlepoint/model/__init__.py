"""The model contract: images in [0, 1] go in, logits come out; and the guard that attacks run
inside.

A user's module is never touched directly. `Guard` puts every submodule in evaluation mode, freezes
the parameters so that no weight gradient is ever computed, counts the passes of each sample, and on
the way out, also after an exception, puts back every flag, every gradient, every buffer it could
have changed, and the global random state.
"""

from __future__ import annotations

from saddlepoint.model.anchor import device_of
from saddlepoint.model.connected import connected
from saddlepoint.model.guard import Guard
from saddlepoint.model.isolation import full_precision
from saddlepoint.model.masking import hidden_gradients
from saddlepoint.model.normalised import Normalised
from saddlepoint.model.preprocessed import Preprocessed, Preprocessing, preprocessed
from saddlepoint.model.randomness import (
    RandomLayer,
    averaged_passes,
    is_random,
    log_mean_probability,
    same_logits,
)
from saddlepoint.model.read_output import ReadOutput, reading
from saddlepoint.model.stand_in import backward_replaced, with_gradient_of
from saddlepoint.model.ten_crop import TenCrop, ten_crop
from saddlepoint.model.wrapped import bare, plain_modules

__all__ = [
    "Guard",
    "Normalised",
    "Preprocessed",
    "Preprocessing",
    "RandomLayer",
    "ReadOutput",
    "TenCrop",
    "averaged_passes",
    "backward_replaced",
    "bare",
    "connected",
    "device_of",
    "full_precision",
    "hidden_gradients",
    "is_random",
    "log_mean_probability",
    "plain_modules",
    "preprocessed",
    "reading",
    "same_logits",
    "ten_crop",
    "with_gradient_of",
]
