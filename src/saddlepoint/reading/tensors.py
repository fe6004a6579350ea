"""Torch's files, read without running code and without trusting their shapes."""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.reading.inert import stand_ins
from saddlepoint.reading.opened import check_inflated, decoding, opened, shown


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a `.safetensors` file, on the CPU; raises `InputError` for any other.

    >>> read_safetensors(Path("no-such.safetensors"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.safetensors: No such file or directory
    """
    with opened(path) as file, decoding(path, "a whole safetensors file"):
        size = file.seek(0, io.SEEK_END)
        state: dict[str, Tensor] = load_file(path)
    return {
        key: plain(value, f"{shown(key)} in {shown(path)}", size) for key, value in state.items()
    }


def read_metadata(path: Path) -> dict[str, str]:
    """Return the text that a `.safetensors` file holds beside its tensors; raises as
    `read_safetensors`.

    >>> read_metadata(Path("no-such.safetensors"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.safetensors: No such file or directory
    """
    with opened(path), decoding(path, "a whole safetensors file"), safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def read_pickled(path: Path, remedy: str) -> tuple[Any, int]:
    """Return what a `.pt` file holds, on the CPU, and the file's size; its code is never run.

    Arguments, paths and numbers of NumPy that a training saved beside its tensors come as `Inert`.
    Raises `InputError` for a file that is damaged, of another kind, inflated, or holds code; the
    `remedy` for the last is told in one line.

    >>> read_pickled(Path("no-such.pt"), "save the state dict alone")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.pt: No such file or directory
    """
    with opened(path) as file:
        size = file.seek(0, io.SEEK_END)
        try:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    declared = sum(info.file_size for info in archive.infolist())
                check_inflated(path, declared, size)
            file.seek(0)
            with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins()):
                # About old formats; an error follows where it matters.
                warnings.simplefilter("ignore")
                return torch.load(file, map_location="cpu", weights_only=True), size
        except InputError:
            raise
        except Exception as error:  # the readers of the various formats raise nearly everything
            raise _refusal(path, error, remedy) from error


def plain(tensor: Tensor, label: str, size: int) -> Tensor:
    """Return a tensor out of a file of `size` bytes, detached, where it is a plain, dense one.

    Raises `InputError` for one without values, sparse, nested, quantised, of float8, or expanded
    beyond what its file could hold.

    >>> plain(torch.zeros(1).expand(10**12), "weight", 1000)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: weight (1.0 kB) would become 4.0 TB, more than 100 times its \
size; it is refused
    """
    kind = _kind(tensor)
    if kind is not None:
        raise InputError(f"{label} is {kind}; save plain tensors of numbers")
    check_inflated(label, tensor.numel() * tensor.element_size(), size)
    return tensor.detach().resolve_conj().resolve_neg()


def _kind(tensor: Tensor) -> str | None:
    """Return what sets a tensor apart from a plain, dense one of numbers; None where nothing."""
    if type(tensor) not in (Tensor, torch.nn.Parameter, torch.nn.Buffer):
        return f"a {type(tensor).__name__}"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout != torch.strided:
        return f"a sparse tensor ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_quantized:
        return "a quantised tensor"
    if tensor.is_meta:
        return "a meta tensor, which has no values"
    if tensor.dtype not in _DTYPES:
        return f"of {str(tensor.dtype).removeprefix('torch.')}"
    return None


_DTYPES = frozenset(
    {
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
        *(torch.uint16, torch.uint32, torch.uint64, torch.complex64, torch.complex128),
    }
)


def _refusal(path: Path, error: Exception, remedy: str) -> InputError:
    text, name = str(error), shown(path)
    if isinstance(error, pickle.UnpicklingError):
        named = re.search(r"GLOBAL ([\w.]+)|Unsupported class ([\w.]+)", text)
        if named or "unrecognized function" in text:
            what = f" ({shown(named[1] or named[2])})" if named else ""
            return InputError(
                f"{name} holds pickled code{what}, which is refused and was not run;\n{remedy}"
            )
    elif "weights_only" in text:
        return InputError(
            f"{name} is a TorchScript or legacy archive, which may hold code and is refused;\n"
            f"{remedy}"
        )
    return InputError(f"{name} is not a whole PyTorch file (damaged or of another kind)")
