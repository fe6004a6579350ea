"""Which features an attack may change, from a file."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Bool
from torch import Tensor

from saddlepoint.data.decode import decode, probe
from saddlepoint.errors import InputError
from saddlepoint.evaluation.saved_images import read_arrays
from saddlepoint.reading import shown


def read_mask(path: Path | str, shape: tuple[int, ...]) -> Bool[Tensor, ...]:
    """Return a mask of one image, True where a feature may change.

    Args:
        path: a picture (light: may change), or a `.npy`, `.npz` or `.pt` with one array (other than
            0: may change).
        shape: of one image, (C, H, W); a mask (H, W) is taken for every channel.

    Raises `InputError` for another shape, a damaged file, and a mask under which nothing may change.

    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "mask.npy"
    ...     np.save(path, np.eye(8))
    ...     read_mask(path, (3, 8, 8)).sum()
    tensor(24)
    """
    path = Path(path)
    if path.suffix.lower() in (".png", ".bmp", ".gif", ".tif", ".tiff"):
        _, size = probe(path, str(path))
        _check_shape(path, size, shape)
        mask = decode(path, str(path), "L")[0] > 127
    else:
        arrays = list(read_arrays(path, "a PNG, .npy, .npz or .pt file for the mask").values())
        if len(arrays) != 1:
            raise InputError(
                f"{shown(path)} holds {len(arrays)} arrays of numbers; give one, the mask"
            )
        if arrays[0].is_complex() or not bool(arrays[0].isfinite().all()):
            raise InputError(
                f"{shown(path)} holds numbers that are not finite and real; give 0 and 1"
            )
        mask = arrays[0] != 0
        _check_shape(path, tuple(mask.shape), shape)
    if not bool(mask.any()):
        raise InputError(f"{shown(path)}: under this mask no feature may change")
    return mask.expand(shape).contiguous()


def _check_shape(path: Path, seen: tuple[int, ...], shape: tuple[int, ...]) -> None:
    if seen not in (tuple(shape), tuple(shape[1:])):
        raise InputError(
            f"{shown(path)}: the mask has shape {seen}, an image {tuple(shape)}; give"
            f" {tuple(shape)} or {tuple(shape[1:])}"
        )
