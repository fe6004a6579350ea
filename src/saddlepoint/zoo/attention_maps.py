"""What a vision transformer has learned to look at: distances, rollout, codes of places, filters.

Dosovitskiy et al., An Image is Worth 16x16 Words, 2021, arXiv:2010.11929, section 4.5. The
attention is what `record_attention` collects.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.zoo.tables import Grid, resized_grid


def attention_distance(
    attention: Float[Tensor, "n h t t"], grid: Grid, patch: int, *, renormalise: bool = True
) -> Float[Tensor, "n h"]:
    """Return how far each head looks, in pixels: Σ_k A_qk·‖p_q − p_k‖·patch, averaged over q.

    Places are the patches' of a grid, row by row; a class token before them is left out. With
    `renormalise` what a patch gives to other patches sums to 1 again without it; else the share
    that goes to the class token counts as distance 0.

    Raises `InputError` where the tokens are not those of the grid.

    >>> attention_distance(torch.full((1, 1, 2, 2), 0.5), (1, 2), patch=4)
    tensor([[2.]])
    """
    places = grid[0] * grid[1]
    classed = attention.shape[-1] - places
    if classed not in (0, 1):
        raise InputError(
            f"attention among {attention.shape[-1]} tokens, but a grid of {grid[0]}×{grid[1]} has"
            f" {places}, or {places + 1} with a class token"
        )
    among = attention[..., classed:, classed:]
    if renormalise:
        among = among / among.sum(-1, keepdim=True)
    rows, columns = torch.meshgrid(*(torch.arange(s) for s in grid), indexing="ij")
    place = torch.stack([rows, columns], -1).flatten(0, 1).to(attention)
    distance = (place[:, None] - place).norm(dim=-1) * patch
    mean: Tensor = (among * distance).sum(-1).mean(-1)
    return mean


def rollout(layers: Sequence[Float[Tensor, "n h t t"]]) -> Float[Tensor, "n t t"]:
    """Return how much of each token of the image is in each token at the end: ∏ (mean_h A_l + I)/2.

    Rows sum to 1; row 0 is the class token's. The residual branch is the I. It is not defined for
    Swin, whose tokens merge. Abnar & Zuidema, Quantifying Attention Flow in Transformers, 2020,
    arXiv:2005.00928.

    Raises `InputError` without layers, and for the attention of windows.

    >>> rollout([torch.eye(3).expand(1, 2, 3, 3)])[0]
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]])
    """
    if not layers or any(each.ndim != 4 or each.shape != layers[0].shape for each in layers):
        raise InputError("rollout takes the attention (n, h, t, t) of every layer of a ViT")
    tokens = layers[0].shape[-1]
    identity = torch.eye(tokens, dtype=layers[0].dtype, device=layers[0].device)
    joint = identity.expand(len(layers[0]), -1, -1)
    for attention in layers:
        joint = (attention.mean(1) + identity) / 2 @ joint
    return joint


def class_rollout(layers: Sequence[Float[Tensor, "n h t t"]], grid: Grid) -> Float[Tensor, "n h w"]:
    """Return the class token's row of the rollout as a map of the patches.

    >>> class_rollout([torch.full((1, 2, 5, 5), 0.2)], (2, 2)).shape
    torch.Size([1, 2, 2])
    """
    return torch.unflatten(rollout(layers)[:, 0, 1:], 1, grid)


def position_similarity(codes: Float[Tensor, "places d"], grid: Grid) -> Float[Tensor, "h w h w"]:
    """Return the cosine of the code of each place with that of every place; give no class token's.

    >>> position_similarity(torch.eye(4), (2, 2))[0, 1]
    tensor([[0., 1.],
            [0., 0.]])
    """
    unit = functional.normalize(codes, dim=1)
    return (unit @ unit.T).reshape(*grid, *grid)


def filter_components(
    filters: Float[Tensor, "d c p p"], count: int = 28
) -> tuple[Float[Tensor, "m c p p"], Float[Tensor, " m"]]:
    """Return the first principal components of embedding filters, and their shares of the variance.

    The components have length 1, and their sign is that of the largest weight. There are at most
    as many as filters or weights of one.

    >>> components, shares = filter_components(torch.rand(96, 3, 4, 4), 5)
    >>> components.shape, shares.shape
    (torch.Size([5, 3, 4, 4]), torch.Size([5]))
    """
    flat = filters.flatten(1)
    _, values, components = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    variance = values.square()
    shares = variance / variance.sum().clamp_min(torch.finfo(flat.dtype).tiny)
    signed = components * largest.sign()
    return signed[:count].reshape(-1, *filters.shape[1:]), shares[:count]


def enlarged(maps: Float[Tensor, "n h w"], size: Grid) -> Float[Tensor, "n h2 w2"]:
    """Return maps of patches in the size of the images, by bicubic interpolation.

    >>> enlarged(torch.ones(2, 4, 4), (32, 32)).shape
    torch.Size([2, 32, 32])
    """
    return resized_grid(maps.permute(1, 2, 0), size).permute(2, 0, 1)
