"""Images seen through an affine map, one for each."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def affine(
    images: Float[Tensor, "n c h w"],
    matrix: Float[Tensor, "n 2 2"],
    shift: Float[Tensor, "n 2"],
    centre: tuple[float, float] = (0.0, 0.0),
) -> Float[Tensor, "n c h w"]:
    """Return images whose pixel at p shows what was at M(p − c) + c + shift, between four pixels;
    black from outside.

    Args:
        images: whose pixels have their centres at halves: the first at (½, ½).
        matrix: M, of (x, y).
        shift: in pixels, of (x, y).
        centre: c, in pixels.

    >>> image = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> affine(image, torch.eye(2)[None], torch.tensor([[1.0, 0.0]]))
    tensor([[[[2., 3., 0.]]]])
    """
    _, _, h, w = images.shape
    rows, columns = (
        torch.arange(side, dtype=images.dtype, device=images.device) + 0.5 for side in (h, w)
    )
    x, y = (columns - centre[0]).expand(h, w), (rows - centre[1])[:, None].expand(h, w)
    m, s = matrix[:, :, :, None, None].to(images.dtype), shift[:, :, None, None].to(images.dtype)
    seen_x = m[:, 0, 0] * x + m[:, 0, 1] * y + centre[0] + s[:, 0]
    seen_y = m[:, 1, 0] * x + m[:, 1, 1] * y + centre[1] + s[:, 1]
    grid = torch.stack([2 * seen_x / w - 1, 2 * seen_y / h - 1], dim=-1)
    return functional.grid_sample(images, grid, mode="bilinear", align_corners=False)


def sheared(
    images: Float[Tensor, "n c h w"], amount: Float[Tensor, " n"], axis: int
) -> Float[Tensor, "n c h w"]:
    """Return images sheared from their first row (axis 0: along x) or column (axis 1: along y): each
    row begins `amount` pixels further on than the one above.

    >>> sheared(torch.ones(1, 1, 2, 2), torch.zeros(1), 0).sum()
    tensor(4.)
    """
    matrix = torch.eye(2, device=images.device).repeat(len(images), 1, 1)
    matrix[:, axis, 1 - axis] = amount
    return affine(images, matrix, torch.zeros(len(images), 2, device=images.device))


def translated(
    images: Float[Tensor, "n c h w"], pixels: Float[Tensor, " n"], axis: int
) -> Float[Tensor, "n c h w"]:
    """Return images moved by so many pixels to the left (axis 0) or up (axis 1).

    >>> translated(torch.tensor([[[[1.0, 2.0]]]]), torch.ones(1), 0)
    tensor([[[[2., 0.]]]])
    """
    shift = torch.zeros(len(images), 2, device=images.device)
    shift[:, axis] = pixels
    return affine(images, torch.eye(2, device=images.device).repeat(len(images), 1, 1), shift)


def rotated(
    images: Float[Tensor, "n c h w"], degrees: Float[Tensor, " n"]
) -> Float[Tensor, "n c h w"]:
    """Return images turned about their centre, anticlockwise.

    >>> rotated(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([90.0])).round()
    tensor([[[[2., 4.],
              [1., 3.]]]])
    """
    angle = degrees * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    h, w = images.shape[2:]
    nowhere = torch.zeros(len(images), 2, device=images.device)
    return affine(images, matrix, nowhere, (w / 2, h / 2))
