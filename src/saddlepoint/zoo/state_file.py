"""Reading a state dict from a file, never running code that the file may hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.reading import shown
from saddlepoint.reading.tensors import plain, read_pickled, read_safetensors

_PICKLED = (".pt", ".pth", ".ckpt", ".bin")
_NESTS = ("state_dict", "model_state_dict", "model", "net", "ema")


def read_state(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a `.safetensors`, `.pt`, `.pth`, `.ckpt` or `.bin` file, on the CPU.

    A state dict inside a checkpoint, under `state_dict`, `model_state_dict`, `model`, `net` or
    `ema`, is taken out. Pickled code is refused, never run. Raises `InputError` for a file that is
    missing, damaged, of another kind, or holds anything else.

    >>> read_state(Path("no-such.pt"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no file no-such.pt
    """
    path = Path(path)
    name = shown(path)
    if path.is_dir():
        raise InputError(f"{name} is a folder; give the file of weights in it")
    if not path.exists():
        raise InputError(f"no file {name}")
    if path.suffix == ".safetensors":
        state = read_safetensors(path)
        if not state:
            raise InputError(f"{name} holds no tensors")
        return state
    if path.suffix not in _PICKLED:
        raise InputError(
            f"{name}: unknown kind of weights; give .safetensors, {', '.join(_PICKLED)}"
        )
    value, size = read_pickled(path, "save the state dict alone, best as .safetensors")
    state = _unwrapped(value, name)
    return {key: plain(each, f"{shown(key)} in {name}", size) for key, each in state.items()}


def _unwrapped(value: Any, name: str) -> dict[str, Tensor]:
    for _ in range(4):  # a checkpoint of a checkpoint, and no deeper
        if not isinstance(value, Mapping):
            raise InputError(
                f"{name} holds a {type(value).__name__}, not a state dict; save model.state_dict()"
            )
        if value and all(isinstance(each, Tensor) for each in value.values()):
            return {str(key): each for key, each in value.items()}
        nest = next((key for key in _NESTS if isinstance(value.get(key), Mapping)), None)
        if nest is None:
            break
        value = value[nest]
    keys = ", ".join(shown(key) for key in list(value)[:5]) or "nothing"
    raise InputError(f"{name} holds {keys}, and no state dict of tensors; save model.state_dict()")
