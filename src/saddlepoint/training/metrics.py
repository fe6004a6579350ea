"""Metrics: a line of JSON per epoch, and on request TensorBoard or MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from saddlepoint.defences import Recipe, threat_of
from saddlepoint.errors import InputError, OutputError, unknown
from saddlepoint.files import reason, write
from saddlepoint.reading import read_text, shown
from saddlepoint.reading.text import check_depth

METRICS_FILE = "metrics.jsonl"
_OF_THE_LOOP = ("loss", "learning_rate", "penalty")


class MetricsLog(Protocol):
    """Where metrics go besides the file.

    >>> open_tracker("tensorbord", Path("runs"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown tracker 'tensorbord'; did you mean 'tensorboard'? (known:
    tensorboard, mlflow)
    """

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of one epoch."""
        ...

    def close(self) -> None:
        """Flush and release."""
        ...


class TensorBoard:
    """Event files under OUT/tensorboard, for `tensorboard --logdir`."""

    def __init__(self, out: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError("TensorBoard is missing: pip install 'saddlepoint[track]'") from None
        self._writer: Any = SummaryWriter(str(out / "tensorboard"))

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write one scalar per metric."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Flush the event file."""
        self._writer.close()


class MLflow:
    """A run in the MLflow store that MLFLOW_TRACKING_URI names, by default a file under OUT."""

    def __init__(self, out: Path) -> None:
        try:
            import mlflow
        except ImportError:
            raise InputError("MLflow is missing: pip install 'saddlepoint[track]'") from None
        import os

        if "MLFLOW_TRACKING_URI" not in os.environ:
            mlflow.set_tracking_uri(f"sqlite:///{(out / 'mlflow.db').resolve()}")
        self._mlflow = mlflow
        mlflow.set_experiment("saddlepoint")
        mlflow.start_run(run_name=out.name)

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the metrics with the epoch as the step."""
        self._mlflow.log_metrics(dict(metrics), step=epoch)

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


TRACKERS: Mapping[str, Callable[[Path], MetricsLog]] = MappingProxyType(
    {"tensorboard": TensorBoard, "mlflow": MLflow}
)


def open_tracker(name: str | None, out: Path | None) -> MetricsLog | None:
    """Return the tracker of that name, or None for None.

    >>> open_tracker(None, Path("runs"))
    """
    if name is None:
        return None
    if name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS)
    if out is None:
        raise InputError(f"{name} needs an output folder; give out")
    return TRACKERS[name](out)


def append_metrics(out: Path, record: Mapping[str, Any]) -> None:
    """Add one line to the metrics file; raises `OutputError` where the disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     append_metrics(Path(folder), {"epoch": 1, "loss": 0.5})
    ...     read_metrics(Path(folder))
    [{'epoch': 1, 'loss': 0.5}]
    """
    path = out / METRICS_FILE
    if path.exists() and not path.is_file():  # a pipe would wait for a reader
        raise OutputError(f"cannot write {shown(path)}: it is no file")
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason(error)}") from error


def read_metrics(out: Path | str) -> list[dict[str, Any]]:
    """Return the metrics written so far; a last line cut short by a kill is left out.

    >>> read_metrics(Path("no-such-folder"))
    []
    """
    out = Path(out)
    path = out / METRICS_FILE
    if not path.exists():
        return []
    records = []
    for line in read_text(path).splitlines():
        try:
            record = json.loads(line)
            check_depth(record)
        except (ValueError, RecursionError):
            break
        if not isinstance(record, dict) or type(record.get("epoch")) is not int:
            raise InputError(f"{shown(path)} holds other lines than the metrics of epochs")
        records.append(record)
    return records


def forget_after(out: Path, epoch: int) -> None:
    """Drop the lines of epochs after `epoch`, and a last line cut short: a resumed run writes them
    again.

    >>> forget_after(Path("no-such-folder"), 0)
    """
    if (out / METRICS_FILE).exists():
        kept = [record for record in read_metrics(out) if record["epoch"] <= epoch]
        write(out / METRICS_FILE, "".join(json.dumps(record) + "\n" for record in kept))


def counted(record: Mapping[str, Any]) -> dict[str, float]:
    """Return what an epoch's record tells of the model by name: accuracies, losses of players, what
    an objective measures; not the loss itself, and nothing of the loop.

    >>> counted({"epoch": 1, "loss": 0.5, "accuracy": 0.75, "seconds": 2.5, "curve": [0.5]})
    {'accuracy': 0.75}
    """
    return {
        name: value
        for name, value in record.items()
        if isinstance(value, float) and name not in _OF_THE_LOOP and not name.endswith("seconds")
    }


def epoch_line(record: Mapping[str, Any], recipe: Recipe) -> str:
    """Return the metrics of an epoch in a line for people.

    Trained on adversarial images, the accuracy is a robust one: of the images as they were attacked
    at each step.

    >>> epoch_line({"epoch": 3, "loss": 0.5, "accuracy": 0.825, "seconds": 12.04}, Recipe())
    'epoch 3 of 10: loss 0.5000; accuracy in training 82.50 %; 12.0 s'
    """
    robust = threat_of(recipe.objective) is not None
    names = {
        "accuracy": "robust accuracy in training" if robust else "accuracy in training",
        "validation_accuracy": "validation accuracy" + (" under PGD" if robust else ""),
        "watched_accuracy": "watched under PGD",
    }
    parts = [f"epoch {record['epoch']} of {recipe.epochs}: loss {record['loss']:.4f}"]
    for name, value in counted(record).items():
        shown = f"{100 * value:.2f} %" if name.endswith("accuracy") else f"{value:.4f}"
        parts.append(f"{names.get(name, name.replace('_', ' '))} {shown}")
    watching = record.get("watch_seconds")
    parts += [] if watching is None else [f"watching {watching:.1f} s"]
    return "; ".join([*parts, f"{record['seconds']:.1f} s"])
