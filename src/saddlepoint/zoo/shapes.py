"""Image sides as models take them: one number for squares, a pair otherwise."""

from __future__ import annotations

from saddlepoint.errors import InputError

Size = int | tuple[int, int]


def sides(size: Size) -> tuple[int, int]:
    """Return height and width; raises `InputError` where one is below 1.

    >>> sides(32), sides((32, 48))
    ((32, 32), (32, 48))
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise InputError(f"the image size is {height}×{width}; give positive sides")
    return height, width


def check_counts(classes: int, channels: int) -> None:
    """Raise `InputError` for fewer than two classes or no channels.

    >>> check_counts(1, 3)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: a model of 1 classes cannot be attacked; give 2 or more
    """
    if classes < 2:
        raise InputError(f"a model of {classes} classes cannot be attacked; give 2 or more")
    if channels < 1:
        raise InputError(f"a model of {channels} input channels; give 1 or more")
