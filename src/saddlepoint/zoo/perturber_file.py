"""The file of a trained perturber: its weights, and what it was trained for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.model.wrapped import bare
from saddlepoint.reading import expanded, file_digest, shown
from saddlepoint.reading.tensors import read_metadata
from saddlepoint.zoo.perturber import PERTURBERS, ConstantPerturber, Perturber
from saddlepoint.zoo.state_file import read_weights
from saddlepoint.zoo.weights import load_weights

_SAID, _DESIGN = "advgan", "perturber"
_FILE = "model.safetensors"


@dataclass(frozen=True)
class TrainedFor:
    """What a perturber was trained for, and what that cost.

    Attributes:
        norm, eps: of the budget.
        target: the fingerprint of the network that it is to fool.
        target_passes: forward and backward passes of one image through the target in training.
        perturber_passes: the same of the perturber.

    >>> TrainedFor("linf", 0.1, "0" * 16, 200, 200).eps
    0.1
    """

    norm: str
    eps: float
    target: str
    target_passes: int
    perturber_passes: int


@dataclass(frozen=True, eq=False)
class PerturberFile:
    """A perturber that was read, what it was trained for, and the fingerprint of its file.

    >>> made = PerturberFile(ConstantPerturber(), TrainedFor("linf", 0.1, "", 0, 0), "0" * 16)
    >>> made.trained.norm
    'linf'
    """

    perturber: Perturber | ConstantPerturber
    trained: TrainedFor
    fingerprint: str


def perturber_metadata(perturber: nn.Module, trained: TrainedFor) -> dict[str, str]:
    """Return what a file of weights says besides, so that `read_perturber` can read it.

    >>> sorted(perturber_metadata(ConstantPerturber(1, 8), TrainedFor("linf", 0.1, "", 0, 0)))
    ['advgan', 'perturber']
    """
    net = as_perturber(perturber)
    name = next(key for key, kind in PERTURBERS.items() if type(net) is kind)
    design = {"name": name, "shape": list(net.shape), "options": net.options}
    return {_SAID: json.dumps(asdict(trained)), _DESIGN: json.dumps(design)}


def as_perturber(
    model: nn.Module, shape: tuple[int, ...] | None = None
) -> Perturber | ConstantPerturber:
    """Return the perturber that a model is, under what wraps it.

    Raises `InputError` where it is none, or is for images of another shape than `shape` (C, H, W).

    >>> as_perturber(nn.Linear(2, 2))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: Linear makes no perturbations; give --model perturber or ...
    """
    net = bare(model)
    if not isinstance(net, Perturber | ConstantPerturber):
        raise InputError(
            f"{type(net).__name__} makes no perturbations; give --model perturber or"
            " --model constant-perturber"
        )
    if shape is not None and net.shape != tuple(shape):
        raise InputError(
            f"the perturber is for images of {net.shape}, these have {tuple(shape)}; train one for"
            " them"
        )
    return net


def read_perturber(path: Path | str) -> PerturberFile:
    """Return the perturber in a file, or in the folder of a training, in evaluation mode on the CPU.

    Raises `InputError` for a file that is missing, damaged, or of another network.

    >>> read_perturber("no-such.safetensors")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no file no-such.safetensors
    """
    path = expanded(path)
    path = path / _FILE if path.is_dir() else path
    file = read_weights(path)
    said = read_metadata(path) if path.suffix == ".safetensors" else {}
    try:
        trained = TrainedFor(**json.loads(said[_SAID]))
        with torch.random.fork_rng(devices=[]):
            perturber = _built(json.loads(said[_DESIGN]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{shown(path)} says no perturber in it; give what `saddlepoint train --objective"
            " advgan` has written"
        ) from None
    load_weights(perturber, file)
    return PerturberFile(perturber.eval().requires_grad_(False), trained, file_digest(path))


def _built(design: dict[str, Any]) -> Perturber | ConstantPerturber:
    channels, *size = (int(each) for each in design["shape"])
    kind = PERTURBERS[design["name"]]
    return kind(channels, (size[0], size[1]), **design["options"])
