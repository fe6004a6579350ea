"""Samples as files: all of them exactly, and a sheet of the first as one picture."""

from __future__ import annotations

import io
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.files import write

SAMPLES_FILE, SHEET_FILE = "samples.safetensors", "samples.png"
_SIDE = 10  # images in a row and in a column of a sheet


def sheet(images: Float[Tensor, "n c h w"], columns: int = _SIDE) -> Float[Tensor, "c H W"]:
    """Return images in rows, one pixel of white between them; cells without an image are white.

    >>> sheet(torch.zeros(5, 1, 4, 4), columns=3).shape
    torch.Size([1, 9, 14])
    """
    n, channels, height, width = images.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    found = torch.ones(channels, rows * (height + 1) - 1, columns * (width + 1) - 1)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        found[:, top : top + height, left : left + width] = image
    return found


def sheet_png(images: Float[Tensor, "n c h w"]) -> bytes:
    """Return a sheet of the first 100 images, grey or RGB, as a PNG; of other channels their mean.

    >>> sheet_png(torch.zeros(2, 1, 4, 4))[1:4]
    b'PNG'
    """
    whole = sheet(images[: _SIDE**2].detach().cpu().float())
    if len(whole) not in (1, 3):
        whole = whole.mean(0, keepdim=True)
    array = (whole.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(buffer, format="PNG")
    return buffer.getvalue()


def save_samples(samples: Float[Tensor, "n c h w"], out: Path) -> tuple[Path, Path]:
    """Write samples as float32 under the name `images`, and the sheet; return both paths.

    Raises `InputError` for no samples, `OutputError` where the disk refuses.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in save_samples(torch.rand(3, 1, 4, 4), Path(folder))]
    ['samples.safetensors', 'samples.png']
    """
    if samples.ndim != 4 or not len(samples):
        raise InputError(f"the samples have shape {tuple(samples.shape)}; give (n, c, h, w)")
    content = safetensors.torch.save({"images": samples.detach().cpu().float().contiguous()})
    return write(out / SAMPLES_FILE, content), write(out / SHEET_FILE, sheet_png(samples))
