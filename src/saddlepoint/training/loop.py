"""The training loop: one, readable, and resumable to the bit.

Nothing random is carried from step to step. The order of an epoch, the augmentation of a step and
the noise of an attack are functions of (seed, epoch, step), so the position alone is enough to go
on as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.counts import MOST_THREADS, check_count, check_seed
from saddlepoint.data import DataLike, ImageData, as_data, data_identity
from saddlepoint.defences import Penalty, Recipe, StepOutput, TrainingBatch, load_recipe
from saddlepoint.defences.optimiser import SCALE
from saddlepoint.defences.recipe import told
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, device_of
from saddlepoint.objectives import TextObjective
from saddlepoint.progress import Course, Meter, Progress
from saddlepoint.run_folders import check_free, claimed
from saddlepoint.streams import derive
from saddlepoint.text import TOKENISER_FILE, FramedText
from saddlepoint.training.averages import Ema, refresh_batch_norm
from saddlepoint.training.feed import Feed
from saddlepoint.training.lookout import Lookout
from saddlepoint.training.measured import measured
from saddlepoint.training.metrics import epoch_line
from saddlepoint.training.preflight import (
    check_declared,
    check_sound,
    check_training,
    enough_memory,
)
from saddlepoint.training.randomness import forked_random_state, seed_layers
from saddlepoint.training.result import TrainingResult
from saddlepoint.training.run import FILES, Run, is_finished
from saddlepoint.training.signals import stop_on_signals
from saddlepoint.training.split import Split
from saddlepoint.training.state import State
from saddlepoint.training.teacher import needs_teacher, teach
from saddlepoint.training.text_feed import TextFeed

REFRESH = 100  # batches that BatchNorm statistics are measured on after averaging the weights


def train(
    model: nn.Module,
    data: DataLike | FramedText,
    recipe: Recipe | str,
    *,
    out: Path | str | None = None,
    test: DataLike | FramedText | None = None,
    seed: int = 0,
    resume: bool = False,
    teacher: nn.Module | None = None,
    identity: Any = None,
    tracker: str | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train `model` in place, on the device it is on, by `recipe`.

    Args:
        model: from images in [0, 1] to logits; the recipe's transforms are applied to it first.
        recipe: how; or its name, or the path of its file, as `load_recipe` takes it.
        data, test: training images, and images whose clean accuracy is reported after every epoch,
            in any form that `as_data` takes; or sequences of texts, whose model takes `Tokens`.
        out: a folder for checkpoints (one per epoch, and one on SIGINT or SIGTERM) and
            `metrics.jsonl`.
        seed: of the order, the augmentation and the attacks; the initial weights are the caller's.
        resume: continue from the newest checkpoint in `out`; on a CPU to bit-identical final
            weights.
        teacher: of a distillation: a trained network for the same classes; None trains one of the
            model's architecture first, into the folder `teacher` in `out`.
        identity: what else distinguishes the run (the model's name …); a resumption with another is
            refused.
        tracker: where the metrics go besides: "tensorboard" or "mlflow".
        workers: processes that decode images which do not fit in memory.
        progress: is told of every step, of the passes within it now and then, and of what an epoch
            has come to; see `saddlepoint.progress.Tick`.

    Raises `InputError` for a folder of another run; for a loss that is not finite, at its step, on a
    device at the end of its epoch, where logits are looked at too, before a checkpoint is written;
    and where a device's memory does not suffice; `OutputError` where the disk refuses;
    `Interrupted` after the checkpoint that a signal asked for.

    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", split="train", limit=64)
    >>> net = build_model("zoo:simple-cnn", classes=10, shape=(1, 8, 8))
    >>> result = train(net, data, Recipe(epochs=1, batch_size=32))
    >>> sorted(result.metrics[0])
    ['accuracy', 'curve', 'epoch', 'learning_rate', 'loss', 'seconds']
    """
    out = None if out is None else Path(out)
    if resume and out is None:
        raise InputError("there is nothing to resume without an output folder; give out")
    check_seed(seed)
    check_count("workers", workers, least=0, most=MOST_THREADS)
    Guard(model, 0)  # refuses what is no module
    data = _as_data(data)
    test = None if test is None else _as_data(test)
    if isinstance(recipe, str):
        recipe = load_recipe(
            recipe, None if isinstance(data, FramedText) else (data.mean, data.std)
        )
    if not isinstance(recipe, Recipe):
        raise InputError(f"the recipe is {recipe!r:.60}; give a Recipe, or the name of one")
    if isinstance(test, FramedText) and isinstance(recipe.objective, TextObjective):
        recipe.objective.check_tests(data, test)

    config = {"identity": identity, "recipe": recipe, "seed": seed, "data": data_identity(data)}
    own = needs_teacher(recipe, teacher)
    if own and out is not None:
        check_free(out, "train", FILES, config)  # before a teacher is trained in another's folder
    stages = Course(progress, 2)

    def stage(pupil: nn.Module, first: Recipe, folder: Path | None, seed: int) -> nn.Module:
        return train(
            pupil,
            data,
            first,
            out=folder,
            seed=seed,
            resume=resume and folder is not None and folder.is_dir(),
            identity=identity,
            workers=workers,
            progress=stages.next("teacher"),
        ).model

    taught = teach(model, data, recipe, teacher, out, seed, stage)
    progress = stages.next("student") if own else progress
    split = Split.of(data, recipe, seed)
    chosen = split.trained_on if len(split.held_out) else None
    soft = None if taught is None else taught.soft
    device = device_of(model)
    feed: Feed | TextFeed = (
        TextFeed(data, recipe, seed, device)
        if isinstance(data, FramedText)
        else Feed(data, recipe, seed, device, workers, chosen, soft)
    )
    state = _prepared(model, feed)  # by the first batch of the first epoch, resumed or not
    model = state.model

    def refresh() -> None:
        refresh_batch_norm(model, feed.images(recipe.epochs, REFRESH))

    if taught is not None:
        config["teacher"] = taught.fingerprint
    meter = Meter(progress, state.total, "steps")
    with (
        claimed(out, "train", config, FILES, lambda: is_finished(out, recipe.epochs)) as found,
        meter.watching(),
    ):
        if found != "new" and not resume:
            raise InputError(
                f"{out} holds this run already; pass --resume, or choose another folder"
            )
        run = Run(state, out, found, tracker)
        lookout = Lookout(state, data, split, out, seed, refresh)
        meter.begin(state.done)
        with stop_on_signals() as stop, forked_random_state(), contextlib.closing(run):
            if found != "finished" and out is not None:
                split.save(out)
                if isinstance(data, FramedText):
                    data.framing.tokeniser.save(out / TOKENISER_FILE)
            while state.epoch < recipe.epochs and not state.stopped:
                # Resumed within an epoch, its time goes on from the checkpoint's, and its batches
                # from the checkpoint's step in the same order: that is a function of the epoch.
                began = time.perf_counter() - state.seconds
                model.train()
                meter.what = f"epoch {state.epoch + 1} of {recipe.epochs}"
                for batch in feed.epoch(state.epoch, state.step):
                    with enough_memory(state):
                        take_step(state, batch)
                    state.seconds = time.perf_counter() - began
                    meter.add()
                    if stop.signal:
                        run.stop(stop.signal)
                record = state.finish_epoch()
                check_sound(model, data, recipe, state.epoch)
                if test is not None:
                    meter.say(f"{meter.what}, test images")
                    with state.averaged(refresh):
                        record |= measured(state, test, workers)
                with enough_memory(state):
                    forgotten = lookout.after_epoch(record)
                if forgotten:
                    run.go_back()
                    meter.begin(state.done)
                    continue
                run.add(record)
                meter.say(meter.what, epoch_line(record, recipe))
        state.take_average(refresh)
        run.finish()
        lookout.finish()
    seconds = sum(each["seconds"] for each in run.metrics)
    return TrainingResult(model.eval(), run.metrics, seconds, lookout.best, state.stopped)


def _as_data(given: DataLike | FramedText) -> ImageData | FramedText:
    return given if isinstance(given, FramedText) else as_data(given)


def _prepared(model: nn.Module, feed: Feed | TextFeed) -> State:
    """Return the state before the first step: the model transformed, and fit for the data."""
    with forked_random_state():
        seed_layers(feed.device, derive(feed.seed, "transforms"))
        model = feed.recipe.prepare(model).to(feed.device)
        check_training(model, feed.data, feed.recipe.objective)
        check_declared(model, feed.data, feed.recipe)
        return State(model, feed.recipe, len(feed), feed.first(), feed.data, feed.steps)


def take_step(state: State, batch: TrainingBatch) -> None:
    """Take the outer steps of a batch, one unless the objective repeats it: inner maximisation and
    loss gradient (`objective.accumulate`), penalty gradient, clipping, optimiser step, EMA.

    >>> state = State(nn.Linear(2, 2), Recipe(batch_size=1), images=1)
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> take_step(state, batch)
    >>> state.step, state.seen
    (1, 1)
    """
    for replay in range(state.repeats):
        for group in state.optimiser.param_groups:
            group["lr"] = state.learning_rate(replay) * group.get(SCALE, 1.0)
        state.optimiser.zero_grad(set_to_none=True)
        output = state.objective.accumulate(state.model, batch)
        if not isinstance(output, StepOutput):
            name = told(state.recipe.objective)
            raise InputError(f"the objective {name} returned {output!r:.60}; return a StepOutput")
        penalty = _penalise(state.model, state.penalties)
        state.recipe.optimiser.clip(state.model, state.parts)
        state.optimiser.step()
        state.objective.after_step(state.model)
        if isinstance(state.average, Ema):
            state.average.update(state.trained)
        state.add(output, penalty, len(batch.ids))
    state.step += 1


def _penalise(model: nn.Module, penalties: Sequence[tuple[float, Penalty]]) -> Tensor:
    """Add the gradient of the weighted sum of the penalties; return the sum."""
    if not penalties:
        return torch.zeros((), device=next(model.parameters()).device)
    total: Tensor = sum(  # type: ignore[assignment]
        weight * _scalar(penalty, penalty(model)) for weight, penalty in penalties
    )
    if total.requires_grad:  # not where no layer of the model counts
        total.backward()  # type: ignore[no-untyped-call]
    return total.detach()


def _scalar(penalty: Penalty, value: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1:
        seen = tuple(value.shape) if isinstance(value, Tensor) else repr(value)[:60]
        raise InputError(f"the penalty {told(penalty)} returned {seen}; return a scalar tensor")
    return value.reshape(())
