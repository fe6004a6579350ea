"""A generator out of the folder of its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from saddlepoint.errors import InputError
from saddlepoint.reading import expanded, read_json, shown
from saddlepoint.reading.tensors import read_metadata
from saddlepoint.run_folders import RUN_FILE
from saddlepoint.zoo.build import build_model, is_generator
from saddlepoint.zoo.generator import Generator, as_generator
from saddlepoint.zoo.state_file import read_weights
from saddlepoint.zoo.weights import SHAPE, load_weights

_FILE = "model.safetensors"


def read_generator(path: Path | str, shape: tuple[int, ...] | None = None) -> Generator:
    """Return the generator in the folder of a training, or in its file of weights, in evaluation mode
    on the CPU; nothing in it gets a gradient.

    The architecture and its options stand in the run's record, the shape of the images in the file.

    Args:
        path: the folder, or the file in it.
        shape: (C, H, W) that its images must have; None takes any.

    Raises `InputError` where there is no such training, or its images have another shape.

    >>> read_generator("no-such-folder")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no file no-such-folder
    """
    path = expanded(path)
    path = path / _FILE if path.is_dir() else path
    file = read_weights(path)
    name, options, made = _design(path)
    with torch.random.fork_rng(devices=[]):
        net = build_model(name, classes=2, shape=made, options=options)
    generator = as_generator(net, shape)
    load_weights(generator, file)
    return generator.eval().requires_grad_(False)


def _design(path: Path) -> tuple[str, dict[str, Any], tuple[int, ...]]:
    """Return the name, the options and the images' shape of the generator in a file of weights."""
    record = path.parent / RUN_FILE
    remedy = "give the folder of a training of a generator, such as gan-mlp"
    if not record.is_file():
        raise InputError(f"{shown(path)} has no {RUN_FILE} beside it; {remedy}")
    try:
        identity = read_json(record)["config"]["identity"]
        name, options = str(identity["model"]), dict(identity.get("model_options") or {})
        shape = tuple(int(side) for side in json.loads(read_metadata(path)[SHAPE]))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{shown(path)} is of no generator; {remedy}") from None
    if not is_generator(name):
        raise InputError(f"{shown(path)} holds {name}, which makes no images; {remedy}")
    return name, options, shape
