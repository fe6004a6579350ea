"""What a file of weights is by its first bytes, whatever its name."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Literal

from saddlepoint.errors import InputError
from saddlepoint.reading.opened import decoding, opened, shown

Format = Literal["safetensors", "torch"]

_OTHERS = (
    (b"\x1f\x8b", "compressed by gzip; unpack it"),
    (b"BZh", "compressed by bzip2; unpack it"),
    (b"\xfd7zXZ", "compressed by xz; unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"\x89HDF", "an HDF5 file, as Keras writes them"),
    (b"GGUF", "a GGUF file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"version https://git-lfs", "the pointer of a file in Git LFS; fetch it with git lfs pull"),
)
_LONGEST = 100_000_000  # bytes of a header of safetensors, by its own rule


def weights_format(path: Path) -> Format | None:
    """Return the format of a file of weights by its content; None where it is none that is known.

    Raises `InputError` for what is certainly something else, and says what.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "weights"
    ...     _ = path.write_bytes(b"<!DOCTYPE html>")
    ...     weights_format(path)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: ...weights is a web page and no file of weights; download it anew
    """
    with opened(path) as file, decoding(path, "a whole file"):
        head = file.read(512)
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return _of_zip(file, path)
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _LONGEST:
        return "safetensors"
    if head[:1] == b"\x80" and 2 <= head[1] <= 5:
        return "torch"
    for magic, what in _OTHERS:
        if head.startswith(magic):
            raise InputError(f"{shown(path)} is {what}; it is no file of weights")
    if head[257:262] == b"ustar":
        return _of_tar(path, head)
    if head.lstrip()[:1] == b"<":
        raise InputError(f"{shown(path)} is a web page and no file of weights; download it anew")
    return None


def _of_zip(file: io.BufferedReader, path: Path) -> Format:
    if not zipfile.is_zipfile(file):
        return "torch"  # cut short; its reader says so
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    if any(name.rpartition("/")[2] in ("data.pkl", "constants.pkl") for name in names):
        return "torch"
    what = "an .npz archive of arrays" if names and names[0].endswith(".npy") else "a zip archive"
    inside = f" of {', '.join(shown(name) for name in names[:3])}" if names else ", and empty"
    raise InputError(
        f"{shown(path)} is {what}{inside}{', …' if len(names) > 3 else ''}; it is no file of weights"
    )


def _of_tar(path: Path, head: bytes) -> Format:
    first = head[:100].rstrip(b"\0").decode("utf-8", "backslashreplace")
    if first.rpartition("/")[2] in ("sys_info", "pickle", "storages", "tensors"):
        return "torch"  # of before 2017, which its reader refuses
    raise InputError(
        f"{shown(path)} is a tar archive that begins with {shown(first)}; unpack it, and give the"
        " file of weights in it"
    )
