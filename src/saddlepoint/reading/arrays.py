"""NumPy's files, read without trusting their headers."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from saddlepoint.errors import InputError
from saddlepoint.reading.opened import check_inflated, decoding, opened, shown

Arrays = dict[str, NDArray[np.generic]]

_HEADER = 10_000  # bytes; NumPy reads one of 4 GB before it looks at its length
_LENGTHS = {(1, 0): "<H", (2, 0): "<I"}
_PICKLED = "pickled objects, which could run code and are not loaded; save plain arrays of numbers"


def archive_names(path: Path) -> frozenset[str]:
    """Return the names of the arrays in a `.npz`; raises `InputError` where it is none.

    >>> archive_names(Path("no-such.npz"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.npz: No such file or directory
    """
    with opened(path) as file, decoding(path, "a whole .npz archive"):
        return frozenset(_members(file, path))


def read_archive(path: Path, names: Collection[str] | None = None) -> Arrays:
    """Return the arrays of a `.npz` by name: those of `names`, or all that hold numbers.

    Pickled objects are never loaded. Raises `InputError` for a damaged, an encrypted and an
    inflated archive, and where an array of `names` holds no numbers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.npz"
    ...     np.savez(path, x=np.arange(3), y=np.array(["text"]))
    ...     read_archive(path)
    {'x': array([0, 1, 2])}
    """
    found: Arrays = {}
    with opened(path) as file, decoding(path, "a whole .npz archive"):
        size = file.seek(0, io.SEEK_END)
        members = _members(file, path)
        total = 0
        with zipfile.ZipFile(file) as archive:
            for name in members if names is None else names:
                member = members[name]
                with archive.open(member) as stream:
                    head = _header(stream, f"{name} in {shown(path)}")
                    if names is None and not _numbers(head[2]):
                        continue
                    total += math.prod(head[0]) * head[2].itemsize
                    check_inflated(path, total, size)
                    found[name] = _array(stream, member.file_size, head, f"{name} in {shown(path)}")
    return found


def read_array(path: Path) -> NDArray[np.generic]:
    """Return the array of a `.npy`; raises `InputError` where it is damaged or holds no numbers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "a.npy", np.arange(3))
    ...     read_array(Path(folder) / "a.npy")
    array([0, 1, 2])
    """
    with opened(path) as file, decoding(path, "a whole .npy file"):
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        return _array(file, size, _header(file, shown(path)), shown(path))


_Header = tuple[tuple[int, ...], bool, "np.dtype[Any]", int]
"""Shape, whether in Fortran's order, type, and the bytes before the first value."""


def _members(file: IO[bytes], path: Path) -> dict[str, zipfile.ZipInfo]:
    if not zipfile.is_zipfile(file):
        raise InputError(
            f"{shown(path)} is not a whole .npz archive (damaged, cut short or of another kind)"
        )
    with zipfile.ZipFile(file) as archive:
        return {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }


def _header(stream: IO[bytes], label: str) -> _Header:
    version = npy.read_magic(stream)
    if version not in _LENGTHS:
        raise InputError(f"{label} is of version {version}; save plain arrays of numbers")
    packed = stream.read(struct.calcsize(_LENGTHS[version]))
    (length,) = struct.unpack(_LENGTHS[version], packed)
    if length > _HEADER:
        raise InputError(f"{label} has a header of {length:,} bytes, which no plain array has")
    rest = io.BytesIO(packed + stream.read(length))
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(rest, max_header_size=_HEADER)
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise InputError(f"{label} has shape {shape}; it is damaged")
    return shape, fortran, dtype, npy.MAGIC_LEN + len(packed) + length


def _numbers(dtype: np.dtype[Any]) -> bool:
    # Torch knows no wider ones, and no text or structures.
    return dtype.kind in "biufc" and dtype.itemsize <= (16 if dtype.kind == "c" else 8)


def _array(stream: IO[bytes], stored: int, head: _Header, label: str) -> NDArray[np.generic]:
    shape, fortran, dtype, before = head
    if dtype.hasobject:
        raise InputError(f"{label} holds {_PICKLED}")
    if not _numbers(dtype):
        raise InputError(f"{label} holds {shown(dtype)}; save plain numbers of at most 64 bits")
    count = math.prod(shape)
    nbytes = count * dtype.itemsize
    if nbytes != stored - before:
        raise InputError(
            f"{label} is damaged: it holds {stored - before:,} bytes of values, and its shape"
            f" {shape} needs {nbytes:,}"
        )
    values = np.empty(nbytes, np.uint8)
    view = values.data
    done = 0
    while done < nbytes:
        part = stream.read(min(1 << 24, nbytes - done))
        if not part:
            raise InputError(f"{label} is cut short after {done:,} of {nbytes:,} bytes")
        view[done : done + len(part)] = part
        done += len(part)
    return values.view(dtype).reshape(shape, order="F" if fortran else "C")
