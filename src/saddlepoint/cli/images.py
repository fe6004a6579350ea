"""From what a command was given to the device and the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saddlepoint.cli.console import progress
from saddlepoint.cli.options import DataOptions
from saddlepoint.counts import MOST_THREADS, check_count
from saddlepoint.errors import InputError, unknown

if TYPE_CHECKING:
    import torch

    from saddlepoint.data import ImageData


def choose_device(name: str = "auto", threads: int | None = None) -> torch.device:
    """Return the device, after setting the number of threads; raises `InputError` where CUDA is
    absent.
    """
    import torch

    if threads is not None:
        check_count("threads", threads, most=MOST_THREADS)
        torch.set_num_threads(threads)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (":" in name and not (number.isascii() and number.isdigit())):
        raise unknown("device", name, ("auto", "cpu", "cuda", "cuda:0"))
    if kind == "cpu":
        if number.strip("0"):
            raise InputError(f"there is no {name}, only one cpu; use --device cpu")
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError("CUDA was asked for, but torch finds no CUDA device; use --device cpu")
    if number and (len(number) > 4 or int(number) >= torch.cuda.device_count()):
        raise InputError(f"there is no {name}; torch finds {torch.cuda.device_count()} device(s)")
    return torch.device(name)


def check_images(given: DataOptions, split: str) -> None:
    """Raise `InputError` for a number or a split that no images could be read by."""
    if given.limit is not None:
        check_count("limit", given.limit)
    if split not in ("train", "test", "all"):
        raise unknown("split", split, ("train", "test", "all"))


def read_data(given: DataOptions, split: str, device: torch.device) -> ImageData:
    """Return the first images of a split, on the device where they fit in memory."""
    from saddlepoint.data import TensorData, load_data

    check_images(given, split)
    with progress("reading") as tick:
        found = load_data(
            given.data,
            split=split,
            data_root=given.data_root,
            download=given.download,
            image_size=given.image_size,
            limit=given.limit,
            progress=tick,
        )
    return found.to(device) if isinstance(found, TensorData) else found
