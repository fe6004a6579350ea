"""The folder of a training: goes on from its newest checkpoint, and writes metrics and weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NoReturn

import torch

from saddlepoint.objectives import PART_FILES
from saddlepoint.reading import decoding, read_json
from saddlepoint.run_folders import RUN_FILE, Found
from saddlepoint.text import TOKENISER_FILE
from saddlepoint.training.checkpoint import (
    FOLDER,
    forget_checkpoints_after,
    is_at_end,
    latest_checkpoint,
)
from saddlepoint.training.lookout import BEST_FILE, SOUND
from saddlepoint.training.metrics import (
    METRICS_FILE,
    append_metrics,
    forget_after,
    open_tracker,
    read_metrics,
)
from saddlepoint.training.signals import Interrupted
from saddlepoint.training.split import SPLIT_FILE
from saddlepoint.training.state import State
from saddlepoint.zoo import save_weights

WEIGHTS_FILE = "model.safetensors"
FILES = (
    FOLDER,
    METRICS_FILE,
    WEIGHTS_FILE,
    BEST_FILE,
    SOUND,
    SPLIT_FILE,
    TOKENISER_FILE,
    *PART_FILES,
)
"""What a training writes into its folder besides `run.json`."""


def is_finished(out: Path | None, epochs: int) -> bool:
    """Return whether the folder holds the final weights of a training of so many epochs.

    >>> is_finished(Path("no-such-folder"), 1)
    False
    """
    return out is not None and (out / WEIGHTS_FILE).is_file() and is_at_end(out, epochs)


class Run:
    """The metrics of a training, and where it has a folder, its checkpoints and its weights.

    Args:
        state: of the training; the newest checkpoint in the folder is loaded into it.
        out: the folder; None keeps the metrics in memory alone.
        found: how far the run in the folder is: "new", "begun" or "finished".
        tracker: what else is told of the metrics; see `open_tracker`.

    >>> from saddlepoint.defences import Recipe
    >>> run = Run(State(torch.nn.Linear(2, 2), Recipe(), images=100), None, "new")
    >>> run.add({"epoch": 1, "loss": 0.5})
    >>> run.metrics
    [{'epoch': 1, 'loss': 0.5}]
    """

    def __init__(
        self, state: State, out: Path | None, found: Found, tracker: str | None = None
    ) -> None:
        self.state, self.out, self.finished = state, out, found == "finished"
        if out is not None and found != "new":
            _note_threads(out)
            newest = latest_checkpoint(out)
            if newest is not None:
                with decoding(out, "a folder whose newest checkpoint fits this run"):
                    state.load(*newest)
            if not self.finished:
                forget_after(out, state.epoch)
        self.metrics = [] if out is None else read_metrics(out)
        self.tracker = None if self.finished else open_tracker(tracker, out)

    def add(self, record: dict[str, Any]) -> None:
        """Write the metrics of an epoch that has ended, and a checkpoint."""
        self.metrics.append(record)
        if self.out is not None:
            append_metrics(self.out, record)
            self.state.save(self.out)
        if self.tracker is not None:
            scalars = {key: value for key, value in record.items() if isinstance(value, float)}
            self.tracker.log(self.state.epoch, scalars)

    def go_back(self) -> None:
        """Forget the epochs after the state's, which a roll-back has made an earlier one."""
        self.metrics = [each for each in self.metrics if each["epoch"] <= self.state.epoch]
        if self.out is not None:
            # A process that is killed in between goes on from a later one, to the same roll-back.
            self.state.save(self.out, keep=0)
            forget_checkpoints_after(self.out, self.state.epoch)
            forget_after(self.out, self.state.epoch)

    def stop(self, signal: int) -> NoReturn:
        """Raise `Interrupted`, after a checkpoint within the epoch."""
        if self.out is not None:
            self.state.save(self.out)
        raise Interrupted(signal, saved=self.out is not None)

    def finish(self) -> None:
        """Write the final weights, once: those of the objective's parts, then the model's, by which
        the run is known to be finished.
        """
        if self.out is not None and not self.finished:
            save = getattr(self.state.objective, "save", None)
            if callable(save):
                save(self.out)
            metadata = getattr(self.state.objective, "metadata", None)
            told = metadata(self.state.model) if callable(metadata) else None
            save_weights(self.state.model, self.out / WEIGHTS_FILE, told)

    def close(self) -> None:
        """Release the tracker."""
        if self.tracker is not None:
            self.tracker.close()


def _note_threads(out: Path) -> None:
    """Warn where the run began with another number of threads, which changes the last bits."""
    record = read_json(out / RUN_FILE)
    made_with = record.get("environment") if isinstance(record, dict) else None
    before = made_with.get("threads") if isinstance(made_with, dict) else None
    if before not in (None, torch.get_num_threads()):
        warnings.warn(
            f"{out} was begun with {before} threads, now there are {torch.get_num_threads()}: the"
            " final weights may differ in the last bits",
            stacklevel=4,
        )
