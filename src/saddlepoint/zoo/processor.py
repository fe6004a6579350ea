"""What a `preprocessor_config.json` of Hugging Face asks to be done with images, as layers do it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from saddlepoint.errors import InputError, unknown
from saddlepoint.model import Preprocessing
from saddlepoint.model.normalised import LEAST_STD
from saddlepoint.reading import read_json, shown
from saddlepoint.threat import Statistics

PROCESSOR_FILE = "preprocessor_config.json"

_RESAMPLE = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers of those that layers can do
_OTHERS = {0: "nearest", 1: "Lanczos", 4: "box", 5: "Hamming"}
# The rest of an image processor does to 8-bit pictures what is done here to images in [0, 1].
_DONE = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
_OF_NO_EFFECT = ("do_convert_rgb",)
_WARPED_FROM = 384  # ConvNeXt: from this size on nothing is cut
_MOST = 1 << 20  # bytes of the file
_MOST_SIDE = 8192


@dataclass(frozen=True)
class _Kind:
    """How a class of image processors reads its numbers."""

    square: bool  # whether one number as `size` is both sides, or the shorter one
    crop: bool = False  # whether it cuts where the file does not say
    share: bool = False  # whether it cuts by `crop_pct`


_KINDS: Mapping[str, _Kind] = {
    "ViT": _Kind(square=True),
    "DeiT": _Kind(square=True, crop=True),
    "Beit": _Kind(square=True, crop=True),
    "Bit": _Kind(square=False, crop=True),
    "CLIP": _Kind(square=False, crop=True),
    "ConvNext": _Kind(square=False, share=True),
    "MobileNetV1": _Kind(square=False, crop=True),
    "MobileNetV2": _Kind(square=False, crop=True),
    "Pvt": _Kind(square=True),
    "Siglip": _Kind(square=True),
}


def read_processor(folder: Path, channels: int) -> tuple[Preprocessing, Statistics | None]:
    """Return how the images of a model of so many `channels` are resized and cut, and the mean and
    standard deviation they are normalised by, for images in [0, 1].

    Raises `InputError` where the folder has no `preprocessor_config.json`, and where that asks for
    anything that is not known to be done here alike.

    >>> read_processor(Path("no-such"), 3)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no-such has no preprocessor_config.json, which says how images are
    resized and normalised; save it there: processor.save_pretrained(folder)
    """
    path = folder / PROCESSOR_FILE
    if not path.exists() and not path.is_symlink():
        raise InputError(
            f"{shown(folder)} has no {PROCESSOR_FILE}, which says how images are resized and"
            " normalised; save it there: processor.save_pretrained(folder)"
        )
    given = read_json(path, _MOST)
    if not isinstance(given, dict):
        raise InputError(f"{shown(path)} is no mapping; save the image processor again")
    try:
        return _preprocessing(given), _statistics(given, channels)
    except InputError as error:
        raise InputError(f"{shown(path)}: {error}") from error


def _preprocessing(given: Mapping[str, Any]) -> Preprocessing:
    kind = _kind(given)
    for key, value in given.items():
        if key.startswith("do_") and key not in (*_DONE, *_OF_NO_EFFECT) and value:
            raise InputError(
                f"{shown(key)} is {shown(value)}, which no layer does here; bring the model as"
                " FILE.py:CALLABLE"
            )
    resize, crop, interpolation = None, None, "bilinear"
    if _flag(given, "do_resize", True):
        interpolation = _interpolation(given)
        resize = _sides(given, "size", kind.square)
        if kind.share:
            if not isinstance(resize, int):
                raise InputError(
                    f"size is {shown(given.get('size'))}; its kind has a shortest_edge"
                )
            side, share = resize, _share(given)
            resize, crop = (side, side), None
            if side < _WARPED_FROM:
                resize, crop = int(side / share), (side, side)
    if not kind.share and _flag(given, "do_center_crop", kind.crop):
        cut = _sides(given, "crop_size", True)
        crop = (cut, cut) if isinstance(cut, int) else cut
    return Preprocessing(resize, crop, interpolation)


def _kind(given: Mapping[str, Any]) -> _Kind:
    name = given.get("image_processor_type", given.get("feature_extractor_type"))
    if not isinstance(name, str):
        raise InputError(
            "it has no image_processor_type; save the image processor again, by a present version of"
            " transformers"
        )
    plain = name
    for suffix in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        plain = plain.removesuffix(suffix)
    if plain not in _KINDS:
        raise InputError(
            str(unknown("image_processor_type", name, [f"{k}ImageProcessor" for k in _KINDS]))
            + ";\nbring the model as FILE.py:CALLABLE"
        )
    return _KINDS[plain]


def _flag(given: Mapping[str, Any], key: str, default: bool) -> bool:
    value = given.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InputError(f"{key} is {shown(value)}; give true or false")
    return value


def _interpolation(given: Mapping[str, Any]) -> str:
    value = given.get("resample")
    if isinstance(value, int) and not isinstance(value, bool) and value in _RESAMPLE:
        return _RESAMPLE[value]
    name = _OTHERS.get(value, "") if isinstance(value, int) else ""
    told = f"{shown(value)} ({name})" if name else "missing" if value is None else shown(value)
    raise InputError(f"resample is {told}; layers do 2 (bilinear) and 3 (bicubic)")


def _sides(given: Mapping[str, Any], key: str, square: bool) -> int | tuple[int, int]:
    """Return (height, width), or the shorter side."""
    value = given.get(key)
    if isinstance(value, dict) and value.keys() == {"height", "width"}:
        high, wide = value["height"], value["width"]
        if _is_side(high) and _is_side(wide):
            return high, wide
    if isinstance(value, dict) and value.keys() == {"shortest_edge"}:
        value, square = value["shortest_edge"], False
    if _is_side(value):
        return (value, value) if square else value
    told = "missing" if value is None else shown(value)
    raise InputError(
        f"{key} is {told}; give height and width, or shortest_edge, from 1 to {_MOST_SIDE:,}"
    )


def _is_side(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_SIDE


def _share(given: Mapping[str, Any]) -> float:
    value = given.get("crop_pct")
    if value is None:
        return 224 / 256  # what the class takes
    if not _is_number(value) or not 0.1 <= value <= 1:
        raise InputError(f"crop_pct is {shown(value)}; give a share from 0.1 to 1")
    return float(value)


def _statistics(given: Mapping[str, Any], channels: int) -> Statistics | None:
    factor = given.get("rescale_factor")
    if not _flag(given, "do_rescale", True):
        raise InputError(
            "do_rescale is false, so that the model takes no images in [0, 1]; bring it as"
            " FILE.py:CALLABLE"
        )
    if factor is not None and not (
        _is_number(factor) and math.isclose(factor, 1 / 255, rel_tol=1e-5)
    ):
        raise InputError(
            f"rescale_factor is {shown(factor)}, not 1/255, so that the model takes no images in"
            " [0, 1]; bring it as FILE.py:CALLABLE"
        )
    if given.get("rescale_offset"):
        raise InputError("rescale_offset moves the images; bring the model as FILE.py:CALLABLE")
    if not _flag(given, "do_normalize", True):
        return None
    mean, std = (_numbers(given, key, channels) for key in ("image_mean", "image_std"))
    if not all(value >= LEAST_STD for value in std):
        raise InputError(f"image_std is {shown(list(std))}; nothing can be divided by that")
    return mean, std


def _numbers(given: Mapping[str, Any], key: str, channels: int) -> tuple[float, ...]:
    value = given.get(key)
    if _is_number(value):
        value = [value] * channels
    if not isinstance(value, list) or not all(_is_number(each) for each in value):
        told = "missing" if value is None else shown(value)
        raise InputError(f"{key} is {told}; give a number for each channel")
    if len(value) != channels:
        raise InputError(
            f"{key} has {len(value)} numbers, and the model takes images of {channels} channels"
        )
    return tuple(float(each) for each in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
