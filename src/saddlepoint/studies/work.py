"""The work of one cell: train a model, or attack one that is trained."""

from __future__ import annotations

import itertools
import shutil
import time
import traceback
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import safetensors.torch
import torch
from torch import Tensor, nn

from saddlepoint.data import ImageData, TensorData
from saddlepoint.errors import InputError, OutputError
from saddlepoint.evaluation import AttackRecord, evaluate, run_attack
from saddlepoint.evaluation.record import parquet_bytes
from saddlepoint.evaluation.steps import FOLDER as PARTS
from saddlepoint.files import write
from saddlepoint.model import Guard
from saddlepoint.run_folders import environment
from saddlepoint.studies.engine import Job, Outcome
from saddlepoint.studies.results import CURVE_COLUMNS, IMAGE_COLUMNS
from saddlepoint.studies.spec import StudySpec
from saddlepoint.studies.store import Store
from saddlepoint.studies.subject import (
    DataFacts,
    check_file,
    model_identity,
    study_data,
    study_model,
    subject_statistics,
    trained_model,
)
from saddlepoint.training import Interrupted, TrainingResult, train

CURVE_FILE, IMAGES_FILE, EXAMPLES_FILE = "curve.parquet", "images.parquet", "examples.safetensors"
_EXAMPLES = 8


def perform(job: Job) -> Outcome:
    """Do the work of a cell unless it is finished or another process does it; never raises.

    >>> import tempfile
    >>> from saddlepoint.studies.store import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Store.claim(Path(folder), {"name": "s"}, {"cells": [], "places": []})
    ...     perform(Job(folder, None, "a" * 16, "training", "x", {}, {})).status
    'failed'
    """
    began = time.perf_counter()
    try:
        store = Store(Path(job.store))
        with store.claimed(job.address) as mine:
            if not mine:
                return Outcome(job.address, "busy", 0.0)
            if store.health(job.address, thorough=False) == "finished":
                return Outcome(job.address, "finished", 0.0)
            if not store.work(job.address).is_dir():
                store.discard_work(job.address)  # whatever else is in its place
            record = _training(job, store) if job.kind == "training" else _evaluation(job, store)
            seconds = time.perf_counter() - began
            whole = {
                "label": job.label,
                "kind": job.kind,
                "config": job.config,
                "result": record,
                "seconds": seconds,
                "environment": environment(),
            }
            store.publish(job.address, whole)
            return Outcome(job.address, "finished", seconds)
    except Interrupted as error:  # somebody stopped this worker alone: the cell is run again
        return Outcome(job.address, "lost", time.perf_counter() - began, str(error))
    except OutputError as error:
        return Outcome(job.address, "refused", time.perf_counter() - began, str(error))
    except Exception as error:  # whatever a cell does, the others go on
        text = str(error).strip() or type(error).__name__
        line = text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
        trace = traceback.format_exc()
        return Outcome(job.address, "failed", time.perf_counter() - began, line, trace)


def _training(job: Job, store: Store) -> dict[str, Any]:
    spec, data = _spec(job), _data(job, "train")
    torch.set_num_threads(spec.threads)
    if model_identity(spec) != job.config["model"]:
        raise InputError("the model's file changed while the study ran; run the study again")
    facts, seed, folder = DataFacts.of(data), int(job.words["seed"]), store.work(job.address)
    statistics = subject_statistics(spec, facts)
    recipe = spec.recipe_at(job.words["variant"], job.words["eps"], statistics)
    identity = {"cell": job.address}

    def run() -> TrainingResult:
        model = study_model(spec, facts, seed)
        done = train(model, data, recipe, out=folder, seed=seed, resume=True, identity=identity)
        if len(done.metrics) != recipe.epochs:
            raise InputError("the metrics of the epochs before the interruption are lost")
        return done

    begun = folder.exists()
    try:
        result = run()
    except (Interrupted, OutputError):
        raise
    except Exception:
        if not begun:
            raise
        # What an interrupted one left cannot be gone on with: begin afresh.
        store.discard_work(job.address)
        result = run()
    write(folder / CURVE_FILE, parquet_bytes(_curve(result.metrics)))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    last = result.metrics[-1]
    return {
        "loss": last["loss"],
        "penalty": last.get("penalty", 0.0),
        "accuracy": last["accuracy"],
        "seconds": result.seconds,
    }


def _evaluation(job: Job, store: Store) -> dict[str, Any]:
    spec, data, words = _spec(job), _data(job, "test"), job.words
    torch.set_num_threads(spec.threads)
    facts, eps, seed = DataFacts.of(data), words["eps"], int(words["seed"])
    trained = store.cell(job.config["training"])
    check_file(spec, store.record(job.config["training"]))
    model = trained_model(spec, facts, trained, words["variant"], seed, eps)
    values, statistics = spec.attacks[words["attack"]], subject_statistics(spec, facts)
    options: dict[str, Any] = {
        "batch_size": spec.batch_size,
        "seed": seed,
        "eot_samples": spec.eot_samples,
        "unfinished": store.work(job.address),
    }
    if "suite" in values:
        # The suite keeps no images: PGD shows what they look like.
        pgd, suite = spec.attack({"name": "pgd"}, eps, statistics), values["suite"]
        record = evaluate(model, data, pgd.threat, eps=[eps], suite=suite, **options)
        budget = record.budgets[0]
        clean, robust, success = record.clean, budget.robust_accuracy, budget.success
        table, notes = _worst_case(record.images), record.notes
        done = run_attack(model, _first(data), pgd, **{**options, "unfinished": None})
    else:
        attack = spec.attack(values, eps, statistics)
        done = run_attack(model, data, attack, **options)
        clean, robust, success = done.clean, done.robust_accuracy, done.success
        table, notes = done.table().rename_columns({"predictions": "prediction"}), done.notes
    folder = store.work(job.address)
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    columns = [*IMAGE_COLUMNS.names[-5:], "distance"]
    write(folder / IMAGES_FILE, parquet_bytes(table.select(columns)))
    write(folder / EXAMPLES_FILE, _examples(model, data, done, seed))
    return {
        "clean_accuracy": clean.json(),
        "robust_accuracy": robust.json(),
        "success_rate": success.json(),
        "images": len(data),
        "notes": list(notes),
    }


def _spec(job: Job) -> StudySpec:
    return StudySpec.model_validate(job.words["study"])


def _data(job: Job, split: str) -> ImageData:
    spec = _spec(job)
    data = study_data(spec.data, split, None if job.data_root is None else Path(job.data_root))
    if data.fingerprint != job.config["data"]["fingerprint"]:
        raise InputError(f"the {split} images of {spec.data.name} changed while the study ran")
    return data


def _curve(metrics: list[dict[str, Any]]) -> pa.Table:
    rows = []
    for record in metrics:
        losses = record["curve"]
        penalties = record.get("penalty_curve", itertools.repeat(0.0))
        for i, (loss, penalty) in enumerate(zip(losses, penalties, strict=False), start=1):
            rows.append((record["epoch"] - 1 + i / len(losses), loss, penalty))
    names = CURVE_COLUMNS.names[-3:]
    return pa.table({n: [row[i] for row in rows] for i, n in enumerate(names)})


def _worst_case(images: pa.Table) -> pa.Table:
    """Return the columns of an attack's table from those of a suite's."""
    label, clean = images["label"], images["clean_prediction"]
    wrong = pc.not_equal(clean, label)
    success = pc.or_(wrong, pc.not_equal(images["fooled_by"], ""))
    return images.append_column("initially_wrong", wrong).append_column("success", success)


def _first(data: ImageData) -> TensorData:
    """Return the few images that are shown as a data set of their own."""
    ids = torch.arange(min(_EXAMPLES, len(data)))
    return TensorData.of(
        data.images(ids),
        data.labels[ids],
        name=data.name,
        split=data.split,
        classes=data.classes,
        mean=data.mean,
        std=data.std,
    )


def _examples(model: nn.Module, data: ImageData, done: AttackRecord, seed: int) -> bytes:
    """Return the first images of a finished attack as it left them, as a safetensors file."""
    ids = done.ids[:_EXAMPLES]
    images = data.images(ids)
    with Guard(model, len(ids), seed=seed) as guard:
        before = guard.logits(images).argmax(1)
    tensors: dict[str, Tensor] = {
        "ids": ids,
        "images": images.cpu(),
        "adversarials": done.result.adversarials[:_EXAMPLES],
        "labels": done.labels[:_EXAMPLES],
        "before": before.cpu(),
        "after": done.result.predictions[:_EXAMPLES],
    }
    return safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})
