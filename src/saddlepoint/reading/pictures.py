"""Opening of encoded pictures, of 8 bits and of a size that fits."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from saddlepoint.errors import InputError
from saddlepoint.reading.opened import first_line, opened, shown

# Others would be decoded by programs that a file has no business to start, such as Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM")
# Pixels of one picture: 8192 × 8192. A PNG of 70 kB can hold as many.
_PIXELS = 1 << 26
# Modes with more than 8 bits per channel: Pillow would clip them to white without a word.
_DEEP = ("I", "F")


@contextlib.contextmanager
def picture(source: Path | bytes, label: str) -> Iterator[Image.Image]:
    """Open a picture, a path or its bytes, while the block runs, which may decode it.

    `label` names it in errors. Raises `InputError` where it is damaged, has more than 8 bits per
    channel or more than 67 million pixels; whatever decoding raises in the block becomes one.

    >>> file = io.BytesIO()
    >>> Image.new("L", (8, 6)).save(file, "PNG")
    >>> with picture(file.getvalue(), "grey.png") as image:
    ...     image.size
    (8, 6)
    """
    with contextlib.ExitStack() as stack:
        file = (
            io.BytesIO(source) if isinstance(source, bytes) else stack.enter_context(opened(source))
        )
        try:
            image = Image.open(file, formats=_FORMATS)
            _check(image, label)
            yield image
        except InputError:
            raise
        except UnidentifiedImageError as error:
            raise InputError(
                f"{shown(label)} is not an image that can be read; remove it"
            ) from error
        except MemoryError as error:
            raise InputError(f"the image {shown(label)} needs more memory than there is") from error
        except Exception as error:  # its decoders raise nearly everything
            raise InputError(
                f"cannot read the image {shown(label)}: {first_line(error)}"
            ) from error


def _check(image: Image.Image, label: str) -> None:
    if image.width * image.height > _PIXELS:
        raise InputError(
            f"{shown(label)} is {image.height}×{image.width} pixels, more than {_PIXELS:,}; make it"
            " smaller"
        )
    bits = image.mode if image.mode.startswith(_DEEP) else _deep_tile(image)
    if bits:
        raise InputError(
            f"{shown(label)} has more than 8 bits per channel (mode {bits}); convert it to 8 bits"
        )


def _deep_tile(image: Image.Image) -> str | None:
    """Return how the file stores its pixels where that is deeper than what Pillow makes of them.

    Colour of 16 bits is given as RGB of 8, the lower half cut off.
    """
    for tile in getattr(image, "tile", ()):
        args: Any = tile[3]
        raw, *rest = args if isinstance(args, tuple) else (args,)
        if isinstance(raw, str) and ";16" in raw:
            return raw
        # Of a PPM the second argument is the largest value.
        if image.format == "PPM" and rest and isinstance(rest[0], int) and rest[0] > 255:
            return f"{raw}, up to {rest[0]}"
    return None
