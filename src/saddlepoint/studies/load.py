"""Reading a study's store: tables through DuckDB, straight from the files of its cells."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import duckdb
import pyarrow as pa
from pydantic import ValidationError
from torch import Tensor, nn

from saddlepoint.errors import InputError, unknown
from saddlepoint.reading import decoding, shown
from saddlepoint.reading.tensors import read_safetensors
from saddlepoint.studies.build import DataFacts, check_code, trained_model
from saddlepoint.studies.results import (
    CURVE_COLUMNS,
    EPOCH_COLUMNS,
    EVALUATION_COLUMNS,
    IMAGE_COLUMNS,
    TRAINING_COLUMNS,
    StudyResults,
)
from saddlepoint.studies.spec import StudySpec
from saddlepoint.studies.store import CELL_FILE, Store
from saddlepoint.studies.work import CURVE_FILE, EXAMPLES_FILE, IMAGES_FILE
from saddlepoint.training.metrics import METRICS_FILE

Table = Literal["evaluations", "trainings", "curves", "epochs", "images"]
_TRAINED = pa.schema(
    {
        "place": pa.int64(),
        "variant": pa.string(),
        "seed": pa.int64(),
        "training": pa.string(),
        "eps": pa.float64(),
    }
)
_SHARE = "STRUCT(value DOUBLE)"
_ADDRESS = "regexp_extract(filename, '([0-9a-f]{16})/[^/]*$', 1)"
_SCHEMAS = {
    "evaluations": EVALUATION_COLUMNS,
    "trainings": TRAINING_COLUMNS,
    "curves": CURVE_COLUMNS,
    "epochs": EPOCH_COLUMNS,
    "images": IMAGE_COLUMNS,
}
_QUERIES = {
    "evaluations": f"""
        SELECT p.variant, p.seed, p.eps, p.attack, r.result.images AS images,
               r.result.clean_accuracy.value AS clean_accuracy,
               r.result.robust_accuracy.value AS robust_accuracy,
               r.result.success_rate.value AS success_rate,
               r.seconds, p.training, p.evaluation AS address
        FROM read_json($files, columns = {{address: 'VARCHAR', seconds: 'DOUBLE', result:
               'STRUCT(images BIGINT, clean_accuracy {_SHARE}, robust_accuracy {_SHARE},
                success_rate {_SHARE})'}}) r
        JOIN places p ON p.evaluation = r.address ORDER BY p.place""",
    "trainings": """
        SELECT p.variant, p.seed, p.eps, r.result.loss AS loss, r.result.penalty AS penalty,
               r.result.accuracy AS accuracy, r.seconds, p.training AS address
        FROM read_json($files, columns = {address: 'VARCHAR', seconds: 'DOUBLE', result:
               'STRUCT(loss DOUBLE, penalty DOUBLE, accuracy DOUBLE)'}) r
        JOIN trained p ON p.training = r.address ORDER BY p.place""",
    "curves": f"""
        SELECT p.variant, p.seed, p.eps, r.epoch, r.loss, r.penalty
        FROM read_parquet($files, filename = true) r
        JOIN trained p ON p.training = {_ADDRESS} ORDER BY p.place, r.epoch""",
    "epochs": f"""
        SELECT p.variant, p.seed, p.eps, r.epoch, r.loss, r.accuracy, r.validation_accuracy,
               r.watched_accuracy, r.seconds
        FROM read_json($files, format = 'newline_delimited', filename = true, columns = {{
               epoch: 'BIGINT', loss: 'DOUBLE', accuracy: 'DOUBLE', validation_accuracy: 'DOUBLE',
               watched_accuracy: 'DOUBLE', seconds: 'DOUBLE'}}) r
        JOIN trained p ON p.training = {_ADDRESS} ORDER BY p.place, r.epoch""",
    "images": f"""
        SELECT p.variant, p.seed, p.eps, p.attack, r.id, r.label, r.prediction,
               r.initially_wrong, r.success
        FROM read_parquet($files, filename = true) r
        JOIN places p ON p.evaluation = {_ADDRESS} ORDER BY p.place, r.id""",
}


def load(folder: Path | str, table: Table = "evaluations") -> duckdb.DuckDBPyRelation:
    """Return a table of a study's finished cells as a DuckDB relation.

    Args:
        folder: of the study.
        table: "evaluations", a row per variant, seed, eps and attack; "trainings"; "curves", the
            training loss; "epochs", the metrics of every epoch; or "images", a row per image of
            every evaluation.

    `.df()` makes it a pandas table, `.to_arrow_table()` an Arrow one, `.filter(…)` and
    `.aggregate(…)` go on in SQL. Raises `InputError` where the folder holds no study.

    >>> load("no-such-folder")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such-folder/study.json: No such file or directory
    """
    if table not in get_args(Table):
        raise unknown("table", table, get_args(Table))
    store = Store.finished(Path(folder))
    cells = {cell["address"] for cell in store.plan["cells"]}
    return _table(store, table, [a for a in sorted(cells) if store.health(a) == "finished"])


def _variant(spec: StudySpec, name: str) -> dict[str, Any]:
    """Return what a variant is, and only where it is of its own, the model and the limit."""
    model, limit = spec.model_of(name), spec.train_limit_of(name)
    return {
        "recipe": spec.recipe_of(name),
        **({} if model == spec.model else {"model": model}),
        **({} if limit is None else {"train_limit": limit}),
    }


def load_results(folder: Path | str) -> StudyResults:
    """Return all that a study has found so far, and what is missing; see `StudyResults`.

    >>> load_results("no-such-folder")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such-folder/study.json: No such file or directory
    """
    store = Store.finished(Path(folder))
    try:
        spec = StudySpec.model_validate(store.study)
        facts = DataFacts(**{key: tuple(value) for key, value in store.plan["data"].items()})
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{shown(folder)}/study.json is damaged; run the study again") from error
    health = {cell["address"]: store.health(cell["address"]) for cell in store.plan["cells"]}
    labels = {cell["address"]: cell["label"] for cell in store.plan["cells"]}
    finished = sorted(address for address, state in health.items() if state == "finished")
    failures = {a: store.failure(a) for a, state in health.items() if state != "finished"}
    failed = {labels[a]: error for a, error in failures.items() if error is not None}
    missing = [labels[a] for a, state in health.items() if state == "missing"]
    addresses = {
        (p["variant"], p["seed"], p["eps"], p["attack"]): (p["training"], p["evaluation"])
        for p in store.plan["places"]
    }

    def model(variant: str, seed: int, eps: float) -> nn.Module:
        training, _ = _at(addresses, (variant, seed, eps, next(iter(spec.attacks))))
        if health[training] != "finished":
            raise InputError(f"the model of {labels[training]} is not in the store")
        with decoding(store.cell(training), "a whole cell"):
            check_code(spec, variant, store.record(training))
        return trained_model(spec, facts, store.cell(training), variant, seed, eps)

    def examples(variant: str, seed: int, eps: float, attack: str) -> dict[str, Tensor]:
        _, evaluation = _at(addresses, (variant, seed, eps, attack))
        if health[evaluation] != "finished":
            raise InputError(f"the images of {labels[evaluation]} are not in the store")
        return read_safetensors(store.cell(evaluation) / EXAMPLES_FILE)

    tables = {
        name: _table(store, name, finished).to_arrow_table().cast(schema)
        for name, schema in _SCHEMAS.items()
    }
    variants = {name: _variant(spec, name) for name in spec.variants}
    return StudyResults(
        name=spec.name,
        title=spec.title,
        config={**spec.values(), "variants": variants},
        variants=tuple(spec.variants),
        reference=spec.reference,
        seeds=spec.seeds,
        budgets=spec.eps,
        attacks=tuple(spec.attacks),
        threat=f"{spec.threat.norm.title()}, {spec.threat.space}",
        classes=facts.classes,
        minimum_clean_accuracy=spec.minimum_clean_accuracy,
        missing=tuple(label for label in missing if label not in failed),
        failed=failed,
        damaged=tuple(labels[a] for a, state in health.items() if state == "damaged"),
        model=model,
        examples=examples,
        **tables,
    )


def _table(store: Store, table: str, finished: Sequence[str]) -> duckdb.DuckDBPyRelation:
    kind = {cell["address"]: cell["kind"] for cell in store.plan["cells"]}
    wanted = "training" if table in ("trainings", "curves", "epochs") else "evaluation"
    names = {"curves": CURVE_FILE, "epochs": METRICS_FILE, "images": IMAGES_FILE}
    name = names.get(table, CELL_FILE)
    # DuckDB takes every path for a pattern.
    files = [glob.escape(str(store.cell(a) / name)) for a in finished if kind[a] == wanted]
    connection = duckdb.connect()
    if not files:
        connection.register("nothing", _SCHEMAS[table].empty_table())
        return connection.sql("SELECT * FROM nothing")
    places = [{"place": i, **place} for i, place in enumerate(store.plan["places"])]
    connection.register("places", pa.Table.from_pylist(places))
    connection.register("trained", pa.Table.from_pylist(_trained(store), _TRAINED))
    # Materialised: a relation reads its files when it is asked, and a cell may be set aside then.
    with decoding(store.root, "a whole study"):
        connection.execute(f"CREATE TABLE found AS {_QUERIES[table]}", {"files": files})
    return connection.sql("SELECT * FROM found")


def _trained(store: Store) -> list[dict[str, object]]:
    """Return a row per variant, seed and training; eps is null where it does not depend on it."""
    eps = {cell["address"]: cell["eps"] for cell in store.plan["cells"]}
    found: dict[tuple[object, ...], dict[str, object]] = {}
    for number, place in enumerate(store.plan["places"]):
        row = {name: place[name] for name in ("variant", "seed", "training")}
        key = tuple(row.values())
        found.setdefault(key, {"place": number, **row, "eps": eps[place["training"]]})
    return list(found.values())


def _at(
    addresses: dict[tuple[str, int, float, str], tuple[str, str]],
    place: tuple[str, int, float, str],
) -> tuple[str, str]:
    if place not in addresses:
        raise InputError(f"the study has no {place}")
    return addresses[place]
