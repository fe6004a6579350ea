"""Checks of what a user hands in: images, labels, logits. Each error names the value seen and the
fix.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.scalars import numbers

ROUNDING = 1e-6
"""Pixels no further outside the range are rounding errors, as undoing a normalisation leaves them;
of half precision they are as large as its own roundings.
"""
Bound = float | tuple[float, ...]


def tensor_of(values: object, what: str) -> Tensor:
    """Return an array, or a list of numbers or of arrays, as a tensor; the memory is shared where it
    can be. Raises `InputError` for what is none.

    >>> tensor_of([1, 2], "labels")
    tensor([1, 2])
    """
    if isinstance(values, Tensor):
        return values.detach()
    try:
        if isinstance(values, list | tuple) and values and isinstance(values[0], Tensor):
            return torch.stack([each.detach() for each in values])
        array = np.asarray(values)
        # torch neither takes foreign byte orders nor read-only memory without a warning.
        native = array.dtype.newbyteorder("=")
        return torch.from_numpy(np.require(array, dtype=native, requirements=["C", "W"]))
    except (TypeError, ValueError, RuntimeError) as error:
        found = getattr(values, "dtype", f"a {type(values).__name__}")
        raise InputError(f"{what} are {found}; give a tensor or array of numbers") from error


def as_pixels(images: Tensor, low: Bound = 0.0, high: Bound = 1.0) -> Tensor:
    """Return 8-bit images, 0 … 255, as float32 in [0, 1], and others as they are: the one place
    where pixels are scaled, so that no model sees them otherwise.

    Raises `InputError` for 8-bit images where another range is meant.

    >>> as_pixels(torch.tensor([0, 255], dtype=torch.uint8)), as_pixels(torch.tensor([0.5]))
    (tensor([0., 1.]), tensor([0.5000]))
    """
    if images.dtype != torch.uint8:
        return images
    if (low, high) != (0.0, 1.0):
        raise InputError(
            f"images are torch.uint8, which stands for [0, 1], but the range is {_span(low, high)};"
            " give floats in it"
        )
    return images.to(torch.float32).div_(255)


def check_images(images: object, low: Bound = 0.0, high: Bound = 1.0) -> None:
    """Raise `InputError` unless `images` is a batch of finite floats in [low, high], but for
    rounding errors.

    >>> check_images(torch.tensor([[0.0, 255.0]]))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: images span 0 … 255, outside [0, 1]: divide them by 255
    """
    if not isinstance(images, Tensor):
        raise InputError(f"images are a {type(images).__name__}; give a tensor (n, c, h, w)")
    if images.is_meta or images.layout != torch.strided:
        kind = "on the meta device" if images.is_meta else str(images.layout)
        raise InputError(f"images are {kind}; give a dense tensor with values")
    if not images.is_floating_point():
        raise InputError(f"images are {images.dtype}; give uint8, or floats in {_span(low, high)}")
    if images.ndim < 2 or images.numel() == 0:
        raise InputError(
            f"images have shape {tuple(images.shape)}; give at least one image as (n, c, h, w)"
        )
    least, most = (float(v) for v in images.detach().aminmax())
    if least != least or most != most:  # NaN is the only value unequal to itself
        count = int(images.isnan().flatten(1).any(1).sum())
        raise InputError(f"{count} of {len(images)} images contain NaN; remove them")
    if not isinstance(low, tuple) and not isinstance(high, tuple) and low <= least and most <= high:
        return
    floor, ceiling = bounds_of(images, low, high)
    for bound in (floor, ceiling):
        if bound.ndim and len(bound) not in (1, images.shape[1]):
            raise InputError(
                f"the range has bounds for {len(bound)} channels, the images have {images.shape[1]}"
            )
    far = images < floor - _rounding(images, floor)
    far |= images > ceiling + _rounding(images, ceiling)
    if bool(far.any()):
        raise InputError(f"images {range_advice(least, most, low, high)}")


def in_range(images: object, low: Bound = 0.0, high: Bound = 1.0) -> Float[Tensor, "n ..."]:
    """Return the images with rounding errors outside [low, high] clamped, which is told in a
    warning; raises `InputError` for anything else, see `check_images`.

    Args:
        images: (n, c, h, w) or (n, d), a tensor or an array, 8-bit or floats; half precision comes
            back in float32 where it is clamped.
        low, high: the range; one number, or a tuple with one per channel.

    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     images = in_range(torch.tensor([[0.5, 1.0000001]]))
    >>> images, len(told)
    (tensor([[0.5000, 1.0000]]), 1)
    """
    pixels = as_pixels(tensor_of(images, "images"), low, high)
    check_images(pixels, low, high)
    return settled(pixels, low, high)


def settled(
    images: Float[Tensor, "n ..."], low: Bound = 0.0, high: Bound = 1.0, what: str = "pixels"
) -> Float[Tensor, "n ..."]:
    """Return the images with rounding errors outside [low, high] clamped, which is told in a
    warning that says of `what`; what is further outside, or no number, stays.

    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     settled(torch.tensor([[1.0000001, 1.1]]))
    tensor([[1.0000, 1.1000]])
    """
    least, most = bounds_of(images, low, high)
    if bool(((images >= least) & (images <= most)).all()):
        return images
    clamped = without_rounding(images, low, high)
    if bool(((clamped - images).abs() > 0).any()):
        warnings.warn(
            f"some {what} are outside {_span(low, high)} by a rounding error; they were clamped, and"
            " every result refers to the clamped images",
            stacklevel=3,
        )
        return clamped
    return images


def without_rounding(
    images: Float[Tensor, "n ..."], low: Bound = 0.0, high: Bound = 1.0
) -> Float[Tensor, "n ..."]:
    """Return the images with rounding errors outside [low, high] clamped, without a look at the
    values: on CUDA nothing waits for the host.

    >>> without_rounding(torch.tensor([[1.0000001, 1.1]]))
    tensor([[1.0000, 1.1000]])
    """
    least, most = bounds_of(images, low, high)
    x = images.to(least.dtype)
    inside = x.clamp(least, most)
    off = torch.maximum(_rounding(images, least), _rounding(images, most))
    return torch.where((x - inside).abs() <= off, inside, x)


def range_advice(
    least: float, most: float, low: Bound = 0.0, high: Bound = 1.0, words: str = ", outside"
) -> str:
    """Return what images spanning `least` … `most` are, and what to do to have them in [low, high].

    >>> range_advice(0.0, 255.0)
    'span 0 … 255, outside [0, 1]: divide them by 255'
    >>> range_advice(-0.02, 1.03)
    'span -0.02 … 1.03, outside [0, 1]: clip them, images.clamp(0, 1)'
    """
    if (low, high) != (0.0, 1.0):
        remedy = "give images inside, or the threat model another range (lower, upper)"
    elif least >= -_OVERSHOOT and most <= 1 + _OVERSHOOT:
        remedy = "clip them, images.clamp(0, 1)"
    elif least < 0:
        remedy = (
            "give pixels; put the normalisation inside the model (saddlepoint.model.Normalised)"
        )
    elif _GREY_LEVELS <= most <= 255:
        remedy = "divide them by 255"
    else:
        remedy = "divide them by their largest possible value (255 for 8 bits, 65535 for 16)"
    return f"span {_digits(least)} … {_digits(most)}{words} {_span(low, high)}: {remedy}"


# Resizing overshoots edges by less; 8-bit images that are darker than this are rarely a batch.
_OVERSHOOT, _GREY_LEVELS = 0.2, 32


def _digits(value: float) -> str:
    """Return four digits, or nine where four would say that a rounding error is none."""
    short = f"{value:.4g}"
    return f"{value:.9g}" if float(short).is_integer() and float(short) != value else short


def _span(low: Bound, high: Bound) -> str:
    if isinstance(low, tuple) or isinstance(high, tuple):
        return f"[{low}, {high}]"
    return f"[{low:g}, {high:g}]"


def bounds_of(images: Tensor, low: Bound, high: Bound) -> tuple[Tensor, Tensor]:
    """Return the bounds in the images' dtype (float32 at least), broadcasting with them.

    >>> [each.shape for each in bounds_of(torch.zeros(1, 3, 2, 2), 0.0, (1.0, 1.0, 0.5))]
    [torch.Size([]), torch.Size([3, 1, 1])]
    """
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    least, most = (numbers(b, images.new_empty((), dtype=dtype)) for b in (low, high))
    shape = (-1, *[1] * (images.ndim - 2))
    least, most = (bound.reshape(shape) if bound.ndim else bound for bound in (least, most))
    return least, most


def _rounding(images: Tensor, bound: Tensor) -> Tensor:
    """Return how far outside a bound a pixel may be for it to be a rounding error."""
    relative = max(ROUNDING, torch.finfo(images.dtype).eps)
    finite = torch.where(bound.isfinite(), bound.abs(), 1.0)
    return relative * finite.clamp_min(1.0)


def check_labels(labels: object, count: int, name: str = "labels") -> None:
    """Raise `InputError` unless `labels` is a vector of `count` whole numbers.

    >>> check_labels(torch.tensor([0.5]), 1)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: labels are torch.float32; give class indices as int64
    """
    if not isinstance(labels, Tensor):
        raise InputError(f"{name} are a {type(labels).__name__}; give a tensor of class indices")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise InputError(f"{name} are {labels.dtype}; give class indices as int64")
    if labels.shape != (count,):
        raise InputError(
            f"{name} have shape {tuple(labels.shape)} for {count} images; give one class index each"
        )


def check_classes(labels: Tensor, classes: int, name: str = "labels") -> None:
    """Raise `InputError` where a label is not one of 0 … classes − 1.

    >>> check_classes(torch.tensor([3, 10]), 10)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: labels span 3 … 10, but the model has 10 classes: use 0 … 9
    """
    least, most = (int(v) for v in labels.aminmax())
    if least < 0 or most >= classes:
        raise InputError(
            f"{name} span {least} … {most}, but the model has {classes} classes: use 0 … {classes - 1}"
        )


def check_class_names(
    labels: Tensor, classes: Sequence[str], outputs: int, what: str = "the model"
) -> tuple[str, ...]:
    """Return a note where there are more outputs than numbered classes; raise `InputError` where
    outputs and classes cannot be the same.

    Classes with names must be as many as the outputs. Classes that are their numbers may be fewer:
    nobody says how many there are.

    >>> check_class_names(torch.tensor([0, 1]), ("cat", "dog"), 1000)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: the model has 1,000 outputs, the data 2 classes (cat, dog); say
    which outputs they are with --classes FILE (read_class_map)
    """
    if outputs == len(classes):
        return ()
    if any(name != str(i) for i, name in enumerate(classes)):
        names = ", ".join(classes[:3]) + (", …" if len(classes) > 3 else "")
        raise InputError(
            f"{what} has {outputs:,} outputs, the data {len(classes):,} classes ({names}); say which"
            " outputs they are with --classes FILE (read_class_map)"
        )
    check_classes(labels, outputs)
    if outputs < len(classes):
        return ()
    return (
        f"{what} has {outputs:,} outputs for {len(classes):,} numbered classes: a label was taken"
        " for the number of an output",
    )
