"""What is looked at after an epoch: has the network collapsed, and is it the best so far?"""

from __future__ import annotations

import copy
import math
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks import PGD, predict
from saddlepoint.data import Data
from saddlepoint.defences import Validation, Watch, threat_of
from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.reading.tensors import read_safetensors
from saddlepoint.streams import derive, generator
from saddlepoint.training.checkpoint import forget_checkpoints_after, latest_checkpoint
from saddlepoint.training.split import Split
from saddlepoint.training.state import State
from saddlepoint.zoo import save_weights

BEST_FILE, SOUND = "best.safetensors", "sound"
_LEAST, _MOST = 60, 512  # images that are watched
_SHARE = 0.03  # of the passes of single-step training, which watching may cost
_WATCHED = {"watched_accuracy": "", "watched_accuracy_averaged": " with averaged weights"}
_STEP = 5  # passes of an image and step: one forward and one input gradient, then all three


class Lookout:
    """The watch and the validation of a training.

    Args:
        state: of the training, whose `held_out` remembers what was seen.
        data, split: the images.
        out: the folder of the run, for the best weights and the last sound ones; None keeps them in
            memory.
        seed: of the attacks.
        refresh: measures BatchNorm's statistics of averaged weights; see `State.averaged`.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.defences import Recipe
    >>> data = load_data("digits", limit=20)
    >>> state = State(torch.nn.Linear(2, 2), Recipe(), images=20)
    >>> split = Split.of(data, Recipe(), 0)
    >>> Lookout(state, data, split, None, 0, lambda: None).after_epoch({"epoch": 1})
    False
    """

    best: dict[str, Tensor] | None
    """The weights of the best epoch by validation."""

    def __init__(
        self,
        state: State,
        data: Data,
        split: Split,
        out: Path | None,
        seed: int,
        refresh: Callable[[], None],
    ) -> None:
        self.state, self.split, self.out = state, split, out
        self.data: Any = data  # images wherever there is a watch or a validation
        self.seed, self.refresh = seed, refresh
        self.best = None
        self._sound: Any = None
        if state.recipe.watch is not None:
            self._watched, self._every = _watched(split, state.recipe.watch, seed)
        if out is not None and not state.stopped:
            # What a killed process kept of epochs that this one comes to again.
            forget_checkpoints_after(out, state.epoch, SOUND)
        watch = state.recipe.watch
        if watch is not None and watch.on_collapse == "roll-back" and not state.done:
            self._keep_sound(watch)  # for a network that is collapsed at the first look

    def after_epoch(self, record: dict[str, Any]) -> bool:
        """Look at the network after an epoch, and write what was seen into its record.

        Returns whether the epoch is to be forgotten: the state is then an earlier one.
        """
        watch, validation = self.state.recipe.watch, self.state.recipe.validation
        collapses = self.state.held_out.get("collapses")
        if collapses:
            record["collapses"] = collapses
        last = self.state.epoch == self.state.recipe.epochs  # which nothing comes after
        if watch is not None and (last or self.state.epoch % self._every == 0):
            began = time.perf_counter()
            lost = self._watch(record, watch)
            record["watch_seconds"] = round(time.perf_counter() - began, 3)
            record["watch_interval"] = self._every
            if lost:
                return True
        if validation is not None:
            began = time.perf_counter()
            self._validate(record, validation)
            record["validation_seconds"] = round(time.perf_counter() - began, 3)
        return False

    def finish(self) -> None:
        """Read the best weights back, where another process wrote them; the sound ones have served."""
        if self.best is None and self.out is not None and (self.out / BEST_FILE).is_file():
            self.best = read_safetensors(self.out / BEST_FILE)
        if self.out is not None and (self.out / SOUND).exists():
            shutil.rmtree(self.out / SOUND, ignore_errors=True)

    def _watch(self, record: dict[str, Any], watch: Watch) -> bool:
        """Return whether the network collapsed and the state is an earlier one now."""
        seen = {"watched_accuracy": self._robust(self._watched, watch.steps, 0.25)}
        if self.state.average is not None and self.state.average.updates:
            with self.state.averaged(self.refresh):
                seen["watched_accuracy_averaged"] = self._robust(self._watched, watch.steps, 0.25)
        record.update(seen)
        memory = self.state.held_out
        best = memory.get("watched", {})
        told = self._collapse(record, best, watch)
        memory["watched"] = {name: max(seen[name], best.get(name, 0.0)) for name in seen}
        if told is None:
            memory.pop("collapsed", None)
            memory["sound"] = True
            self._keep_sound(watch)
            return False
        if not self._goes_back(watch):
            if not memory.get("collapsed"):
                warnings.warn(told, stacklevel=2)
            memory["collapsed"] = record["collapsed"] = True
            return False
        self._go_back(watch, told, seen)
        return True

    def _collapse(self, record: dict[str, Any], best: dict[str, float], watch: Watch) -> str | None:
        """Return what is told of a collapse; None where there is none."""
        begins = f"catastrophic overfitting in epoch {self.state.epoch}: the accuracy under"
        images = f"on {len(self._watched)} images"
        for name, ending in _WATCHED.items():
            now, before = record.get(name), best.get(name, 0.0)
            if now is not None and now < before - watch.fall:
                return f"{begins} PGD-{watch.steps} fell from {before:.0%} to {now:.0%} {images}{ending}"
        now, trained = record["watched_accuracy"], record.get("accuracy", 0.0)
        if now < 1 / len(self.data.classes) and now < trained - watch.gap:
            return (
                f"{begins} PGD-{watch.steps} is {now:.0%} {images}, less than by guessing, where that"
                f" in training is {trained:.0%}"
            )
        return None

    def _goes_back(self, watch: Watch) -> bool:
        """Return whether a collapse ends in earlier weights; untrained ones are no result, and of use
        to begin anew alone.
        """
        again = len(self.state.held_out.get("collapses", [])) < watch.most
        sound = bool(self.state.held_out.get("sound"))
        return {"warn": False, "stop": sound, "roll-back": sound or again}[watch.on_collapse]

    def _keep_sound(self, watch: Watch) -> None:
        if watch.on_collapse == "warn":
            return
        if self.out is not None:
            self.state.save(self.out, SOUND)
            return
        self._sound = copy.deepcopy(self.state.snapshot())

    def _go_back(self, watch: Watch, told: str, seen: dict[str, float]) -> None:
        """Make the state the last sound one, with something changed, or stop there."""
        state = self.state
        events = [*state.held_out.get("collapses", []), {"epoch": state.epoch, **seen}]
        rate, noise = state.rate, state.noise
        best = state.held_out.get("best")  # whose weights stay, also of an epoch that is forgotten
        errors = state.held_out.get("errors", [])
        # A copy: the optimiser writes into what it is given, and these may be needed again.
        kept = copy.deepcopy(self._sound)
        found = kept if self.out is None else latest_checkpoint(self.out, SOUND)
        if found is None:
            raise InputError(
                f"{told}; the last sound weights are no longer in {self.out}/{SOUND}: train afresh"
            )
        state.load(*found)
        state.held_out["collapses"] = events
        if errors:  # also that of the sound epoch, which was kept before it was validated
            state.held_out["errors"] = errors[: state.epoch]
        if best is not None:
            late = {"forgotten": True} if best["epoch"] > state.epoch else {}
            state.held_out["best"] = {**best, **late}
        if watch.on_collapse == "stop" or len(events) > watch.most:
            state.stopped = f"{told}; the weights are those after epoch {state.epoch}"
            warnings.warn(state.stopped, stacklevel=2)
            return
        if watch.change == "noise":
            noise *= 1.5
            change = f"noise × {noise:g}"
        else:
            rate /= 2
            change = f"learning rate × {rate:g}"
        state.change(rate, noise)
        events[-1]["change"] = change
        place = f"the end of epoch {state.epoch}" if state.epoch else "the beginning"
        warnings.warn(f"{told}; rolled back to {place}, on with {change}", stacklevel=2)

    def _validate(self, record: dict[str, Any], validation: Validation) -> None:
        state = self.state
        with state.averaged(self.refresh):
            value = self._robust(self.split.held_out, validation.steps, 2.5 / validation.steps)
            record["validation_accuracy"] = value
            state.held_out["errors"] = [*state.held_out.get("errors", []), 1 - value]
            record["learning_rate"] = state.learning_rate()  # which may go by the errors
            before = state.held_out.get("best", {"accuracy": -1.0})
            if value > before["accuracy"]:
                state.held_out["best"] = {"epoch": state.epoch, "accuracy": value}
                weights = state.model.state_dict()
                self.best = {name: each.detach().clone() for name, each in weights.items()}
                if self.out is not None:
                    save_weights(state.model, self.out / BEST_FILE)
        record["best_epoch"] = state.held_out["best"]["epoch"]
        waited = state.epoch - record["best_epoch"]
        if validation.patience is not None and waited >= validation.patience:
            state.stopped = (
                f"no better validation accuracy in {waited} epochs; the best was after epoch"
                f" {record['best_epoch']}"
            )

    def _robust(self, ids: Int64[Tensor, " n"], steps: int, relative: float) -> float:
        """Return the accuracy of the images under PGD at the objective's budget, clean without one."""
        model, threat = self.state.model, threat_of(self.state.recipe.objective)
        right = 0
        for part in torch.split(ids, self.state.recipe.batch_size):
            images = self.data.images(part).to(self.state.device)
            labels = self.data.labels[part.to(self.data.labels.device)].to(self.state.device)
            if threat is None:
                with Guard(model, 0) as guard, guard.exact():
                    right += int((predict(guard.logits(images)) == labels).sum())
                continue
            attack = PGD(threat, steps=steps, relative_step=relative * steps)
            with warnings.catch_warnings():
                # Of zero gradients and the like, every epoch anew: an evaluation tells them.
                warnings.simplefilter("ignore", UserWarning)
                found = attack(model, images, labels, seed=derive(self.seed, "held out"), ids=part)
            right += int((~found.success).sum())
        return right / len(ids)


def _watched(split: Split, watch: Watch, seed: int) -> tuple[Tensor, int]:
    """Return the images that are watched, and how many epochs lie between two looks."""
    images = len(split.trained_on)
    # Each step of PGD is two passes; the judge takes one, and so does the clean image; of two sets of
    # weights perhaps.
    passes = 2 * (2 * watch.steps + 2)
    allowed = _SHARE * _STEP * images
    count = min(max(int(allowed / passes), _LEAST), _MOST)
    pool = split.held_out if len(split.held_out) else split.trained_on
    order = torch.randperm(len(pool), generator=generator(seed, "watched"))
    chosen = pool[order[:count]].sort().values
    return chosen, max(1, math.ceil(len(chosen) * passes / allowed))
