"""Training: one loop, schedules without state, and checkpoints that survive anything."""

from __future__ import annotations

from saddlepoint.training.accuracy import accuracy
from saddlepoint.training.checkpoint import latest_checkpoint, save_checkpoint
from saddlepoint.training.ema import Ema
from saddlepoint.training.loop import WEIGHTS_FILE, TrainingResult, train
from saddlepoint.training.metrics import TRACKERS, read_metrics
from saddlepoint.training.signals import Interrupted

__all__ = [
    "TRACKERS",
    "WEIGHTS_FILE",
    "Ema",
    "Interrupted",
    "TrainingResult",
    "accuracy",
    "latest_checkpoint",
    "read_metrics",
    "save_checkpoint",
    "train",
]
