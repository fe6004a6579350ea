"""All that changes while training, and how a checkpoint saves and restores it."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.data import Data
from saddlepoint.defences import Recipe, calibrate
from saddlepoint.errors import InputError
from saddlepoint.objectives import StepOutput, parts_of, repeats_of, running
from saddlepoint.training.averages import Ema, Swa
from saddlepoint.training.checkpoint import (
    FOLDER,
    KEEP,
    optimiser_state,
    restore_optimiser,
    save_checkpoint,
)

PIECES = 50  # the training curve has at most so many points per epoch


class State:
    """All that the next step of a training depends on: weights, optimiser, averages, position, sums.

    Args:
        model: to be trained; its device is that of everything else here.
        recipe: how.
        images: the size of the training set, texts too.
        first: (n, ...) some of its images: quantised activations find their ranges by them, and
            penalties the sizes of their layers; None where there are neither.
        data: what is trained on, which some objectives look at before they begin.
        steps: of an epoch; None goes by the recipe's batch size.

    >>> from saddlepoint.defences import Recipe
    >>> state = State(nn.Linear(2, 2), Recipe(batch_size=32), images=100)
    >>> state.steps, state.epoch, state.step
    (4, 0, 0)
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        images: int,
        first: Tensor | None = None,
        data: Data | None = None,
        steps: int | None = None,
    ) -> None:
        self.model, self.recipe, self.data = model, recipe, data
        self.device = next(iter(model.parameters())).device
        self.steps = math.ceil(images / recipe.batch_size) if steps is None else steps
        self.epoch = self.step = 0
        self.seconds = 0.0
        self.penalties = copy.deepcopy(recipe.penalties)  # training twice must give the same twice
        self._modules = {
            str(i): penalty
            for i, (_, penalty) in enumerate(self.penalties)
            if isinstance(penalty, nn.Module)
        }
        if first is not None:
            model.train()  # as the first step will see it
            calibrate(model, first)
        self.repeats = repeats_of(recipe.objective)
        self.objective = running(recipe.objective, model, data)
        self.parts = parts_of(self.objective)
        if self.parts is not None:
            self.parts.to(self.device)
        # The average begins with the ranges that were found.
        self.average = _average(self.trained, recipe, self.steps * self.repeats)
        self.optimiser = recipe.optimiser.build(model, self.parts)
        self.rate, self.noise = 1.0, 1.0  # what rolling back changes
        self.held_out: dict[str, Any] = {}  # what the watch and the validation remember
        self.stopped = ""  # why, where a training ends before its last epoch
        for _, penalty in self.penalties:
            begin = getattr(penalty, "begin", None)
            if first is not None and callable(begin):
                begin(model, first[:2])
        self.clear()

    def clear(self) -> None:
        """Set the sums of the epoch to 0."""
        self.seen = 0
        # They stay on the device: reading them at every step would make it wait.
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.losses = torch.zeros(self.steps, 2, dtype=torch.float64, device=self.device)

    @property
    def trained(self) -> nn.Module:
        """The model, with the parts that are trained beside it: what is averaged."""
        parts = self.parts
        return self.model if parts is None else nn.ModuleDict({"model": self.model, "parts": parts})

    @property
    def done(self) -> int:
        """The steps taken so far, of all epochs."""
        return self.epoch * self.steps + self.step

    @property
    def total(self) -> int:
        """The steps of the whole training."""
        return self.recipe.epochs * self.steps

    def learning_rate(self, replay: int = 0) -> float:
        """Return the learning rate of the next step, or of a replay of its batch."""
        schedule, errors = self.recipe.schedule, self.held_out.get("errors", ())
        done = self.done + replay / self.repeats + schedule.first
        factor = schedule.factor(done / self.total, self.recipe.epochs, errors)
        if not schedule.first:
            # The first step of a warm-up and the last of a decay would stand still at exactly zero.
            factor = max(factor, 1e-3)
        return self.recipe.optimiser.learning_rate * factor * self.rate

    def change(self, rate: float, noise: float) -> None:
        """Train on at another share of the recipe's learning rate, and with wider noise."""
        self.rate = rate
        if noise != self.noise:
            self.noise = noise
            own: Any = self.recipe.objective
            self.objective = running(replace(own, noise=noise * own.noise), self.model, self.data)

    def add(self, output: StepOutput, penalty: Tensor, images: int) -> None:
        """Add a step's losses and sums, of so many images, to those of the epoch; the output's loss
        is without the penalty.

        Raises `InputError` for a sum or loss that is not finite, on a CPU; see `finish_epoch`.
        """
        losses = torch.stack([output.loss + penalty, penalty]).double()
        counted = {
            **output.sums,  # first, since it may say what spoilt the loss
            "loss": (losses[0] * images, images),
            "penalty": (losses[1] * images, images),
        }
        for name, (value, count) in counted.items():
            total = torch.as_tensor(value, dtype=torch.float64, device=self.device)
            if total.device.type == "cpu" and not math.isfinite(float(total)):
                raise self._not_finite(name, float(total) / count, self.step)
            self.sums[name] = self.sums.get(name, 0.0) + total
            self.counts[name] = self.counts.get(name, 0) + count
        self.losses[self.step] += losses / self.repeats
        self.seen += images

    def finish_epoch(self) -> dict[str, Any]:
        """Return the metrics of the epoch and begin the next; average the weights where SWA is due.

        Raises `InputError` where the mean loss of the epoch is not finite: on a device that is known
        only here and in `save`, since looking at every step would make it wait.
        """
        self._check_finite()
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        penalty = means.pop("penalty")
        self.epoch, self.step = self.epoch + 1, 0
        pieces = self.losses.tensor_split(min(PIECES, self.steps))
        curve = torch.stack([piece.mean(0) for piece in pieces]).tolist()
        record = {
            "epoch": self.epoch,
            "loss": means.pop("loss"),
            **means,
            "learning_rate": self.learning_rate(),
            "seconds": round(self.seconds, 3),
            "curve": [step_loss for step_loss, _ in curve],
        }
        if self.penalties:
            record["penalty"] = penalty
            record["penalty_curve"] = [step_penalty for _, step_penalty in curve]
        self.seconds = 0.0
        self.clear()
        if isinstance(self.average, Swa) and self.average.due(self.epoch / self.recipe.epochs):
            self.average.update(self.trained)
        return record

    def _check_finite(self) -> None:
        for name, total in self.sums.items():
            if not math.isfinite(mean := float(total) / self.counts[name]):
                bad = (~self.losses.isfinite().all(1)).nonzero()
                raise self._not_finite(name, mean, int(bad[0]) if len(bad) else self.step - 1)

    def _not_finite(self, name: str, mean: float, step: int) -> InputError:
        return InputError(
            f"the {name.replace('_', ' ')} is {mean} in epoch {self.epoch + 1}, step {step + 1} of"
            f" {self.steps}; lower the learning rate ({self.recipe.optimiser.learning_rate:g}) or switch"
            " autocast off; the last checkpoint, if there is one, is from before"
        )

    @contextlib.contextmanager
    def averaged(self, refresh: Callable[[], None]) -> Iterator[None]:
        """Give the model and its parts the averaged weights while the block runs, then their own."""
        if self.average is None or not self.average.updates:
            yield
            return
        raw = {name: value.detach().clone() for name, value in self.trained.state_dict().items()}
        self.take_average(refresh)
        try:
            yield
        finally:
            self.trained.load_state_dict(raw)

    def take_average(self, refresh: Callable[[], None]) -> None:
        """Give the model and its parts the averaged weights for good.

        `refresh` measures the BatchNorm statistics anew; EMA averages them with the weights.
        """
        if self.average is not None and self.average.updates:
            self.trained.load_state_dict(self.average.state)
            if isinstance(self.average, Swa):
                refresh()

    def save(self, out: Path, folder: str = FOLDER, keep: int = KEEP) -> None:
        """Write a checkpoint of the present position under `out`; see `save_checkpoint`.

        Raises `InputError` where a loss since the epoch's first step was not finite: the last
        checkpoint is to be from before.
        """
        self._check_finite()
        tensors, state = self.snapshot()
        save_checkpoint(out, (self.epoch, self.step), tensors, state, folder, keep)

    def snapshot(self) -> tuple[dict[str, dict[str, Tensor]], Any]:
        """Return the tensors, by file, and the values of a checkpoint; the tensors are the live ones."""
        tensors, values = optimiser_state(self.optimiser)
        files = {"model": dict(self.model.state_dict()), "optimiser": tensors}
        files["curve"] = {"losses": self.losses}
        if self.average is not None:
            files["average"] = self.average.state
        if self._modules:
            files["penalties"] = {
                f"{number}/{name}": value
                for number, penalty in self._modules.items()
                for name, value in penalty.state_dict().items()
            }
        if carried := self.objective.state_dict():
            files["objective"] = dict(carried)
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "seen": self.seen,
            # Hexadecimal floats come back to the last bit.
            "sums": {
                name: [float(total).hex(), self.counts[name]] for name, total in self.sums.items()
            },
            "seconds": self.seconds,
            "optimiser": values,
            "averaged": self.average.updates if self.average is not None else 0,
        }
        changed = {
            "rate": None if self.rate == 1 else self.rate,
            "noise": None if self.noise == 1 else self.noise,
            "held_out": self.held_out or None,
            "stopped": self.stopped or None,
        }
        return files, {**state, **{k: v for k, v in changed.items() if v is not None}}

    def load(self, tensors: dict[str, dict[str, Tensor]], state: Any) -> None:
        """Restore what `save` wrote, from a checkpoint's tensors and values."""
        self.model.load_state_dict(tensors["model"])
        restore_optimiser(self.optimiser, tensors.get("optimiser", {}), state["optimiser"])
        self.losses = tensors["curve"]["losses"].to(self.device)
        if self.average is not None:
            self.average.load(tensors["average"], state["averaged"])
        for number, penalty in self._modules.items():
            entries, own = tensors.get("penalties", {}).items(), f"{number}/"
            penalty.load_state_dict({k[len(own) :]: v for k, v in entries if k.startswith(own)})
        self.change(state.get("rate", 1.0), state.get("noise", 1.0))
        carried = tensors.get("objective", {}).items()
        self.objective.load_state_dict({k: v.to(self.device) for k, v in carried})
        self.held_out, self.stopped = state.get("held_out", {}), state.get("stopped", "")
        self.epoch, self.step, self.seen = state["epoch"], state["step"], state["seen"]
        sums = _by_name(state["sums"], self.seen)
        self.counts = {name: each[1] for name, each in sums.items()}
        self.sums = {
            name: torch.tensor(float.fromhex(total), dtype=torch.float64, device=self.device)
            for name, (total, _) in sums.items()
        }
        self.seconds = state["seconds"]


def _by_name(sums: Any, seen: int) -> dict[str, tuple[str, int]]:
    """Return the sums of a checkpoint, also of one of an earlier version, which named none."""
    if isinstance(sums, dict):
        return sums
    named = zip(("loss", "accuracy", "penalty"), sums, strict=True)
    return {name: (value, seen) for name, value in named} if seen else {}


def _average(trained: nn.Module, recipe: Recipe, steps: int) -> Ema | Swa | None:
    if (decay := recipe.decay(steps)) is not None:
        return Ema(trained, decay)
    return None if recipe.swa is None else Swa(trained, recipe.swa)
