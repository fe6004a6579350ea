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

from saddlepoint.attacks import predict
from saddlepoint.data import FolderData, ImageData, TensorData
from saddlepoint.errors import InputError, OutputError
from saddlepoint.evaluation import AttackRecord, evaluate, run_attack
from saddlepoint.evaluation.breakdown import INITIALLY_WRONG
from saddlepoint.evaluation.record import parquet_bytes
from saddlepoint.evaluation.steps import FOLDER as PARTS
from saddlepoint.files import write
from saddlepoint.model import Guard
from saddlepoint.progress import Progress
from saddlepoint.run_folders import environment
from saddlepoint.studies.build import (
    DataFacts,
    check_code,
    model_identity,
    normalisation_of,
    placed,
    study_data,
    study_model,
    trained_model,
    training_data,
)
from saddlepoint.studies.grid import Cell
from saddlepoint.studies.job import Job, Outcome
from saddlepoint.studies.results import CURVE_COLUMNS, IMAGE_COLUMNS
from saddlepoint.studies.spec import StudySpec
from saddlepoint.studies.store import Store
from saddlepoint.studies.telling import telling
from saddlepoint.training import TEACHER, Interrupted, TrainingResult, train

CURVE_FILE, IMAGES_FILE, EXAMPLES_FILE = "curve.parquet", "images.parquet", "examples.safetensors"
_EXAMPLES = 8


def perform(job: Job) -> Outcome:
    """Do the work of a cell unless it is finished or another process does it; never raises.

    >>> import tempfile
    >>> from saddlepoint.studies.store import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Store.claim(Path(folder), {"name": "s"}, {"cells": [], "places": []})
    ...     perform(Job(folder, None, {}, Cell("training", "original", 0, None, "", {}))).status
    'failed'
    """
    began = time.perf_counter()
    cell = job.cell
    try:
        store = Store(Path(job.store))
        with store.claimed(cell.address) as mine:
            if not mine:
                return Outcome(cell.address, "busy", 0.0)
            if store.health(cell.address, thorough=False) == "finished":
                return Outcome(cell.address, "finished", 0.0)
            if not store.work(cell.address).is_dir():
                store.discard_work(cell.address)  # whatever else is in its place
            work = _training if cell.kind == "training" else _evaluation
            with telling(store.telling(cell.address)) as tell:
                record = work(job, store, tell)
            seconds = time.perf_counter() - began
            whole = {
                "label": cell.label,
                "kind": cell.kind,
                "config": cell.config,
                "result": record,
                "seconds": seconds,
                "environment": environment(),
            }
            store.publish(cell.address, whole)
            return Outcome(cell.address, "finished", seconds)
    except Interrupted as error:  # somebody stopped this worker alone: the cell is run again
        return Outcome(cell.address, "lost", time.perf_counter() - began, str(error))
    except OutputError as error:
        return Outcome(cell.address, "refused", time.perf_counter() - began, str(error))
    except Exception as error:  # whatever a cell does, the others go on
        text = str(error).strip() or type(error).__name__
        line = text if isinstance(error, InputError) else f"{type(error).__name__}: {text}"
        trace = traceback.format_exc()
        return Outcome(cell.address, "failed", time.perf_counter() - began, line, trace)


def _training(job: Job, store: Store, tell: Progress) -> dict[str, Any]:
    spec, cell, data, facts = _begun(job, "train")
    if model_identity(spec, cell.variant) != cell.config["model"]:
        raise InputError("the model's file changed while the study ran; run the study again")
    recipe = spec.recipe_at(cell.variant, cell.eps, normalisation_of(spec, facts))
    seed, folder, identity = cell.seed, store.work(cell.address), {"cell": cell.address}

    def run() -> TrainingResult:
        model = study_model(spec, facts, cell.variant, seed).to(spec.device)
        done = train(
            model,
            data,
            recipe,
            out=folder,
            seed=seed,
            resume=True,
            identity=identity,
            progress=tell,
        )
        if not done.metrics or (not done.stopped and len(done.metrics) != recipe.epochs):
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
        store.discard_work(cell.address)
        result = run()
    write(folder / CURVE_FILE, parquet_bytes(_curve(result.metrics)))
    for unneeded in ("checkpoints", TEACHER):
        shutil.rmtree(folder / unneeded, ignore_errors=True)
    last = result.metrics[-1]
    return {
        "loss": last["loss"],
        "penalty": last.get("penalty", 0.0),
        "accuracy": last["accuracy"],
        "seconds": result.seconds,
        **({"stopped": result.stopped} if result.stopped else {}),
    }


def _evaluation(job: Job, store: Store, tell: Progress) -> dict[str, Any]:
    spec, cell, data, facts = _begun(job, "test")
    eps, seed, training = cell.eps, cell.seed, cell.needs
    assert eps is not None  # as of every evaluation
    check_code(spec, cell.variant, store.record(training))
    model = trained_model(spec, facts, store.cell(training), cell.variant, seed, eps)
    model = model.to(spec.device)
    values, statistics = spec.attacks[cell.attack], normalisation_of(spec, facts)
    options: dict[str, Any] = {
        "batch_size": spec.batch_size,
        "seed": seed,
        "eot_samples": spec.eot_samples,
        "unfinished": store.work(cell.address),
        "progress": tell,
    }
    if "suite" in values:
        # The suite keeps no images: PGD shows what they look like.
        pgd, suite = spec.attack({"name": "pgd"}, eps, statistics), values["suite"]
        record = evaluate(
            model, data, pgd.threat, eps=[eps], suite=suite, diagnosis=None, **options
        )
        budget = record.budgets[0]
        clean, robust, success = record.clean, budget.robust_accuracy, budget.success
        table, notes = _worst_case(record.images), record.notes
        done = run_attack(
            model, data.first(_EXAMPLES), pgd, **{**options, "unfinished": None, "progress": None}
        )
    else:
        attack = spec.attack(values, eps, statistics)
        done = run_attack(model, data, attack, **options)
        clean, robust, success = done.clean, done.robust_accuracy, done.success
        table, notes = done.table().rename_columns({"predictions": "prediction"}), done.notes
    folder = store.work(cell.address)
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


def _begun(job: Job, split: str) -> tuple[StudySpec, Cell, TensorData | FolderData, DataFacts]:
    """Return what every cell begins with, and set the threads that are part of its address."""
    spec = StudySpec.model_validate(job.study)
    torch.set_num_threads(spec.threads)
    data = study_data(spec.data, split, None if job.data_root is None else Path(job.data_root))
    if split == "train":
        data = training_data(spec, job.cell.variant, data)
    if data.fingerprint != job.cell.config["data"]["fingerprint"]:
        raise InputError(f"the {split} images of {spec.data.name} changed while the study ran")
    return spec, job.cell, placed(spec, data), DataFacts.of(data)


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
    wrong = pc.equal(images["fooled_by"], INITIALLY_WRONG)
    success = pc.or_(wrong, pc.not_equal(images["fooled_by"], ""))
    return images.append_column("initially_wrong", wrong).append_column("success", success)


def _examples(model: nn.Module, data: ImageData, done: AttackRecord, seed: int) -> bytes:
    """Return the first images of a finished attack as it left them, as a safetensors file."""
    ids = done.ids[:_EXAMPLES]
    images = data.images(ids)
    with Guard(model, len(ids), seed=seed) as guard:
        before = predict(guard.logits(images))
    tensors: dict[str, Tensor] = {
        "ids": ids,
        "images": images.cpu(),
        "adversarials": done.result.adversarials[:_EXAMPLES],
        "labels": done.labels[:_EXAMPLES],
        "before": before.cpu(),
        "after": done.result.predictions[:_EXAMPLES],
    }
    return safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})
