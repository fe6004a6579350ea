"""One function for every source of images: a name, a folder, a `.npz` or a `.parquet`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import torch

from saddlepoint.data.brought import SOURCES, DataSource
from saddlepoint.data.checks import checked_images
from saddlepoint.data.datasets import DATASETS
from saddlepoint.data.decode import check_side, resized
from saddlepoint.data.digits import digits
from saddlepoint.data.folder import FolderData
from saddlepoint.data.npz import read_npz
from saddlepoint.data.parquet import read_parquet
from saddlepoint.data.tensor_data import TensorData, joined
from saddlepoint.data.vision import read_vision
from saddlepoint.errors import InputError, unknown
from saddlepoint.plugins import is_file_spec
from saddlepoint.progress import Progress
from saddlepoint.reading import expanded, shown

RESIDENT_BYTES = 2 << 30  # decoded folders up to this size are held in memory


def load_data(
    spec: str,
    *,
    split: str = "test",
    data_root: Path | str | None = None,
    download: bool = False,
    image_size: int | None = None,
    limit: int | None = None,
    resident_bytes: int = RESIDENT_BYTES,
    progress: Progress | None = None,
) -> TensorData | FolderData:
    """Return the data set that `spec` names, checked: images in [0, 1], labels 0 … K-1.

    `spec` is a name in `DATASETS` or of an installed plug-in, a folder of class folders, a `.npz`,
    a `.parquet`, or `FILE.py:NAME`, a function whose code is run. Named
    sets are looked for below `data_root` (else the variable SADDLEPOINT_DATA, else
    ~/.cache/saddlepoint/data), first as Parquet, NAME/SPLIT*.parquet, then in torchvision's
    layout, and fetched only with `download`. `split` is `train`, `test` or `all`; a file or folder
    of one set is `all`, whatever is asked for. `image_size` resizes the shorter side and cuts out
    the centre square; `limit` keeps the first images. A folder larger than `resident_bytes` once
    decoded stays on disk (`FolderData`). `progress` is told while decoding.
    Raises `InputError` where the data is missing, damaged or out of range.

    >>> data = load_data("digits", split="train", limit=100)
    >>> len(data), data.shape, len(data.classes)
    (100, (1, 8, 8), 10)
    """
    data_root = None if data_root is None else Path(data_root)
    if split not in ("train", "test", "all"):
        raise unknown("split", split, ("train", "test", "all"))
    if limit is not None and limit < 1:
        raise InputError(f"the limit is {limit}; give 1 or more")
    if image_size is not None:
        check_side(image_size)
    if spec in SOURCES or is_file_spec(spec):
        source = SOURCES.find(spec)
        root = default_root() if data_root is None else data_root
        if not isinstance(source, DataSource):
            return _named(spec, split, root, download, image_size, limit, progress)
        found = source.read(split, root)
        found = found if limit is None else found.first(limit)
        if image_size is None:
            return found
        if isinstance(found, TensorData):
            return _resized(found, image_size)
        raise InputError(f"{spec} is on disk; give its own sides in place of an image size")
    path = expanded(spec)
    if path.is_dir():
        folder = FolderData.of(path, split=split, image_size=image_size)
        if limit is not None:
            folder = folder.first(limit)
        return folder.resident(progress) if folder.nbytes <= resident_bytes else folder
    data: TensorData
    if path.suffix == ".npz":
        data = read_npz(path, split=split, image_size=image_size)
    elif path.suffix == ".parquet":
        # The name keeps its suffix: mnist.parquet is somebody's file, not the set called mnist.
        # All of it is read, also with a limit: classes and statistics must not depend on the limit.
        pixels, labels = read_parquet([path], image_size=image_size, progress=progress)
        data = TensorData.of(pixels, labels, name=shown(path.name))
    elif path.exists():
        raise InputError(f"{shown(path)} is neither a folder nor a .npz nor a .parquet file")
    elif os.sep in spec or path.suffix:
        raise InputError(f"no file or folder {shown(path)}; or name one of {', '.join(SOURCES)}")
    else:
        raise unknown("data set", spec, SOURCES)
    return data if limit is None else data.first(limit)


def default_root() -> Path:
    """Return where named data sets lie: SADDLEPOINT_DATA, else ~/.cache/saddlepoint/data.

    >>> isinstance(default_root(), Path)
    True
    """
    variable = os.environ.get("SADDLEPOINT_DATA")
    return expanded(variable or "~/.cache/saddlepoint/data")


def parquet_files(name: str, split: str, root: Path) -> list[Path]:
    """Return the Parquet files of a named set's split, sorted; none where there are none.

    SPLIT.parquet stands alone; otherwise every SPLIT*.parquet is a part of the split.

    >>> parquet_files("mnist", "test", Path("no-such-folder"))
    []
    """
    whole = root / name / f"{split}.parquet"
    return [whole] if whole.is_file() else sorted((root / name).glob(f"{split}*.parquet"))


def _named(
    name: str,
    split: str,
    root: Path,
    download: bool,
    image_size: int | None,
    limit: int | None,
    progress: Progress | None,
) -> TensorData:
    if name == "digits":
        data = digits(split)
    elif split == "all":
        parts = ("train", "test")
        data = joined([_one(name, part, root, download, None, progress) for part in parts])
    else:
        data = _one(name, split, root, download, limit, progress)
    if limit is not None:
        data = data.first(limit)
    return data if image_size is None else _resized(data, image_size)


def _resized(data: TensorData, image_size: int) -> TensorData:
    pixels = torch.from_numpy(resized(data.pixels.numpy(), image_size))
    return replace(data, pixels=checked_images(pixels))


def _one(
    name: str,
    split: str,
    root: Path,
    download: bool,
    limit: int | None,
    progress: Progress | None,
) -> TensorData:
    info = DATASETS[name]
    files = parquet_files(name, split, root)
    if files:
        pixels, labels = read_parquet(files, limit=limit, progress=progress)
        try:
            return TensorData.of(
                pixels,
                labels,
                name=name,
                split=split,
                classes=info.classes,
                mean=info.mean,
                std=info.std,
            )
        except InputError as error:
            raise InputError(f"{shown(files[0])}: {error}") from error
    data = read_vision(name, split, root, download)
    if data is not None:
        return data
    looked = f"{name} ({split}) is not below {root}: no {name}/{split}*.parquet"
    if name == "cifar10-jpeg":
        raise InputError(
            f"{looked}, and it cannot be downloaded; point --data-root or SADDLEPOINT_DATA at it, "
            "or use cifar10 or digits"
        )
    raise InputError(
        f"{looked} and nothing of torchvision's; pass --download to fetch it, point --data-root or "
        "SADDLEPOINT_DATA at it, or use digits, which needs neither"
    )
