"""A folder of class folders, its images decoded from disk when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from saddlepoint.checks import as_pixels
from saddlepoint.data.base import ImageBatches
from saddlepoint.data.decode import check_side, decode, decode_all, probe, sizes_differ
from saddlepoint.data.layout import Entry, scan
from saddlepoint.data.tensor_data import TensorData, statistics
from saddlepoint.errors import InputError
from saddlepoint.files import fingerprint
from saddlepoint.progress import Progress
from saddlepoint.reading import shown

_PROBED = 4096  # headers read to learn mode and size; others are checked when they are decoded
_SAMPLED = 1024  # images decoded for mean and standard deviation


@dataclass(frozen=True, eq=False)
class FolderData(ImageBatches, Dataset[tuple[Tensor, int]]):
    """Images on disk, one folder per class. Build it with `of`.

    Also a map-style `torch.utils.data.Dataset` of (uint8 image, label), so that worker processes
    of a `DataLoader` can decode.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         (Path(folder) / name).mkdir()
    ...         Image.new("L", (8, 8), 51).save(Path(folder) / name / "1.png")
    ...     data = FolderData.of(Path(folder))
    ...     data.classes, data.shape, data.images(torch.tensor([1]))[0, 0, 0, 0]
    (('cat', 'dog'), (1, 8, 8), tensor(0.2000))
    """

    root: Path
    paths: tuple[str, ...]  # relative to the root
    sizes: tuple[int, ...]  # in bytes, for the fingerprint
    labels: Int64[Tensor, " n"]
    name: str
    split: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int | None = None

    @classmethod
    def of(
        cls, root: Path | str, *, split: str = "test", image_size: int | None = None
    ) -> FolderData:
        """Return the folder's images, of one split where it has `train` and `test` folders.

        A folder without them is split `all`, whatever is asked for. Images are grey where all
        are, else RGB. `image_size` resizes the shorter side and cuts out the centre square; it is
        needed where sizes differ. Mean and standard deviation are those of up to 1,024 images spread over
        the training split. Raises `InputError` for a folder without class folders or images.

        >>> FolderData.of(Path("no-such-folder"))
        Traceback (most recent call last):
            ...
        saddlepoint.errors.InputError: no folder no-such-folder; give a folder of class folders
        """
        root = Path(root)
        layout = scan(root)
        chosen, split = layout.entries(split)
        everything = layout.entries("all")[0]
        mode, size = _common(root, everything, image_size)
        sampled = [root / entry.path for entry in _spread(layout.training(), _SAMPLED)]
        sample = decode_all(
            sampled,
            lambda i: str(sampled[i]),
            mode=mode,
            size=size,
            image_size=image_size,
        )
        mean, std = statistics(sample)
        return cls(
            root=root,
            paths=tuple(entry.path for entry in chosen),
            sizes=tuple(entry.size for entry in chosen),
            labels=torch.tensor([entry.label for entry in chosen]),
            name=shown(root.resolve().name),
            split=split,
            classes=layout.classes,
            shape=(1 if mode == "L" else 3, *size),
            mean=mean,
            std=std,
            image_size=image_size,
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[UInt8[Tensor, "c h w"], int]:
        path = self.root / self.paths[index]
        image = decode(path, str(path), self._mode, self.image_size)
        if image.shape != self.shape:
            raise sizes_differ(str(path), tuple(image.shape[1:]), self.shape[1:])
        return image, int(self.labels[index])

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of paths, file sizes, labels and image size, not of the pixels.

        An image replaced by another of the same number of bytes is not noticed.
        """
        return fingerprint(
            {
                "paths": list(self.paths),
                "sizes": list(self.sizes),
                "labels": self.labels.tolist(),
                "image_size": self.image_size,
            }
        )

    @property
    def nbytes(self) -> int:
        """The bytes that all decoded pixels would take."""
        channels, height, width = self.shape
        return len(self) * channels * height * width

    def images(self, indices: Int64[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        """Return the images at `indices`, decoded now: float32 in [0, 1], on the CPU."""
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            decoded = [image for image, _ in pool.map(self.__getitem__, indices.tolist())]
        if not decoded:
            return torch.empty(0, *self.shape)
        return as_pixels(torch.stack(decoded))

    def take(self, indices: Int64[Tensor, " b"]) -> FolderData:
        """Return the images at `indices` as a data set with the same classes and statistics."""
        where = indices.tolist()
        return replace(
            self,
            paths=tuple(self.paths[i] for i in where),
            sizes=tuple(self.sizes[i] for i in where),
            labels=self.labels[indices.cpu()],
        )

    def first(self, count: int) -> FolderData:
        """Return the first `count` images, or all where there are fewer."""
        if count < 1:
            raise InputError(f"the limit is {count} images; give 1 or more")
        return self.take(torch.arange(min(count, len(self))))

    def resident(self, progress: Progress | None = None) -> TensorData:
        """Return all images decoded into memory, as uint8."""
        pixels = decode_all(
            [self.root / path for path in self.paths],
            lambda i: str(self.root / self.paths[i]),
            mode=self._mode,
            size=self.shape[1:],
            image_size=self.image_size,
            progress=progress,
        )
        return TensorData.of(
            pixels,
            self.labels,
            name=self.name,
            split=self.split,
            classes=self.classes,
            mean=self.mean,
            std=self.std,
        )

    @property
    def _mode(self) -> str:
        return "L" if self.shape[0] == 1 else "RGB"


def _common(
    root: Path, entries: Sequence[Entry], image_size: int | None
) -> tuple[str, tuple[int, int]]:
    modes: set[str] = set()
    sizes: dict[tuple[int, int], str] = {}
    for entry in _spread(entries, _PROBED):
        path = root / entry.path
        mode, size = probe(path, str(path))
        modes.add(mode)
        sizes.setdefault(size, str(path))
    mode = "L" if modes == {"L"} else "RGB"
    if image_size is not None:
        check_side(image_size)
        return mode, (image_size, image_size)
    if len(sizes) > 1:
        (first, _), (second, name) = list(sizes.items())[:2]
        raise sizes_differ(name, second, first)
    return mode, next(iter(sizes))


def _spread(entries: Sequence[Entry], count: int) -> list[Entry]:
    """Return `count` entries at even distances: files are sorted by class, so not the first."""
    if len(entries) <= count:
        return list(entries)
    return [entries[i * len(entries) // count] for i in range(count)]
