"""A generator that is fitted to images by the codes of their principal components."""

from __future__ import annotations

import torch

from saddlepoint.data import ImageData
from saddlepoint.errors import InputError
from saddlepoint.streams import generator as drawn
from saddlepoint.zoo import MLPGenerator

_BATCH, _RATE, _NOISE = 128, 2e-3, 0.1


def fitted_generator(data: ImageData, latent: int, epochs: int, seed: int) -> MLPGenerator:
    """Return an `MLPGenerator` trained to make each image out of its first principal components, each
    divided by its standard deviation, so that codes have about the law of z.

    It stands in where no trained GAN is given: it covers the data, and takes seconds.

    Raises `InputError` for more components than there are pixels or images.

    >>> from saddlepoint.data import load_data
    >>> made = fitted_generator(load_data("digits", limit=64), 8, 1, seed=0)
    >>> made.latent, made.shape
    (8, (1, 8, 8))
    """
    x = data.images(torch.arange(len(data)))
    flat = x.flatten(1)
    if latent > min(flat.shape):
        raise InputError(
            f"latent is {latent}, and there are {flat.shape[0]} images of {flat.shape[1]} pixels; give"
            " fewer"
        )
    centred = flat - flat.mean(0)
    directions = torch.linalg.svd(centred.cpu().double(), full_matrices=False)[2][:latent]
    codes = centred @ directions.T.to(flat)
    z = codes / codes.std(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MLPGenerator(latent, channels=data.shape[0], size=(data.shape[1], data.shape[2]))
    net = net.to(x.device)
    optimiser = torch.optim.Adam(net.parameters(), _RATE)
    draws = drawn(seed, "codes")
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x), generator=draws), _BATCH):
            noise = _NOISE * torch.randn(len(rows), latent, generator=draws)
            optimiser.zero_grad(set_to_none=True)
            error = (net(z[rows] + noise.to(z)) - x[rows]).square().flatten(1).sum(1).mean()
            error.backward()
            optimiser.step()
    return net.eval().requires_grad_(False)
