"""Adversarial images from a file: a .npz, a .pt of tensors, or a folder of PNG."""

from __future__ import annotations

import pickle
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.files import reason

NAMES = ("adversarials", "adversarial", "x_adv", "adv", "adv_complete", "images", "x", "arr_0")
"""Under which names images are looked for in a file with several arrays, in this order."""


def read_saved(
    path: Path | str, shape: tuple[int, ...]
) -> tuple[Float[Tensor, "n ..."], Int64[Tensor, " n"] | None]:
    """Return the images of `path` in [0, 1], and which images of the data set they belong to.

    Args:
        path: a `.npz` or `.npy`; a `.pt` or `.pth` with a tensor or a dictionary of tensors, read
            without running code; or a folder of PNG files, in the order of their names, of which
            leading digits are the index (as `saddlepoint attack --png` writes them).
        shape: of one image, (C, H, W); images stored as (H, W, C) or, if grey, (H, W) are turned.

    The index is None where the file does not say: the images are then the first ones. Whole
    numbers of 8 bits are divided by 255. Raises `InputError` for anything else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "adv.npz"
    ...     np.savez(path, x_adv=np.full((2, 8, 8, 3), 51, np.uint8))
    ...     images, index = read_saved(path, (3, 8, 8))
    >>> images.shape, f"{float(images.max()):.1f}", index
    (torch.Size([2, 3, 8, 8]), '0.2', None)
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path, shape)
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from error
    found = read_arrays(path, "a .npz, .npy, .pt or .pth file, or a folder of PNG")
    name = next((each for each in NAMES if each in found), None)
    if name is None:
        raise InputError(
            f"{path} holds {', '.join(found) or 'nothing'}; expected one of {', '.join(NAMES)}"
        )
    index = found.get("ids")
    images = _images(found[name], shape, f"{path}: {name}")
    if index is None:
        return images, None
    if index.shape != (len(images),) or index.is_floating_point():
        raise InputError(f"{path}: ids is {tuple(index.shape)}; give a whole number per image")
    return images, index.long()


def read_arrays(path: Path, kinds: str) -> dict[str, Tensor]:
    """Return the arrays of numbers in a NumPy or torch file, by name; a single one as "arr_0".

    Raises `InputError`, which asks for `kinds`, where it is neither or cannot be read.

    >>> read_arrays(Path("mask.txt"), "a .npy file")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: mask.txt: give a .npy file
    """
    try:
        if path.suffix in (".npz", ".npy"):
            return _numpy(path)
        if path.suffix in (".pt", ".pth"):
            return _torch(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {reason(error)}") from error
    raise InputError(f"{path}: give {kinds}")


def _numpy(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            single = isinstance(loaded, np.ndarray)
            arrays = {"arr_0": loaded} if single else {n: loaded[n] for n in loaded.files}
            # Text and structures, which torch has no type for, are no images.
            plain = {name: array for name, array in arrays.items() if array.dtype.kind in "fiub"}
            return {name: torch.as_tensor(array) for name, array in plain.items()}
    except ValueError as error:
        if "pickle" in str(error):
            raise InputError(f"{path} holds pickled objects, which are not loaded") from error
        raise InputError(f"{path} is damaged: {error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _torch(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is no plain file of tensors: {line}") from error
    if isinstance(loaded, tuple | list) and loaded:
        loaded = loaded[0]
    if isinstance(loaded, Tensor):
        loaded = {"arr_0": loaded}
    if isinstance(loaded, dict):
        tensors = {str(key): each for key, each in loaded.items() if isinstance(each, Tensor)}
        return {key: each for key, each in tensors.items() if each.layout == torch.strided}
    raise InputError(f"{path} holds a {type(loaded).__name__}; expected a tensor or a dictionary")


def _folder(path: Path, shape: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
    # By numbers where there are numbers: picture 10 comes after picture 2.
    files = sorted(path.glob("*.png"), key=lambda file: _natural(file.name))
    if not files:
        raise InputError(f"{path} holds no .png files")
    arrays = []
    for file in files:
        try:
            with Image.open(file) as picture:
                arrays.append(
                    torch.from_numpy(np.array(picture.convert("L" if shape[0] == 1 else "RGB")))
                )
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise InputError(f"{file} is no whole PNG: {error}") from error
        if arrays[-1].shape != arrays[0].shape:
            raise InputError(
                f"{file} is {tuple(arrays[-1].shape)}, the first {tuple(arrays[0].shape)}"
            )
    images = _images(torch.stack(arrays), shape, str(path))
    digits = [file.name[: len(file.name) - len(file.name.lstrip("0123456789"))] for file in files]
    if not all(digits):
        return images, None
    return images, torch.tensor([int(each) for each in digits])


def _natural(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _images(array: Tensor, shape: tuple[int, ...], label: str) -> Tensor:
    """Return the array as images (n, *shape) in floating point, [0, 1] for 8 bits."""
    if array.ndim == len(shape) and shape[0] == 1 and array.shape[1:] == shape[1:]:
        array = array[:, None]
    if tuple(array.shape[1:]) != shape and tuple(array.shape[1:]) == (*shape[1:], shape[0]):
        array = array.movedim(-1, 1)
    if tuple(array.shape[1:]) != tuple(shape) or not len(array):
        raise InputError(
            f"{label} has shape {tuple(array.shape)}; expected (n, {', '.join(map(str, shape))})"
        )
    if array.dtype == torch.uint8:
        return array.float() / 255
    if not array.is_floating_point():
        raise InputError(f"{label} holds {array.dtype}; expected 8-bit or floating point numbers")
    array = array.contiguous()
    if array.dtype not in (torch.float32, torch.float64):
        array = array.float()
    largest = float(torch.where(array.isfinite(), array, 0.0).amax())
    if largest > 2:
        raise InputError(
            f"{label} reaches {largest:g}: these look like 0 … 255 in floating point; divide by 255"
        )
    return array
