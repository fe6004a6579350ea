"""Training: one loop, schedules without state, and checkpoints that survive anything."""

from __future__ import annotations

from saddlepoint.training.accuracy import accuracy
from saddlepoint.training.checkpoint import latest_checkpoint, save_checkpoint
from saddlepoint.training.ema import Ema
from saddlepoint.training.loop import WEIGHTS_FILE, TrainingResult, train
from saddlepoint.training.metrics import TRACKERS, read_metrics
from saddlepoint.training.signals import Interrupted
from saddlepoint.training.swa import Swa, refresh_batch_norm

__all__ = [
    "TRACKERS",
    "WEIGHTS_FILE",
    "Ema",
    "Interrupted",
    "Swa",
    "TrainingResult",
    "accuracy",
    "latest_checkpoint",
    "read_metrics",
    "refresh_batch_norm",
    "save_checkpoint",
    "train",
]
