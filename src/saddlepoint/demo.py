"""The demo: a small CNN on digits, trained normally and adversarially, attacked at four budgets."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from saddlepoint.attacks import PGD
from saddlepoint.data import load_data
from saddlepoint.defences import AdversarialTraining, load_recipe
from saddlepoint.evaluation import Evaluation, evaluate
from saddlepoint.evaluation.record import parquet_bytes
from saddlepoint.files import write, write_json
from saddlepoint.model import Normalised
from saddlepoint.progress import Course, Progress
from saddlepoint.reports import accuracy_curve, adversarial_grid, figure_bytes
from saddlepoint.run_folders import claimed, environment
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model, save_weights

BUDGETS = (16 / 255, 32 / 255, 48 / 255, 64 / 255)
"""Digits have strong contrast: the budgets are larger than those of photographs."""
SUITE = "quick"
TITLE = "simple-cnn on digits, trained normally and adversarially"
_TRAINING_EPS = 48 / 255


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo found and where it wrote it.

    >>> DemoResult({}, {}, 355, 1.0).json()["seconds"]
    1.0
    """

    evaluations: dict[str, Evaluation]
    files: dict[str, Path]
    images: int
    seconds: float

    def json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {
            "models": {name: evaluation.json() for name, evaluation in self.evaluations.items()},
            "files": {name: str(path) for name, path in self.files.items()},
            "images": self.images,
            "seconds": self.seconds,
            "environment": environment(),
        }


def run_demo(
    out: Path,
    *,
    device: torch.device | str = "cpu",
    epochs: int = 20,
    limit: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> DemoResult:
    """Train two models, attack both at every budget, and write the figures and the record under
    `out`.

    A second run into the same folder with the same settings replaces the files by the same ones.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = run_demo(Path(folder), epochs=1, limit=8)
    ...     sorted(path.name for path in found.files.values())
    ['curve.png', 'demo.json', 'examples.png', 'images.parquet']
    """
    config = {"epochs": epochs, "limit": limit, "seed": seed, "device": str(device)}
    with claimed(out, "demo", config):
        return _run(out, device, epochs, limit, seed, progress)


def _run(
    out: Path,
    device: torch.device | str,
    epochs: int,
    limit: int | None,
    seed: int,
    progress: Progress | None,
) -> DemoResult:
    began = time.perf_counter()
    data = load_data("digits", split="train")
    tests = load_data("digits", split="test", limit=limit)
    inner = PGD(Linf(_TRAINING_EPS), steps=7)
    objectives = {"normal": None, "adversarial": AdversarialTraining(inner)}
    evaluations: dict[str, Evaluation] = {}
    models = {}
    course = Course(progress, 2 * len(objectives))
    for name, objective in objectives.items():
        recipe = load_recipe("standard" if objective is None else "adversarial")
        recipe = replace(recipe, epochs=epochs, objective=objective or recipe.objective)
        net = build_model("zoo:simple-cnn", classes=10, shape=data.shape, seed=seed)
        model = Normalised(net, data.mean, data.std).to(device)
        told = course.next(f"{name} model")
        train(model, data, recipe, seed=seed, progress=told)
        save_weights(model, out / f"{name}.safetensors")
        told = course.next(f"{name} model")
        evaluations[name] = evaluate(
            model, tests, Linf(), eps=BUDGETS, suite=SUITE, seed=seed, progress=told
        )
        models[name] = model
    shown = PGD(Linf(BUDGETS[1]))(
        models["normal"], tests.images(torch.arange(len(tests))), tests.labels, seed=seed
    )
    curve = accuracy_curve(evaluations, suite=SUITE, title=TITLE)
    files = {
        "examples": write(out / "examples.png", figure_bytes(adversarial_grid(tests, shown))),
        "curve": write(out / "curve.png", figure_bytes(curve)),
        "images": write(out / "images.parquet", parquet_bytes(_per_image(evaluations))),
        "record": out / "demo.json",
    }
    result = DemoResult(evaluations, files, len(tests), time.perf_counter() - began)
    write_json(out / "demo.json", result.json())
    return result


def _per_image(evaluations: dict[str, Evaluation]) -> pa.Table:
    tables = [
        evaluation.images.append_column("model", pa.array([name] * len(evaluation.images)))
        for name, evaluation in evaluations.items()
    ]
    return pa.concat_tables(tables)
