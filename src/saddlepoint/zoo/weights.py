"""Loading and saving weights, without running code from a file and without guessing in silence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.files import fingerprint, write
from saddlepoint.model import Normalised, ReadOutput
from saddlepoint.model.anchor import constants
from saddlepoint.reading import shown
from saddlepoint.reading.tensors import read_metadata
from saddlepoint.zoo.matching import NORMALISATION, bare, match
from saddlepoint.zoo.state_file import read_state

_SAID = "normalisation"


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did: the prefix it took off, and whose normalisation the model has now.

    `normalisation` is `file` (the file's mean and std were loaded), `module` (the file has none
    and the module keeps its own) or `none` (neither has).

    >>> LoadReport(tensors=12, stripped="module.", normalisation="none").stripped
    'module.'
    """

    tensors: int
    stripped: str
    normalisation: str


def load_weights(module: nn.Module, path: Path | str) -> LoadReport:
    """Load the weights in `path` into `module`, all of them or none; see `read_state` for formats.

    Wrappings around the state dict (`state_dict`, `model` …) and prefixes before its keys
    (`module.`, `_orig_mod.`, `model.`) are taken off where that makes the keys match. A module
    with a normalisation layer (`net`, and buffers `mean` and `std`) takes a file of itself or of
    its bare network; a bare network refuses a file with normalisation, which would be lost.
    Raises `InputError` for a file that cannot be read, for missing or unexpected keys, other
    shapes, NaN and infinity; the module is then unchanged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_weights(nn.Linear(2, 3), Path(folder) / "weights.safetensors")
    ...     load_weights(nn.Linear(2, 3), path)
    LoadReport(tensors=2, stripped='', normalisation='none')
    """
    path = Path(path)
    state = read_state(path)
    target = bare(module)
    own = target.state_dict()
    found = match(own, state, path)
    # Matrices before vectors: the shape of a weight says more than that of its bias.
    for key, value in sorted(found.state.items(), key=lambda item: -item[1].ndim):
        expected = own[key]
        if key in NORMALISATION and value.numel() == expected.numel():
            found.state[key] = value = value.reshape(expected.shape)  # (C,), (1, C, 1, 1) …
        if value.is_complex() and not expected.is_complex():
            raise InputError(f"{shown(path)}: {shown(key)} is complex, but the model is real")
        if value.shape != expected.shape:
            raise _shape_error(path, key, tuple(value.shape), tuple(expected.shape))
        if (value.is_floating_point() or value.is_complex()) and not value.isfinite().all():
            raise InputError(
                f"{shown(path)}: {shown(key)} holds NaN or an infinity; the training had diverged"
            )
    # Strict but for counters of batches, which old files lack; `match` has checked the rest.
    target.load_state_dict({**own, **found.state})
    has_normalisation = set(own) >= NORMALISATION and any(key.startswith("net.") for key in own)
    source = "file" if set(found.state) >= NORMALISATION else "module"
    return LoadReport(len(found.state), found.stripped, source if has_normalisation else "none")


def outputs_in(path: Path | str, build: Callable[[int], nn.Module], least: int) -> int:
    """Return for how many outputs the weights in `path` were built.

    What `build` makes for `least` and one more differs in the shapes that depend on it; where none
    does, the model has its own count, and `least` is returned. Raises as `load_weights`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_weights(nn.Linear(2, 7), Path(folder) / "weights.safetensors")
    ...     outputs_in(path, lambda count: nn.Linear(2, count), 3)
    7
    """
    path = Path(path)
    small, large = (bare(build(count)).state_dict() for count in (least, least + 1))
    state = match(small, read_state(path), path).state
    for key, value in small.items():
        other = large.get(key, value)
        for axis, (side, longer) in enumerate(zip(value.shape, other.shape, strict=False)):
            if longer == side + 1 and key in state and state[key].ndim == value.ndim:
                found: int = max(2, int(state[key].shape[axis]) - side + least)
                return found
    return least


def save_weights(module: nn.Module, path: Path | str) -> Path:
    """Write the module's state dict to a `.safetensors` file, all of it or nothing.

    Raises `InputError` for another suffix and `OutputError` where the disk refuses.

    >>> save_weights(nn.Linear(2, 3), Path("weights.pt"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: weights.pt: weights are saved as .safetensors; name the file so
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: weights are saved as .safetensors; name the file so")
    # Copies, since tied weights share memory and the format refuses that.
    state = {
        key: value.detach().cpu().contiguous().clone()
        for key, value in bare(module).state_dict().items()
    }
    inside = any(isinstance(each, Normalised) for each in module.modules())
    said = {_SAID: "inside" if inside else "none"}
    return write(path, safetensors.torch.save(state, metadata=said))


def normalisation_of(path: Path | str) -> str | None:
    """Return what `save_weights` wrote of the normalisation, `inside` or `none`; None for a file
    of another.

    >>> normalisation_of(Path("weights.pt"))
    """
    path = Path(path)
    if path.suffix != ".safetensors" or not path.exists():
        return None
    said = read_metadata(path).get(_SAID)
    return said if said in ("inside", "none") else None


def weights_fingerprint(module: nn.Module) -> str:
    """Return 16 hexadecimal digits of every parameter and buffer, the same on every device.

    >>> layer = nn.Linear(2, 3)
    >>> weights_fingerprint(layer) == weights_fingerprint(torch.nn.Sequential(layer)[0])
    True
    """
    net = bare(module)
    described = {key: _described(value) for key, value in net.state_dict().items()}
    # `torch.jit.freeze` makes constants of the weights, and `state_dict` knows none of them.
    frozen = {f"constant {i}": _described(v) for i, v in enumerate(constants(net))}
    # Another output of the same weights is another model.
    read = {
        f"output {name}": str(layer.output)
        for name, layer in net.named_modules()
        if isinstance(layer, ReadOutput)
    }
    return fingerprint({**described, **frozen, **read})


def _described(value: object) -> object:
    """Return a tensor's type, shape and digest, and what else a quantised layer keeps in its state."""
    if isinstance(value, list | tuple):
        return [_described(each) for each in value]
    if not isinstance(value, Tensor):
        return str(value)
    if value.is_quantized:
        return [str(value.qscheme()), _described(value.dequantize())]
    raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return [str(value.dtype), list(value.shape), hashlib.sha256(raw.data).hexdigest()]


def _shape_error(
    path: Path, key: str, seen: tuple[int, ...], expected: tuple[int, ...]
) -> InputError:
    hint = "is it another architecture?"
    if seen and expected and seen[1:] == expected[1:]:
        hint = f"was it built for {seen[0]} classes, not {expected[0]}?"
    elif len(seen) == 4 and len(expected) == 4 and seen[1] != expected[1] and seen[1] in (1, 3):
        hint = f"was it built for {seen[1]} channels, not {expected[1]}?"
    return InputError(
        f"{shown(path)}: {shown(key)} is {seen}, but the model needs {expected}; {hint}"
    )
