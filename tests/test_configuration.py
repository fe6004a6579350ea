"""A configuration is JSON that tells two runs apart and says in what they differ."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
from types import MappingProxyType

import numpy as np
import torch
from torch import nn

from saddlepoint.configuration import configuration, differences


@dataclasses.dataclass(frozen=True)
class Inner:
    eps: float = 0.5
    names: tuple[str, ...] = ("a", "b")


class Penalty:
    def __init__(self, beta):
        self.beta = beta
        self._cache = object()

    def __call__(self, model):
        return 0.0


class ModulePenalty(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power


def a_function():
    pass


def test_everything_becomes_json_and_comes_back_equal():
    value = {
        "inner": Inner(),
        "proxy": MappingProxyType({1: 2}),
        "infinite": [float("inf"), float("nan")],
        "array": np.arange(3),
        "tensor": torch.ones(2),
        "number": np.float32(0.5),
        "set": {"b", "a"},
        "function": a_function,
        "type": nn.Linear,
        "dtype": torch.float32,
        "none": None,
    }
    told = configuration(value)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["inner"] == {"type": "Inner", "eps": 0.5, "names": ["a", "b"]}
    assert told["infinite"] == ["inf", "nan"]
    assert told["array"] == [0, 1, 2]
    assert told["set"] == ["a", "b"]
    assert told["function"].endswith("test_configuration.a_function")
    assert told["type"] == "torch.nn.modules.linear.Linear"


def test_callables_with_settings_are_told_apart():
    assert configuration(Penalty(1.0)) == configuration(Penalty(1.0)) != configuration(Penalty(2.0))
    assert configuration(ModulePenalty(2)) != configuration(ModulePenalty(3))
    assert configuration(ModulePenalty(2).eval()) == configuration(ModulePenalty(2))
    first, second = (functools.partial(a_function, width=width) for width in (1, 2))
    assert configuration(first) != configuration(second)


def test_a_description_does_not_depend_on_the_process():
    code = "from saddlepoint.configuration import configuration; print(configuration({'x', 'y', 'z', 'w'}))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


def test_differences_name_the_innermost_value():
    before = {"a": {"b": [1, {"c": 2}], "d": [1, 2]}, "gone": 1, "same": 0}
    now = {"a": {"b": [1, {"c": 3}], "d": [1]}, "new": None, "same": 0}
    assert differences(before, now) == [
        "a.b[1].c was 2, is now 3",
        "a.d was [1, 2], is now [1]",
        "gone was 1, is now absent",
        "new was absent, is now None",
    ]
    assert differences(before, before) == []


def test_long_values_are_cut_and_objects_named_by_their_type():
    [line] = differences({"x": "a" * 200}, {"x": {"type": "PGD", "steps": 20}})
    assert line.endswith("..., is now PGD")
    assert len(line) < 100
