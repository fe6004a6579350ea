"""TrainingResult: a trained model and the metrics of its epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from saddlepoint.tables import Shown, Table
from saddlepoint.training.metrics import counted

_LAST = 10  # epochs that are printed
_COLUMNS = (
    "epoch", "loss", "accuracy", "test_accuracy", "validation_accuracy", "watched_accuracy",
    "penalty", "learning_rate", "seconds",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class TrainingResult(Shown):
    """A trained model and how it came about; prints as a table.

    Attributes:
        model: the given model, trained; with `ema` or `swa` in the recipe it holds the averaged
            weights.
        metrics: one mapping per epoch: `epoch`, from 1; `loss`, penalties included, and `accuracy`,
            on the images that were trained on, adversarial ones perhaps, or what else the objective
            counts and measures; `learning_rate`, that of
            the step after the epoch; `seconds`; `curve`, the loss in at most 50 pieces of the
            epoch; with penalties `penalty` and `penalty_curve`, their part of loss and curve; and
            `test_accuracy`, of clean images, where `test` was given.
        seconds: the time of the epochs, over all resumptions, without that of testing.
        best: the weights of the best epoch by `Recipe.validation`; None without it.
        stopped: why, where training ended before its last epoch; "" where it did not.

    >>> TrainingResult(nn.Identity(), [{"epoch": 1, "loss": 0.5}], 1.0).metrics[-1]["loss"]
    0.5
    """

    model: nn.Module
    metrics: list[dict[str, Any]]
    seconds: float
    best: dict[str, Tensor] | None = None
    stopped: str = ""

    def tables(self) -> tuple[Table, ...]:
        """Return the table that a training prints as: its last epochs."""
        own = {
            name: None for each in self.metrics for name in counted(each) if name not in _COLUMNS
        }
        columns = (*_COLUMNS[:2], *own, *_COLUMNS[2:])
        told = [name for name in columns if any(name in each for each in self.metrics)]
        rows = [tuple(_cell(name, each.get(name)) for name in told) for each in self.metrics]
        last = f", the last {_LAST} of" if len(rows) > _LAST else ","
        title = f"{type(self.model).__name__}{last} {len(rows)} epochs, {self.seconds:.1f} s"
        return (Table(title, tuple(name.replace("_", " ") for name in told), rows[-_LAST:]),)


def _cell(name: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return "–"
    if name.endswith("accuracy"):
        return f"{100 * value:.1f} %"
    return f"{value:.1f}" if name == "seconds" else f"{value:.4g}"
