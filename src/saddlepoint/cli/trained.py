"""What is told of a training that has ended, and its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saddlepoint.cli.console import command_line, result, table

if TYPE_CHECKING:
    from saddlepoint.defences import Recipe
    from saddlepoint.training import TrainingResult


@dataclass(frozen=True, eq=False)
class Told:
    """What a training was of: the model, the data, the folder, the recipe, and what else its record
    says.
    """

    model: str
    data: str
    out: Path
    plan: Recipe
    more: Mapping[str, Any] = field(default_factory=dict)


def tell_trained(trained: TrainingResult, told: Told, as_json: bool) -> None:
    """Write the page of a training, and print its last epoch."""
    from saddlepoint.objectives import is_classification
    from saddlepoint.reports.page.document import PAGE
    from saddlepoint.reports.training import training_document
    from saddlepoint.training import BEST_FILE, WEIGHTS_FILE, counted

    out, plan = told.out, told.plan
    page = training_document(trained.metrics, out, name=told.model, command=command_line())
    page.save(out / PAGE)
    last = trained.metrics[-1] if trained.metrics else {}  # its file may have been deleted
    record = {
        "weights": str(out / WEIGHTS_FILE),
        "model": told.model,
        **told.more,
        "data": told.data,
        "epochs": plan.epochs,
        "loss": last.get("loss"),
        **(
            dict.fromkeys(("accuracy", "test_accuracy"))
            if is_classification(plan.objective)
            else {}
        ),
        **counted(last),
        "seconds": trained.seconds,
        **({"stopped": trained.stopped} if trained.stopped else {}),
        **({"best": str(out / BEST_FILE)} if trained.best is not None else {}),
    }
    result(record, as_json, lambda: _show(record, counted(last), Path(out)))


def _show(record: dict[str, object], measured: dict[str, float], out: Path) -> None:
    loss = "–" if record["loss"] is None else f"{record['loss']:.4f}"
    told = {
        key.replace("_", " "): f"{value:.2%}" if key.endswith("accuracy") else f"{value:.4f}"
        for key, value in measured.items()
    }
    headings = ["accuracy in training" if key == "accuracy" else key for key in told]
    table(
        ("epochs", "loss", *headings, "seconds"),
        [(str(record["epochs"]), loss, *told.values(), f"{record['seconds']:.1f}")],
    )
    print(
        f"weights {record['weights']}\nmetrics {out / 'metrics.jsonl'}\npage {out / 'report.html'}"
    )
    for name, words in {"best": "best of validation", "stopped": "stopped early:"}.items():
        if name in record:
            print(f"{words} {record[name]}")
