"""The training loop: one, readable, and resumable to the bit.

Nothing random is carried from step to step. The order of an epoch, the augmentation of a step and
the noise of an attack are functions of (seed, epoch, step), so the position alone is enough to go
on as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saddlepoint.counts import MOST_THREADS, check_count, check_seed
from saddlepoint.data import AUGMENTATIONS, ImageData, batches, epoch_order
from saddlepoint.defences import Penalty, Recipe, TrainingBatch
from saddlepoint.errors import InputError
from saddlepoint.model import Guard
from saddlepoint.progress import Progress
from saddlepoint.reading import decoding, read_json
from saddlepoint.run_folders import RUN_FILE, Found, claimed
from saddlepoint.streams import derive, generator
from saddlepoint.training.accuracy import accuracy
from saddlepoint.training.checkpoint import FOLDER, is_at_end, latest_checkpoint
from saddlepoint.training.ema import Ema
from saddlepoint.training.metrics import (
    METRICS_FILE,
    append_metrics,
    forget_after,
    open_tracker,
    read_metrics,
)
from saddlepoint.training.preflight import check_sound, check_training
from saddlepoint.training.signals import Interrupted, stop_on_signals
from saddlepoint.training.state import State
from saddlepoint.training.swa import Swa, refresh_batch_norm
from saddlepoint.zoo import save_weights

WEIGHTS_FILE = "model.safetensors"
REFRESH = 100  # batches that BatchNorm statistics are measured on after averaging the weights


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model and how it came about.

    Attributes:
        model: the given model, trained; with `ema` or `swa` in the recipe it holds the averaged
            weights.
        metrics: one mapping per epoch: loss, accuracy on what was trained on, test accuracy where
            data was given, seconds; `curve`, the loss in at most 50 pieces of the epoch, and with
            penalties their share of both, `penalty` and `penalty_curve`.
        seconds: the time of the epochs, over all resumptions.

    >>> TrainingResult(nn.Identity(), [{"epoch": 1, "loss": 0.5}], 1.0).metrics[-1]["loss"]
    0.5
    """

    model: nn.Module
    metrics: list[dict[str, Any]]
    seconds: float


def train(
    model: nn.Module,
    data: ImageData,
    recipe: Recipe,
    *,
    out: Path | str | None = None,
    test: ImageData | None = None,
    seed: int = 0,
    resume: bool = False,
    identity: Any = None,
    tracker: str | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train `model` in place, on the device it is on, by `recipe`.

    Args:
        model: from images in [0, 1] to logits; the recipe's transforms are applied to it first.
        data, test: training images, and images whose clean accuracy is reported after every epoch.
        out: a folder for checkpoints (one per epoch, and one on SIGINT or SIGTERM) and
            `metrics.jsonl`.
        seed: of the order, the augmentation and the attacks; the initial weights are the caller's.
        resume: continue from the newest checkpoint in `out`; on a CPU to bit-identical final
            weights.
        identity: what else distinguishes the run (the model's name …); a resumption with another is
            refused.
        tracker: "tensorboard" or "mlflow".
        workers: processes that decode images which do not fit in memory.

    Raises `InputError` for a folder of another run, a loss that is no longer finite; `OutputError`
    where the disk refuses; `Interrupted` after the checkpoint that a signal asked for.

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
    device = Guard(model, 0).device  # refuses what is no module
    with _forked_random_state():
        _seed_layers(device, derive(seed, "transforms"))
        model = recipe.prepare(model).to(device)
        check_training(model, data)
        first = _first_images(data, recipe, seed, device)
        state = State(model, recipe, len(data), first)

    def finished() -> bool:
        return out is not None and _is_finished(out, recipe.epochs)

    def refresh() -> None:
        order = epoch_order(len(data), seed, recipe.epochs)
        stream = batches(data, order, recipe.batch_size, device=state.device, workers=workers)
        refresh_batch_norm(model, (images for _, images, _ in itertools.islice(stream, REFRESH)))

    config = {"identity": identity, "recipe": recipe, "seed": seed, "data": _named(data)}
    files = (FOLDER, METRICS_FILE, WEIGHTS_FILE)
    with claimed(out, "train", config, files, finished) as found:
        if found != "new" and not resume:
            raise InputError(
                f"{out} holds this run already; pass --resume, or choose another --out"
            )
        if out is not None and found != "new":
            _note_threads(out)
            _restore(out, state, found)
        metrics = read_metrics(out) if out is not None else []
        track = None if found == "finished" else open_tracker(tracker, out)
        with contextlib.ExitStack() as stack:
            stop = stack.enter_context(stop_on_signals())
            stack.enter_context(_forked_random_state())
            if track is not None:
                stack.callback(track.close)
            while state.epoch < recipe.epochs:
                began = time.perf_counter()
                for _ in _epoch(state, data, seed, workers):
                    if progress is not None:
                        done = state.epoch * state.steps + state.step
                        progress(done, recipe.epochs * state.steps, f"epoch {state.epoch + 1}")
                    if stop.signal:
                        state.seconds += time.perf_counter() - began
                        if out is not None:
                            state.save(out)
                        raise Interrupted(stop.signal, saved=out is not None)
                state.seconds += time.perf_counter() - began
                record = state.finish_epoch()
                reached = state.epoch / recipe.epochs
                if isinstance(state.average, Swa) and state.average.due(reached):
                    state.average.update(model)
                check_sound(model, data, state.epoch, recipe.optimiser.learning_rate)
                if test is not None:
                    with state.averaged(refresh):
                        record["test_accuracy"] = accuracy(model, test, workers=workers)
                metrics.append(record)
                if out is not None:
                    append_metrics(out, record)
                    state.save(out)
                if track is not None:
                    scalars = {k: v for k, v in record.items() if isinstance(v, float)}
                    track.log(state.epoch, scalars)
        state.take_average(refresh)
        if out is not None and found != "finished":
            save_weights(model, out / WEIGHTS_FILE)
    return TrainingResult(model.eval(), metrics, sum(record["seconds"] for record in metrics))


def _epoch(state: State, data: ImageData, seed: int, workers: int) -> Iterator[None]:
    """Run the rest of the present epoch, a step at a time."""
    recipe, model = state.recipe, state.model
    model.train()
    augment = AUGMENTATIONS[recipe.augmentation]
    order = epoch_order(len(data), seed, state.epoch)
    stream = batches(
        data, order, recipe.batch_size, device=state.device, start=state.step, workers=workers
    )
    for ids, images, labels in stream:
        here = (state.epoch, state.step)
        # Layers such as Dropout draw from torch's own generator, which is forked around the loop.
        _seed_layers(state.device, derive(seed, "layers", *here))
        images = augment(images, generator(seed, "augmentation", *here, device=images.device))
        batch = TrainingBatch(
            images,
            labels,
            ids,
            derive(seed, "attack", state.epoch),
            torch.bfloat16 if recipe.autocast else None,
        )
        take_step(state, batch)
        yield


def take_step(state: State, batch: TrainingBatch) -> None:
    """Take one step of the descent on a batch.

    >>> state = State(nn.Linear(2, 2), Recipe(batch_size=1), images=1)
    >>> batch = TrainingBatch(torch.ones(1, 2), torch.zeros(1).long(), torch.zeros(1).long(), seed=0)
    >>> take_step(state, batch)
    >>> state.step, state.seen
    (1, 1)
    """
    for group in state.optimiser.param_groups:
        group["lr"] = state.learning_rate()
    state.optimiser.zero_grad(set_to_none=True)
    output = state.recipe.objective.accumulate(state.model, batch)
    penalty = _penalise(state.model, state.penalties)
    state.optimiser.step()
    if isinstance(state.average, Ema):
        state.average.update(state.model)
    state.add(output.loss, penalty, output.logits, batch.labels)
    state.step += 1


def _penalise(model: nn.Module, penalties: Sequence[tuple[float, Penalty]]) -> Tensor:
    """Add the gradients of the penalties; return their weighted sum."""
    if not penalties:
        return torch.zeros((), device=next(model.parameters()).device)
    total: Tensor = sum(  # type: ignore[assignment]
        weight * penalty(model) for weight, penalty in penalties
    )
    if total.requires_grad:  # not where no layer of the model counts
        total.backward()  # type: ignore[no-untyped-call]
    return total.detach()


def _first_images(data: ImageData, recipe: Recipe, seed: int, device: torch.device) -> Tensor:
    """Return the first batch, as it is without augmentation: layers and penalties begin with it."""
    order = epoch_order(len(data), seed, 0)
    return next(iter(batches(data, order[: recipe.batch_size], recipe.batch_size, device=device)))[
        1
    ]


def _is_finished(out: Path, epochs: int) -> bool:
    return (out / WEIGHTS_FILE).is_file() and is_at_end(out, epochs)


def _restore(out: Path, state: State, found: Found) -> None:
    newest = latest_checkpoint(out)
    if newest is not None:
        with decoding(out, "a folder whose newest checkpoint fits this run"):
            state.load(*newest)
    if found != "finished":
        forget_after(out, state.epoch)


def _note_threads(out: Path) -> None:
    """Warn where the run began with another number of threads, which changes the last bits."""
    before = _threads_before(out)
    if before not in (None, torch.get_num_threads()):
        warnings.warn(
            f"{out} was begun with {before} threads, now there are {torch.get_num_threads()}: the"
            " final weights may differ in the last bits",
            stacklevel=3,
        )


def _threads_before(out: Path) -> Any:
    record = read_json(out / RUN_FILE)
    made_with = record.get("environment") if isinstance(record, dict) else None
    return made_with.get("threads") if isinstance(made_with, dict) else None


def _named(data: ImageData) -> dict[str, Any]:
    return {
        "name": data.name,
        "split": data.split,
        "images": len(data),
        "fingerprint": data.fingerprint,
    }


def _seed_layers(device: torch.device, seed: int) -> None:
    # Not torch.manual_seed: it reaches every device, also one that is not forked yet.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


@contextlib.contextmanager
def _forked_random_state() -> Iterator[None]:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        yield
