"""Data sets that others bring: a function of a split, in a file or an installed package."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from saddlepoint.configuration import source_of
from saddlepoint.data.datasets import DATASETS, DatasetInfo
from saddlepoint.data.folder import FolderData
from saddlepoint.data.tensor_data import TensorData, joined
from saddlepoint.errors import InputError
from saddlepoint.plugins import Registry, why


@dataclass(frozen=True)
class DataSource:
    """A data set of a plug-in, and what its function says of itself in its first line.

    >>> DataSource("noise", lambda split: ([], [])).reference
    ''
    """

    name: str
    load: Callable[..., Any]
    reference: str = ""
    source: str = ""

    def read(self, split: str, root: Path) -> TensorData | FolderData:
        """Return the images of a split; a function without the parameter `split` has one of all.

        Classes and statistics are those of the training images, also of a test split.
        Raises `InputError` where the function fails, or returns no images with labels.

        >>> import torch
        >>> source = DataSource("noise", lambda: (torch.rand(4, 1, 8, 8), torch.arange(4)))
        >>> len(source.read("test", Path())), source.read("test", Path()).split
        (4, 'all')
        """
        if "split" not in inspect.signature(self.load).parameters:
            return self._part("all", root)
        if split == "all":
            parts = [self._part(each, root) for each in ("train", "test")]
            if all(isinstance(part, TensorData) for part in parts):
                return joined([part for part in parts if isinstance(part, TensorData)])
            raise InputError(f"the data set {self.name} has two splits on disk; name one of them")
        return self._part(split, root)

    def _part(self, split: str, root: Path) -> TensorData | FolderData:
        found = self._called(split, root)
        if isinstance(found, TensorData | FolderData):
            return found
        data = self._tensors(found, split)
        if split not in ("train", "all"):
            own = self._tensors(self._called("train", root), "train")
            classes = max(own.classes, data.classes, key=len)
            data = replace(data, classes=classes, mean=own.mean, std=own.std)
        return data

    def _tensors(self, found: Any, split: str) -> TensorData:
        if not isinstance(found, tuple) or len(found) != 2:
            raise InputError(
                f"the data set {self.name} returned {type(found).__name__}; return (images, labels)"
                " or a TensorData"
            )
        try:
            return TensorData.of(*found, name=self.name, split=split)
        except InputError as error:
            raise InputError(f"the data set {self.name}: {error}") from error

    def _called(self, split: str, root: Path) -> Any:
        known = inspect.signature(self.load).parameters
        given = {key: value for key, value in (("split", split), ("root", root)) if key in known}
        try:
            return self.load(**given)
        except InputError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(f"the data set {self.name} failed: {why(error)}") from error


def _brought(name: str, found: Any) -> DataSource:
    if not callable(found) or inspect.isclass(found):
        raise InputError(
            f"the data set {name} is {found!r:.60}; give a function of split, which returns"
            " (images, labels)"
        )
    said = (inspect.getdoc(found) or "").partition("\n")[0]
    return DataSource(name, found, said, source_of(found) or "")


SOURCES: Registry[DatasetInfo | DataSource] = Registry(
    "data set", DATASETS, _brought, group="saddlepoint.data"
)
"""Our named data sets, and those that installed packages bring."""
