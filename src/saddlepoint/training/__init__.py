"""Training: one loop, schedules without state, and checkpoints that survive anything."""

from __future__ import annotations

from saddlepoint.training.accuracy import accuracy
from saddlepoint.training.averages import Ema, Swa, refresh_batch_norm
from saddlepoint.training.checkpoint import latest_checkpoint, save_checkpoint
from saddlepoint.training.lookout import BEST_FILE
from saddlepoint.training.loop import train
from saddlepoint.training.metrics import TRACKERS, counted, read_metrics
from saddlepoint.training.result import TrainingResult
from saddlepoint.training.run import FILES, WEIGHTS_FILE
from saddlepoint.training.signals import Interrupted
from saddlepoint.training.teacher import TEACHER

__all__ = [
    "BEST_FILE",
    "FILES",
    "TEACHER",
    "TRACKERS",
    "WEIGHTS_FILE",
    "Ema",
    "Interrupted",
    "Swa",
    "TrainingResult",
    "accuracy",
    "counted",
    "latest_checkpoint",
    "read_metrics",
    "refresh_batch_norm",
    "save_checkpoint",
    "train",
]
