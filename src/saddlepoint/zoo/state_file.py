"""Reading a state dict from a file, never running code that the file may hold."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.files import reason

_PICKLED = (".pt", ".pth", ".ckpt", ".bin")
_NESTS = ("state_dict", "model_state_dict", "model", "net", "ema")


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a `.safetensors`, `.pt`, `.pth`, `.ckpt` or `.bin` file, on the CPU.

    A state dict inside a checkpoint, under `state_dict`, `model_state_dict`, `model`, `net` or
    `ema`, is taken out. Pickled code is refused, never run. Raises `InputError` for a file that is
    missing, damaged, of another kind, or holds anything else.

    >>> read_state(Path("no-such.pt"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no file no-such.pt
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the file of weights in it")
    if not path.exists():
        raise InputError(f"no file {path}")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    if path.suffix not in _PICKLED:
        raise InputError(
            f"{path}: unknown kind of weights; give .safetensors, {', '.join(_PICKLED)}"
        )
    return _unwrapped(_unpickled(path), path)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is not a whole safetensors file: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from error
    if not state:
        raise InputError(f"{path} holds no tensors")
    return state


def _unpickled(path: Path) -> Any:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats; an error follows where it matters
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers of the various formats raise nearly everything
        raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> InputError:
    remedy = "save the state dict alone, best as .safetensors"
    text = str(error)
    if isinstance(error, pickle.UnpicklingError):
        named = re.search(r"GLOBAL ([\w.]+)|Unsupported class ([\w.]+)", text)
        if named or "unrecognized function" in text:
            what = f" ({named[1] or named[2]})" if named else ""
            return InputError(
                f"{path} holds pickled code{what}, which is refused and was not run;\n{remedy}"
            )
    elif "weights_only" in text:
        return InputError(
            f"{path} is a TorchScript or legacy archive, which may hold code and is refused;\n"
            f"{remedy}"
        )
    return InputError(f"{path} is not a whole PyTorch file (damaged or of another kind)")


def _unwrapped(value: Any, path: Path) -> dict[str, Tensor]:
    for _ in range(4):  # a checkpoint of a checkpoint, and no deeper
        if not isinstance(value, Mapping):
            raise InputError(
                f"{path} holds a {type(value).__name__}, not a state dict; save model.state_dict()"
            )
        if value and all(isinstance(each, Tensor) for each in value.values()):
            return {str(key): each for key, each in value.items()}
        nest = next((key for key in _NESTS if isinstance(value.get(key), Mapping)), None)
        if nest is None:
            break
        value = value[nest]
    keys = ", ".join(str(key) for key in list(value)[:5]) or "nothing"
    raise InputError(f"{path} holds {keys}, and no state dict of tensors; save model.state_dict()")
