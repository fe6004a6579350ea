"""Parquet files of encoded images: columns `image` (PNG, JPEG … bytes) and `label`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from saddlepoint.data.checks import checked_labels
from saddlepoint.data.decode import check_side, decode_all, probe, sizes_differ
from saddlepoint.errors import InputError
from saddlepoint.progress import Progress
from saddlepoint.reading import shown

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")


def read_parquet(
    paths: Sequence[Path],
    *,
    limit: int | None = None,
    image_size: int | None = None,
    progress: Progress | None = None,
) -> tuple[UInt8[Tensor, "n c h w"], Int64[Tensor, " n"]]:
    """Return the decoded images and the labels of one or more Parquet files, in order.

    An image is its file's bytes, or a structure with a field `bytes`; the label column may also
    be `labels` or `fine_label`. Images are grey where all are, else RGB. `limit` stops after so
    many. Raises `InputError` for damaged files, other columns, empty cells and mixed sizes.

    >>> read_parquet([Path("no-such.parquet")])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no file no-such.parquet
    """
    encoded: list[bytes] = []
    labels: list[int] = []
    owners: list[tuple[int, str]] = []  # where each file's rows begin
    for path in paths:
        owners.append((len(encoded), shown(path)))
        remaining = None if limit is None else limit - len(encoded)
        if remaining is None or remaining > 0:
            images, targets = _columns(path, remaining)
            encoded += images
            labels += targets
    if not encoded:
        raise InputError(f"{shown(paths[0])} holds no images")

    def label(i: int) -> str:
        start, name = next(owner for owner in reversed(owners) if owner[0] <= i)
        return f"row {i - start} of {name}"

    modes: set[str] = set()
    sizes: dict[tuple[int, int], int] = {}
    for i, source in enumerate(encoded):
        mode, size = probe(source, label(i))
        modes.add(mode)
        sizes.setdefault(size, i)
    if image_size is not None:
        check_side(image_size)
        size = (image_size, image_size)
    elif len(sizes) > 1:
        (first, _), (second, where) = list(sizes.items())[:2]
        raise sizes_differ(f"the image {label(where)}", second, first)
    else:
        size = next(iter(sizes))
    pixels = decode_all(
        encoded,
        label,
        mode="L" if modes == {"L"} else "RGB",
        size=size,
        image_size=image_size,
        progress=progress,
    )
    try:
        return pixels, checked_labels(torch.tensor(labels), len(pixels), None)
    except InputError as error:
        raise InputError(f"{shown(paths[0])}: {error}") from error


def _columns(path: Path, limit: int | None) -> tuple[list[bytes], list[int]]:
    from saddlepoint.reading.tables import column_names, read_rows  # late: most read no Parquet

    if not path.exists():
        raise InputError(f"no file {shown(path)}")
    image, label = _names(path, column_names(path))
    images: list[bytes] = []
    labels: list[int] = []
    for i, row in enumerate(itertools.islice(read_rows(path, [image, label]), limit)):
        images.append(_bytes(row[image], path, i))
        labels.append(_integer(row[label], path, i))
    return images, labels


def _names(path: Path, names: Sequence[str]) -> tuple[str, str]:
    image = next((name for name in IMAGE_COLUMNS if name in names), None)
    label = next((name for name in LABEL_COLUMNS if name in names), None)
    if image is None or label is None:
        raise InputError(
            f"{shown(path)} has the columns {shown(', '.join(names)) or 'none'}; expected "
            "image (encoded bytes) and label"
        )
    return image, label


def _bytes(value: Any, path: Path, row: int) -> bytes:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise InputError(
            f"row {row} of {shown(path)} has no encoded image (found {type(content).__name__}); "
            "store the bytes of a PNG or JPEG file"
        )
    return content


def _integer(value: Any, path: Path, row: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(
            f"row {row} of {shown(path)} has the label {shown(repr(value))}; give an integer 0 … K-1"
        )
    if not -(2**63) <= value < 2**63:
        raise InputError(f"row {row} of {shown(path)} has the label {value}; it is no class")
    return value
