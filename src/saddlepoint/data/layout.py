"""How a folder of images is laid out: class folders, perhaps below `train` and `test`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from saddlepoint.errors import InputError
from saddlepoint.files import reason
from saddlepoint.reading import shown

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")

_TRAIN = ("train", "training")
_TEST = ("test", "val", "valid", "validation")


@dataclass(frozen=True)
class Entry:
    """One image: its path below the root, its bytes on disk, its label.

    >>> Entry("cat/1.png", 120, 0).label
    0
    """

    path: str
    size: int
    label: int


@dataclass(frozen=True)
class Layout:
    """The images of a folder by split; a folder without splits has `all` only.

    >>> Layout(Path("pets"), ("cat",), {"all": (Entry("cat/1.png", 120, 0),)}).entries("test")
    ((Entry(path='cat/1.png', size=120, label=0),), 'all')
    """

    root: Path
    classes: tuple[str, ...]
    splits: dict[str, tuple[Entry, ...]]

    def entries(self, split: str) -> tuple[tuple[Entry, ...], str]:
        """Return the images of a split and the split they are; raises `InputError` without it."""
        if "all" in self.splits:
            return self.splits["all"], "all"
        if split == "all":
            return tuple(entry for part in self.splits.values() for entry in part), "all"
        if split not in self.splits:
            has = ", ".join(self.splits)
            raise InputError(
                f"{shown(self.root)} has a {has} folder but none for '{split}'; add one"
            )
        return self.splits[split], split

    def training(self) -> tuple[Entry, ...]:
        """Return the images that statistics may be computed on: the training split, or all."""
        return self.splits.get("train") or self.entries("all")[0]


def scan(root: Path) -> Layout:
    """Return the images below `root`, sorted by path; hidden and other files are passed over.

    `val`, `valid` and `validation` stand for `test` where there is no folder `test`. Labels count
    the classes of all splits in alphabetical order.

    >>> scan(Path("no-such-folder"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no folder no-such-folder; give a folder of class folders
    """
    if not root.is_dir():
        raise InputError(f"no folder {shown(root)}; give a folder of class folders")
    homes = _homes(root)
    classes = tuple(sorted({child.name for home in homes.values() for child in _folders(home)}))
    if not classes:
        raise InputError(
            f"{shown(root)} has no class folders; put the images in one folder per class"
        )
    splits = {
        split: tuple(
            Entry(path.relative_to(root).as_posix(), _bytes(path), label)
            for label, name in enumerate(classes)
            for path in _images(home / name)
        )
        for split, home in homes.items()
    }
    for split, entries in splits.items():
        if not entries:
            raise InputError(
                f"{shown(homes[split])} holds no images in its class folders (looked for "
                f"{', '.join(SUFFIXES)})"
            )
    return Layout(root, tuple(shown(name) for name in classes), splits)


def _homes(root: Path) -> dict[str, Path]:
    """Return the folder that holds the class folders of each split.

    A folder called `train` that holds images but no folders is a class of that name.
    """
    below = {child.name: child for child in _folders(root) if _folders(child)}
    homes = {}
    for split, names in (("train", _TRAIN), ("test", _TEST)):
        found = [below[name] for name in names if name in below]
        if found:
            homes[split] = found[0]
    return homes or {"all": root}


def _folders(home: Path) -> list[Path]:
    try:
        children = list(home.iterdir())
    except OSError as error:
        raise InputError(f"cannot read {shown(home)}: {reason(error)}") from error
    return sorted(child for child in children if child.is_dir() and child.name[0] != ".")


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        why = "it is a link to nothing" if path.is_symlink() else reason(error)
        raise InputError(f"cannot read {shown(path)}: {why}") from error


def _images(home: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # a split need not have every class
            raise InputError(f"cannot read {shown(error.filename)}: {reason(error)}") from error

    for folder, names, files in os.walk(home, onerror=refuse):
        names[:] = sorted(name for name in names if name[0] != ".")
        for file in sorted(files):
            if file[0] != "." and file.lower().endswith(SUFFIXES):
                yield Path(folder) / file
