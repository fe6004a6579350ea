"""Checkpoints: a folder each, complete or absent, opened by anything that reads safetensors and
JSON.

    checkpoints/epoch-0003-step-000000/
        model.safetensors       the weights and buffers
        optimiser.safetensors   its tensors, named PARAMETER/ENTRY
        average.safetensors     the averaged weights (EMA or SWA), where there are some
        curve.safetensors       the losses of the epoch's steps so far
        penalties.safetensors   the state of penalties that have one
        objective.safetensors   what the objective carries from step to step, where it does
        state.json              position, sums of the epoch so far, the rest of the optimiser, and
                                the fingerprints of the files above

There is no random state in it: every draw of the loop is a function of (seed, epoch, step).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from saddlepoint.errors import InputError, OutputError
from saddlepoint.files import fingerprint, reason, temporary_name, write, write_json
from saddlepoint.reading import decoding, read_bytes, read_json

FOLDER = "checkpoints"
KEEP = 2
_LARGEST = 1 << 40  # bytes of one of its files


def save_checkpoint(
    out: Path | str,
    position: tuple[int, int],
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Any,
    name: str = FOLDER,
    keep: int = KEEP,
) -> Path:
    """Write a checkpoint under `out`, all of it or nothing, and remove all but the newest two.

    Args:
        position: (epoch, step within it) of the next step.
        tensors: file name without suffix → tensors by name.
        state: JSON values.
        name: of the folder of checkpoints that it belongs to.
        keep: checkpoints that stay, the newest; 0 removes none.

    Raises `OutputError` where the disk refuses; the checkpoints before are then untouched.

    >>> import tempfile
    >>> weights = {"model": {"w": torch.ones(1)}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_checkpoint(Path(folder), (1, 0), weights, {"loss": 0.5})
    ...     latest_checkpoint(Path(folder))[1]
    {'loss': 0.5}
    """
    out = Path(out)
    folder = out / name
    final = folder / f"epoch-{position[0]:04d}-step-{position[1]:06d}"
    temporary, aside = temporary_name(final), temporary_name(final)
    try:
        files = {}
        for part, values in tensors.items():
            whole = {key: value.detach().cpu().contiguous() for key, value in values.items()}
            content = safetensors.torch.save(whole)
            files[part] = fingerprint(content)
            write(temporary / f"{part}.safetensors", content)
        write_json(temporary / "state.json", {"state": state, "files": files})
        if final.exists():  # the same position, reached again after a damaged checkpoint
            final.rename(aside)
        temporary.rename(final)
        shutil.rmtree(aside, ignore_errors=True)
        _flush(folder)
    except OutputError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if aside.exists() and not final.exists():
            aside.rename(final)
        raise OutputError(f"cannot write {final}: {reason(error)}") from error
    for old in _sorted(folder)[:-keep] if keep else ():
        shutil.rmtree(old, ignore_errors=True)
    return final


def latest_checkpoint(
    out: Path | str, name: str = FOLDER
) -> tuple[dict[str, dict[str, Tensor]], Any] | None:
    """Return the tensors and the state of the newest checkpoint under `out`, or None.

    A damaged one is named in a warning and the one before is taken. Raises `InputError` where all
    are damaged.

    >>> latest_checkpoint(Path("no-such-folder"))
    """
    out = Path(out)
    folder = out / name
    found = _sorted(folder)
    for path in reversed(found):
        try:
            return _read(path)
        except InputError as error:
            warnings.warn(
                f"the checkpoint {path} is damaged ({error}); trying the one before", stacklevel=2
            )
    if found:
        raise InputError(f"every checkpoint in {folder} is damaged; delete it and train afresh")
    return None


def is_at_end(out: Path, epochs: int) -> bool:
    """Return whether the newest checkpoint under `out` is whole, and that of the last epoch or of one
    that the training was stopped after.

    >>> is_at_end(Path("no-such-folder"), 1)
    False
    """
    found = _sorted(out / FOLDER)
    if not found:
        return False
    try:
        _, state = _read(found[-1])
    except InputError:
        return False
    return _position(found[-1]) == [epochs, 0] or bool(state.get("stopped"))


def forget_checkpoints_after(out: Path | str, epoch: int, name: str = FOLDER) -> None:
    """Remove the checkpoints of later positions than the end of `epoch`: a training that is rolled
    back does not come to them.

    >>> forget_checkpoints_after("no-such-folder", 0)
    """
    for path in _sorted(Path(out) / name):
        if _position(path) > [epoch, 0]:
            shutil.rmtree(path, ignore_errors=True)


def optimiser_state(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the optimiser's state as tensors "PARAMETER/ENTRY" and plain values.

    >>> net = torch.nn.Linear(1, 1)
    >>> optimiser_state(torch.optim.SGD(net.parameters(), lr=0.1))
    ({}, {})
    """
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for number, entries in optimiser.state_dict()["state"].items():
        for name, value in entries.items():
            target = tensors if isinstance(value, Tensor) else values
            target[f"{number}/{name}"] = value
    return tensors, values


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Put the state that `optimiser_state` returned back.

    >>> net = torch.nn.Linear(1, 1)
    >>> restore_optimiser(torch.optim.SGD(net.parameters(), lr=0.1), {}, {})
    """
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **values}.items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _read(path: Path) -> tuple[dict[str, dict[str, Tensor]], Any]:
    record = read_json(path / "state.json")
    tensors = {}
    with decoding(path, "a whole checkpoint"):
        for name, expected in record["files"].items():
            content = read_bytes(path / f"{name}.safetensors", _LARGEST)
            if fingerprint(content) != expected:
                raise InputError(f"{name}.safetensors is not what was written")
            tensors[name] = safetensors.torch.load(content)
        return tensors, record["state"]


def _sorted(folder: Path) -> list[Path]:
    # By number: as text, epoch 10000 would come before epoch 9999 and be removed as the oldest.
    found = [path for path in folder.glob("epoch-*-step-*") if path.is_dir()]
    return sorted(found, key=_position)


def _position(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.name)]


def _flush(folder: Path) -> None:
    # The rename itself must reach the disk before an older checkpoint is removed.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
