"""Reading state dicts from a file, never running code that the file may hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.reading import expanded, shown
from saddlepoint.reading.formats import weights_format
from saddlepoint.reading.tensors import plain, read_metadata, read_pickled, read_safetensors

_NAMES = (".pt", ".pth", ".th", ".ckpt", ".bin", ".tar", ".pkl")
_NESTS = ("state_dict", "model_state_dict", "model", "net", "ema")
_SAID = "normalisation"
_DEEP = 4  # a checkpoint of a checkpoint of …


@dataclass(frozen=True)
class WeightsFile:
    """What a file of weights holds: its state dicts by where they stand in it, the likeliest
    first.

    Attributes:
        path: the file.
        parts: `""` is the file itself, `"state_dict"` a mapping of that name in it.
        said: what `save_weights` wrote of the normalisation: `inside`, `none`, or None in a file of
            another.

    >>> WeightsFile(Path("a.pt"), {}).said
    """

    path: Path
    parts: Mapping[str, Mapping[str, Tensor]]
    said: str | None = None


def read_weights(path: Path | str) -> WeightsFile:
    """Return the state dicts in a file, on the CPU; its format is known by its content.

    That is safetensors, or what `torch.save` wrote, in its present form or the one before, under
    any name. State dicts in a checkpoint are found wherever they stand in its mappings. Pickled
    code is refused, never run. Raises `InputError` for a file that is missing, damaged, of another
    kind, or holds anything else.

    >>> read_weights("no-such.pt")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no file no-such.pt
    """
    path = expanded(path)
    name = shown(path)
    if path.is_dir():
        raise InputError(f"{name} is a folder; give the file of weights in it")
    if not path.exists() and not path.is_symlink():
        raise InputError(f"no file {name}")
    kind = weights_format(path)
    if kind is None and path.suffix not in (*_NAMES, ".safetensors"):
        raise InputError(
            f"{name}: unknown kind of weights; give a file of safetensors or of torch.save"
        )
    if kind == "safetensors" or (kind is None and path.suffix == ".safetensors"):
        state = read_safetensors(path)
        if not state:
            raise InputError(f"{name} holds no tensors")
        said = read_metadata(path).get(_SAID)
        return WeightsFile(path, {"": state}, said if said in ("inside", "none") else None)
    value, size = read_pickled(path, "save the state dict alone, best as .safetensors")
    found = {
        part: {key: plain(each, f"{shown(key)} in {name}", size) for key, each in state.items()}
        for part, state in _state_dicts(value, name).items()
    }
    return WeightsFile(path, found)


def read_state(path: Path | str) -> dict[str, Tensor]:
    """Return the likeliest state dict in a file; raises as `read_weights`.

    Of several it is that under `state_dict`, `model_state_dict`, `model`, `net` or `ema`.

    >>> read_state("no-such.pt")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no file no-such.pt
    """
    return dict(next(iter(read_weights(path).parts.values())))


def _state_dicts(value: Any, name: str) -> dict[str, Mapping[str, Tensor]]:
    if not isinstance(value, Mapping):
        raise InputError(
            f"{name} holds a {type(value).__name__}, not a state dict; save model.state_dict()"
        )
    found = dict(_walk(value, "", _DEEP, set()))
    if not found:
        keys = ", ".join(shown(key) for key in list(value)[:5]) or "nothing"
        raise InputError(
            f"{name} holds {keys}, and no state dict of tensors; save model.state_dict()"
        )
    return found


def _walk(
    value: Mapping[Any, Any], where: str, levels: int, seen: set[int]
) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if value and all(isinstance(each, Tensor) for each in value.values()):
        # Numbered tensors are an optimiser's.
        if all(isinstance(key, str) for key in value):
            yield where, value
        return
    names = [key for key, each in value.items() if isinstance(each, Mapping)]
    for key in sorted(names, key=lambda key: _NESTS.index(key) if key in _NESTS else len(_NESTS)):
        if levels and isinstance(key, str):
            yield from _walk(value[key], f"{where}.{key}" if where else key, levels - 1, seen)
