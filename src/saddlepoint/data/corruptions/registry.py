"""The fifteen corruptions by name, in the paper's order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from saddlepoint.data.corruptions.corruption import Corruption, check_severity
from saddlepoint.data.corruptions.defocus import defocus_blur
from saddlepoint.data.corruptions.elastic import elastic_transform
from saddlepoint.data.corruptions.frost import frost
from saddlepoint.data.corruptions.glass import glass_blur
from saddlepoint.data.corruptions.motion import motion_blur
from saddlepoint.data.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from saddlepoint.data.corruptions.storage import jpeg_compression, pixelate
from saddlepoint.data.corruptions.tone import brightness, contrast
from saddlepoint.data.corruptions.weather import fog, snow
from saddlepoint.data.corruptions.zoom import zoom_blur
from saddlepoint.errors import InputError, unknown

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        each.name: each
        for each in (
            Corruption("gaussian-noise", "noise", "normal noise of every value", gaussian_noise),
            Corruption("shot-noise", "noise", "the noise of counted photons", shot_noise),
            Corruption("impulse-noise", "noise", "values that become 0 or 1", impulse_noise),
            Corruption("defocus-blur", "blur", "a lens out of focus: disks", defocus_blur),
            Corruption("glass-blur", "blur", "frosted glass: pixels out of place", glass_blur),
            Corruption("motion-blur", "blur", "a moving camera: a line that fades", motion_blur),
            Corruption("zoom-blur", "blur", "a camera that comes nearer", zoom_blur),
            Corruption("snow", "weather", "whiter, with moving flakes", snow),
            Corruption("frost", "weather", "a layer of ice, drawn: not the published one", frost),
            Corruption("fog", "weather", "clouds of a random height map", fog),
            Corruption(
                "brightness", "weather", "a larger value, hue and saturation kept", brightness
            ),
            Corruption("contrast", "digital", "values nearer to their mean", contrast),
            Corruption("elastic-transform", "digital", "a rubber sheet", elastic_transform),
            Corruption("pixelate", "digital", "fewer pixels", pixelate),
            Corruption("jpeg-compression", "digital", "JPEG of a low quality", jpeg_compression),
        )
    }
)
"""Each by its name; underscores in place of hyphens are found too, by `corruption_named`."""


def corruption_named(name: str) -> Corruption:
    """Return the corruption of a name, whether written with hyphens or, as published, underscores.

    Raises `InputError` for a name that is none.

    >>> corruption_named("jpeg_compression").name
    'jpeg-compression'
    """
    found = CORRUPTIONS.get(name.replace("_", "-"))
    if found is None:
        raise unknown("corruption", name, CORRUPTIONS)
    return found


def corruptions_named(names: Sequence[str] | None) -> tuple[Corruption, ...]:
    """Return the named corruptions in the paper's order, each once; None is all.

    >>> [each.name for each in corruptions_named(["fog", "snow", "fog"])]
    ['snow', 'fog']
    """
    if names is None:
        return tuple(CORRUPTIONS.values())
    wanted = {corruption_named(name).name for name in names}
    if not wanted:
        raise InputError(f"no corruption is named; give some of {', '.join(CORRUPTIONS)}")
    return tuple(each for name, each in CORRUPTIONS.items() if name in wanted)


def parse_corruption(text: str) -> tuple[Corruption, int]:
    """Return the corruption and the severity that NAME:SEVERITY names.

    >>> corruption, severity = parse_corruption("fog:3")
    >>> corruption.name, severity
    ('fog', 3)
    """
    name, _, number = text.partition(":")
    found = corruption_named(name.strip())
    number = number.strip()
    if len(number) > 4 or not (number.isascii() and number.isdigit()):
        raise InputError(f"corruption {text:.60}: write NAME:SEVERITY, for instance {found.name}:3")
    check_severity(int(number))
    return found, int(number)
