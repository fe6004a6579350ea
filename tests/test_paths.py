"""Wherever a path is meant, its text will do."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
import torch
from small import digits, trained
from torch import nn

import saddlepoint
from saddlepoint.attacks import FGSM
from saddlepoint.evaluation import (
    AttackRecord,
    Evaluation,
    evaluate,
    read_warm_start,
    read_worst,
    run_attack,
)
from saddlepoint.threat import Linf
from saddlepoint.training import latest_checkpoint, read_metrics
from saddlepoint.zoo import load_weights, save_weights

INSIDE = ("cli", "reading", "plugins")
"""Rooms whose functions are handed paths by others of ours."""


def callables():
    for found in pkgutil.iter_modules(saddlepoint.__path__, "saddlepoint."):
        if found.ispkg and found.name.rpartition(".")[2] not in INSIDE:
            module = importlib.import_module(found.name)
            for value in (getattr(module, name) for name in module.__all__):
                if inspect.isfunction(value):
                    yield value
                elif inspect.isclass(value):
                    methods = inspect.getmembers(value, inspect.isroutine)
                    yield from (f for name, f in methods if not name.startswith("_"))


def test_no_public_function_insists_on_a_path():
    insist = []
    for function in callables():
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # a base class's of another language
            continue
        for each in parameters:
            kind = str(each.annotation)
            if kind in ("Path", "Path | None") and function.__qualname__ != "DataSource.read":
                insist.append(f"{function.__qualname__}: {each.name}")
    assert insist == []


def test_texts_are_taken(tmp_path):
    out, data = str(tmp_path / "run"), digits(limit=20)
    record = evaluate(trained(), data, "Linf", eps=0.1, suite="quick", out=out)
    assert Evaluation.load(out).images.equals(record.images)
    record.save(str(tmp_path / "copy"))
    attacked = run_attack(trained(), data, FGSM(Linf(0.1)), out=f"{out}-attack")
    assert AttackRecord.load(f"{out}-attack").clean == attacked.clean
    layer, other = nn.Linear(2, 2), nn.Linear(2, 2)
    load_weights(other, save_weights(layer, str(tmp_path / "weights.safetensors")).as_posix())
    assert torch.equal(layer.weight, other.weight)
    assert read_metrics(out) == []
    assert read_worst(out) is not None
    assert read_warm_start(out).source == out
    with pytest.raises(saddlepoint.errors.InputError):
        load_weights(other, out)
    assert latest_checkpoint(out) is None
