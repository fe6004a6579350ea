"""Adversarial images from a file: a .npz, a .pt of tensors, or a folder of PNG."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from saddlepoint.data.decode import decode_all, probe
from saddlepoint.errors import InputError
from saddlepoint.files import reason
from saddlepoint.reading import shown
from saddlepoint.reading.arrays import read_archive, read_array
from saddlepoint.reading.tensors import plain, read_pickled

NAMES = ("adversarials", "adversarial", "x_adv", "adv", "adv_complete", "images", "x", "arr_0")
"""Under which names images are looked for in a file with several arrays, in this order."""

_DIGITS = re.compile("[0-9]+")


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
    if path.is_dir():
        return _folder(path, shape)
    found = read_arrays(path, "a .npz, .npy, .pt or .pth file, or a folder of PNG")
    name = next((each for each in NAMES if each in found), None)
    if name is None:
        raise InputError(
            f"{shown(path)} holds {shown(', '.join(found)) or 'nothing'}; expected one of {', '.join(NAMES)}"
        )
    index = found.get("ids")
    images = _images(found[name], shape, f"{shown(path)}: {name}")
    if index is None:
        return images, None
    whole = index.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    if index.shape != (len(images),) or not whole:
        raise InputError(
            f"{shown(path)}: ids is {tuple(index.shape)} of {index.dtype}; give a whole number per"
            " image, as int64"
        )
    return images, index.long()


def read_arrays(path: Path, kinds: str) -> dict[str, Tensor]:
    """Return the arrays of numbers in a NumPy or torch file, by name; a single one as "arr_0".

    Raises `InputError`, which asks for `kinds`, where it is neither or cannot be read.

    >>> read_arrays(Path("mask.txt"), "a .npy file")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: mask.txt: give a .npy file
    """
    if path.suffix == ".npz":
        # Text and structures, which torch has no type for, are no images.
        arrays = read_archive(path)
        return {name: torch.from_numpy(_native(array)) for name, array in arrays.items()}
    if path.suffix == ".npy":
        return {"arr_0": torch.from_numpy(_native(read_array(path)))}
    if path.suffix in (".pt", ".pth"):
        return _torch(path)
    raise InputError(f"{shown(path)}: give {kinds}")


def _native(array: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])


def _torch(path: Path) -> dict[str, Tensor]:
    loaded, size = read_pickled(path, "save a plain tensor of numbers, or an array as .npy or .npz")
    if isinstance(loaded, tuple | list) and loaded:
        loaded = loaded[0]
    if isinstance(loaded, Tensor):
        loaded = {"arr_0": loaded}
    if not isinstance(loaded, dict):
        kind = type(loaded).__name__
        raise InputError(f"{shown(path)} holds a {kind}; expected a tensor or a dictionary")
    return {
        str(key): plain(each, f"{shown(key)} in {shown(path)}", size)
        for key, each in loaded.items()
        if isinstance(each, Tensor)
    }


def _folder(path: Path, shape: tuple[int, ...]) -> tuple[Tensor, Tensor | None]:
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(f"{shown(path)}: pictures are grey or RGB; the images have shape {shape}")
    try:
        # By numbers where there are numbers: picture 10 comes after picture 2.
        files = sorted(path.glob("*.png"), key=lambda file: _natural(file.name))
    except OSError as error:
        raise InputError(f"cannot read {shown(path)}: {reason(error)}") from error
    if not files:
        raise InputError(f"{shown(path)} holds no .png files")
    for file in files:
        _, size = probe(file, str(file))
        if size != shape[1:]:
            raise InputError(
                f"{shown(file)} is {size[0]}×{size[1]} pixels, an image of the data"
                f" {shape[1]}×{shape[2]}"
            )
    mode = "L" if shape[0] == 1 else "RGB"
    pixels = decode_all(files, lambda i: str(files[i]), mode=mode, size=shape[1:])
    digits = [_DIGITS.match(file.name) for file in files]
    if not all(digits):
        return pixels.float() / 255, None
    index = [int(found[0]) for found in digits if found]
    if max(index) >= 2**63:
        raise InputError(
            f"{shown(files[index.index(max(index))])} names image {max(index)}, which no data has"
        )
    return pixels.float() / 255, torch.tensor(index)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    # Split by the ASCII digits, every second part is a number.
    parts = re.split("([0-9]+)", name)
    return [(i % 2 == 1, int(part) if i % 2 else 0, part) for i, part in enumerate(parts)]


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
    if array.is_complex():
        raise InputError(f"{label} holds {array.dtype}; expected real numbers")
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
