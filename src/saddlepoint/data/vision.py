"""The data sets as torchvision keeps them on disk, and its downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from saddlepoint.data.datasets import DATASETS
from saddlepoint.data.tensor_data import TensorData
from saddlepoint.errors import InputError

# The class in torchvision.datasets for each name; cifar10-jpeg is nobody's download.
VISION_CLASSES = (
    ("mnist", "MNIST"),
    ("fashion-mnist", "FashionMNIST"),
    ("cifar10", "CIFAR10"),
    ("cifar100", "CIFAR100"),
)


def read_vision(name: str, split: str, root: Path, download: bool) -> TensorData | None:
    """Return a named data set from torchvision's layout below `root`; None where it is not there.

    `split` is `train` or `test`. It is downloaded only with `download`. Raises `InputError` where
    torchvision is not installed or the download fails.

    >>> read_vision("cifar10-jpeg", "test", Path("no-such-folder"), download=False) is None
    True
    """
    kind = dict(VISION_CLASSES).get(name)
    if kind is None:
        return None
    try:
        from torchvision import datasets
    except ImportError as error:
        raise InputError(
            f"{name} is not below {root} as Parquet, and other forms need torchvision: "
            "pip install 'saddlepoint[zoo]'"
        ) from error
    try:
        found: Any = getattr(datasets, kind)(root, train=split == "train", download=download)
    except Exception as error:  # its readers and the network raise nearly everything
        if not download and "Dataset not found" in str(error):
            return None
        doing = "download" if download else "read"
        what = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"cannot {doing} {name} below {root}: {what}") from error
    info = DATASETS[name]
    return TensorData.of(
        found.data,
        _targets(found.targets),
        name=name,
        split=split,
        classes=info.classes,
        mean=info.mean,
        std=info.std,
    )


def _targets(targets: Any) -> Any:
    import torch

    return targets if isinstance(targets, torch.Tensor) else torch.tensor(targets)
