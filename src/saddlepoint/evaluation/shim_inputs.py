"""Checks of what the calls of other libraries are given; each error names it and the fix."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from saddlepoint.attacks import Attack
from saddlepoint.checks import check_labels, tensor_of
from saddlepoint.counts import check_seed
from saddlepoint.errors import InputError
from saddlepoint.model import Guard


def check_setting(name: str, value: Any) -> None:
    """Raise `InputError` where an attack, a model, a seed, a log or a log_path is none; what has
    another name is not looked at.

    >>> check_setting("log_path", 3)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: log_path is 3; give the path of a file
    """
    if name == "attack" and not isinstance(value, Attack):
        raise InputError(f"attack is {value!r}; give an attack, as PGD(Linf(8 / 255))")
    if name == "model":
        Guard(value, 0)  # refuses what is no module
    if name == "seed":
        check_seed(value)
    if name == "log" and value is not None and not callable(value):
        raise InputError(f"log is {value!r}; give a function that takes a line, as print")
    if name.endswith("_path") and value is not None:
        check_path(name, value)


def check_path(name: str, value: Any) -> None:
    """Raise `InputError` unless `value` is a path or its text.

    >>> check_path("save_path", "adversarial.pt")
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{name} is {value!r}; give the path of a file")


def names_of(name: str, value: Any) -> list[str]:
    """Return one name or several as a list; raises `InputError` for anything else.

    >>> names_of("attacks_to_run", "apgd-ce")
    ['apgd-ce']
    """
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, Iterable):
        raise InputError(f"{name} is {value!r}; give a list of attacks' names")
    found = list(several)
    for each in found:
        if not isinstance(each, str):
            raise InputError(f"{name} has {each!r}; give attacks' names, as 'apgd-ce'")
    return found


def batch_of(images: object, labels: object) -> tuple[Tensor, Int64[Tensor, " n"]]:
    """Return images and labels as tensors; raises `InputError` unless they are a label for each.

    >>> batch_of([[0.1], [0.2]], [[0], [1]])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: labels have shape (2, 1) for 2 images; give one class index each
    """
    x, y = tensor_of(images, "images"), tensor_of(labels, "labels")
    if x.ndim < 2 or not len(x):
        raise InputError(
            f"images have shape {tuple(x.shape)}; give at least one image as (n, c, h, w)"
        )
    check_labels(y, len(x))
    return x, y


def numbered(loader: Any) -> Iterator[tuple[Tensor, Tensor, Int64[Tensor, " n"]]]:
    """Yield the images, labels and places in the data of each batch of a loader.

    Raises `InputError` for what yields no pairs of images and labels.

    >>> [ids.tolist() for _, _, ids in numbered([([[0.1], [0.2]], [0, 1]), ([[0.3]], [1])])]
    [[0, 1], [2]]
    """
    if not isinstance(loader, Iterable):
        raise InputError(f"the loader is a {type(loader).__name__}; give batches (images, labels)")
    total = 0
    for place, batch in enumerate(loader):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            seen = f"a {type(batch).__name__}"
            if isinstance(batch, tuple | list):
                seen += f" of {len(batch)}"
            raise InputError(f"batch {place} of the loader is {seen}; give pairs (images, labels)")
        images, labels = batch_of(*batch)
        yield images, labels, torch.arange(total, total + len(images))
        total += len(images)
    if not total:
        raise InputError("the loader is empty; give at least one image")
