"""Loading and saving weights, without running code from a file and without guessing in silence."""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.files import fingerprint, write
from saddlepoint.model import Normalised, Preprocessed, ReadOutput, TenCrop
from saddlepoint.model.anchor import constants
from saddlepoint.model.wrapped import bare, plain_name, plain_state
from saddlepoint.reading import expanded, shown
from saddlepoint.zoo.generator import Generator
from saddlepoint.zoo.matching import NORMALISATION, Matched, match
from saddlepoint.zoo.nearest import near_architectures
from saddlepoint.zoo.normalisers import normalisers
from saddlepoint.zoo.state_file import WeightsFile, read_weights
from saddlepoint.zoo.tables import resizing_hint

_SAID = "normalisation"
SHAPE = "shape"
"""What a file says of the images that a generator in it makes."""
Source = Path | str | WeightsFile


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did: the prefix it took off, and whose normalisation the model has now.

    `normalisation` is `file` (the file's mean and std were loaded), `module` (the file has none
    and the module keeps its own) or `none` (neither has). `renamed` are the keys of the module and
    of the file where names differ, and `left_out` those of the file that are not of the network.

    >>> LoadReport(tensors=12, stripped="module.", normalisation="none").stripped
    'module.'
    """

    tensors: int
    stripped: str
    normalisation: str
    renamed: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever loads the file should know."""
        found = []
        if self.renamed:
            pairs = ", ".join(f"{own} ← {shown(key)}" for own, key in self.renamed[:2])
            found.append(
                f"{len(self.renamed)} tensors matched by shape and order: {pairs} …;"
                " check that the clean accuracy is the network's"
            )
        if self.left_out:
            names = ", ".join(shown(key) for key in self.left_out[:3])
            more = ", …" if len(self.left_out) > 3 else ""
            found.append(f"{len(self.left_out)} tensors are not of the model: {names}{more}")
        return tuple(found)


def load_weights(module: nn.Module, path: Source, *, part: str | None = None) -> LoadReport:
    """Load the weights in `path` into `module`, all of them or none; see `read_weights` for formats.

    Wrappings around the state dict (`state_dict`, `model` …) and prefixes before its keys
    (`module.`, `_orig_mod.`, `model.` …) are taken off where that makes the keys match. Where names
    differ but the architecture is the same, tensors are matched by shape and order, which a warning
    tells, and refused where that is ambiguous. A module with a normalisation inside takes a file of
    itself or of its bare network; a bare network refuses a file with normalisation, which would be
    lost. `part` names the network in a file of several, for instance `ema`.
    Raises `InputError` for a file that cannot be read, for missing or unexpected keys, other
    shapes, NaN and infinity; the module is then unchanged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_weights(nn.Linear(2, 3), Path(folder) / "weights.safetensors")
    ...     load_weights(nn.Linear(2, 3), path).tensors
    2
    """
    file = path if isinstance(path, WeightsFile) else read_weights(path)
    report = load_matched(module, match(plain_state(module), file, part), file)
    if report.renamed:
        warnings.warn(f"{shown(file.path)}: {report.notes[0]}", stacklevel=2)
    return report


def load_matched(module: nn.Module, found: Matched, file: WeightsFile) -> LoadReport:
    """Load tensors that were matched with `module` into it, all of them or none, without a warning.

    Raises as `load_weights`.

    >>> layer = nn.Linear(2, 3)
    >>> file = WeightsFile(Path("a.pt"), {"": layer.state_dict()})
    >>> load_matched(nn.Linear(2, 3), match(layer.state_dict(), file), file).normalisation
    'none'
    """
    target, path = bare(module), file.path
    own = plain_state(target)
    if found.statistics is not None:
        raise InputError(
            f"{shown(path)} holds a model with its normalisation (mean, std); loading it into a bare "
            "network would lose it: load it into the normalised model"
        )
    ready = {}
    # Matrices before vectors: the shape of a weight says more than that of its bias.
    for key, value in sorted(found.state.items(), key=lambda item: -item[1].ndim):
        expected = own[key]
        if key.rpartition(".")[2] in NORMALISATION and value.numel() == expected.numel():
            value = value.reshape(expected.shape)  # (C,), (1, C, 1, 1) …
        if value.is_complex() and not expected.is_complex():
            raise InputError(f"{shown(path)}: {shown(key)} is complex, but the model is real")
        if value.shape != expected.shape:
            seen = tuple(value.shape), tuple(expected.shape)
            raise _shape_error(file, key, *seen, _hint(target, key, value))
        if (value.is_floating_point() or value.is_complex()) and not value.isfinite().all():
            raise InputError(
                f"{shown(path)}: {shown(key)} holds NaN or an infinity; the training had diverged"
            )
        ready[key] = value
    # Strict but for counters of batches, which old files lack; `match` has checked the rest.
    whole, plain = {**own, **ready}, plain_name(target)
    target.load_state_dict({key: whole[plain(key)] for key in target.state_dict()})
    constants = {key for pair in normalisers(own) for key in pair}
    source = ("file" if constants <= set(ready) else "module") if constants else "none"
    return LoadReport(len(ready), found.stripped, source, found.renamed, found.left_out)


def outputs_in(path: Source, build: Callable[[int], nn.Module], least: int) -> int:
    """Return for how many outputs the weights in `path` were built.

    What `build` makes for `least` and one more differs in the shapes that depend on it; where none
    does, the model has its own count, and `least` is returned. Raises as `load_weights`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_weights(nn.Linear(2, 7), Path(folder) / "weights.safetensors")
    ...     outputs_in(path, lambda count: nn.Linear(2, count), 3)
    7
    """
    file = path if isinstance(path, WeightsFile) else read_weights(path)
    small, large = (plain_state(build(count)) for count in (least, least + 1))
    try:
        state = match(small, file).state
    except InputError:
        # Names differ, and by shape and order only the right count fits.
        state = _of_right_count(file, build, least)
    for key, value in small.items():
        other = large.get(key, value)
        for axis, (side, longer) in enumerate(zip(value.shape, other.shape, strict=False)):
            if longer == side + 1 and key in state and state[key].ndim == value.ndim:
                found: int = max(2, int(state[key].shape[axis]) - side + least)
                return found
    return least


def _of_right_count(
    file: WeightsFile, build: Callable[[int], nn.Module], least: int
) -> dict[str, Tensor]:
    first = next(iter(file.parts.values()))
    rows = [int(value.shape[0]) for value in first.values() if value.ndim in (2, 4)]
    for count in [*dict.fromkeys(reversed(rows))][:4]:
        with contextlib.suppress(InputError):
            return match(plain_state(build(max(2, count))), file).state
    return match(plain_state(build(least)), file).state


def save_weights(
    module: nn.Module, path: Path | str, told: Mapping[str, str] | None = None
) -> Path:
    """Write the module's state dict to a `.safetensors` file, all of it or nothing; beside it stands
    what else is `told`.

    Raises `InputError` for another suffix and `OutputError` where the disk refuses.

    >>> save_weights(nn.Linear(2, 3), Path("weights.pt"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: weights.pt: weights are saved as .safetensors; name the file so
    """
    path = expanded(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: weights are saved as .safetensors; name the file so")
    # Copies, since tied weights share memory and the format refuses that.
    state = {
        key: value.detach().cpu().contiguous().clone() for key, value in plain_state(module).items()
    }
    inside = any(isinstance(each, Normalised) for each in module.modules())
    said = {**(told or {}), _SAID: "inside" if inside else "none"}
    if isinstance(bare(module), Generator):
        said[SHAPE] = json.dumps(bare(module).shape)
    return write(path, safetensors.torch.save(state, metadata=said))


def weights_fingerprint(module: nn.Module) -> str:
    """Return 16 hexadecimal digits of every parameter and buffer, the same on every device and behind
    `torch.compile` and `DataParallel`.

    >>> layer = nn.Linear(2, 3)
    >>> weights_fingerprint(layer) == weights_fingerprint(torch.nn.Sequential(layer)[0])
    True
    """
    net, plain = bare(module), plain_name(bare(module))
    described = {key: _described(value) for key, value in plain_state(net).items()}
    # `torch.jit.freeze` makes constants of the weights, and `state_dict` knows none of them.
    frozen = {f"constant {i}": _described(v) for i, v in enumerate(constants(net))}
    # Another output of the same weights is another model.
    read = {
        f"output {plain(name)}": str(layer.output)
        for name, layer in net.named_modules()
        if isinstance(layer, ReadOutput)
    }
    # So are the same weights that see other pixels of an image.
    sizes = {
        f"preprocessing {plain(name)}": layer.preprocessing.json()
        for name, layer in net.named_modules()
        if isinstance(layer, Preprocessed)
    }
    crops = {
        f"crops {plain(name)}": layer.json()
        for name, layer in net.named_modules()
        if isinstance(layer, TenCrop)
    }
    return fingerprint({**described, **frozen, **read, **sizes, **crops})


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


def _hint(network: nn.Module, key: str, value: Tensor) -> str:
    if isinstance(network, Generator):
        shape = "×".join(map(str, network.shape))
        return f"was it trained for images other than {shape}, or with other options?"
    return resizing_hint(network, key, value)


def _shape_error(
    file: WeightsFile, key: str, seen: tuple[int, ...], expected: tuple[int, ...], known: str
) -> InputError:
    first = next(iter(file.parts.values()))
    hint = known or f"is it another architecture?\n{near_architectures(first)}"
    if known:
        pass
    elif seen and expected and seen[1:] == expected[1:]:
        hint = f"was it built for {seen[0]} classes, not {expected[0]}?"
    elif len(seen) == 4 and len(expected) == 4 and seen[1] != expected[1] and seen[1] in (1, 3):
        hint = f"was it built for {seen[1]} channels, not {expected[1]}?"
    return InputError(
        f"{shown(file.path)}: {shown(key)} is {seen}, but the model needs {expected}; {hint}"
    )
