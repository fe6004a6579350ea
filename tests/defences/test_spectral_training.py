"""The penalties inside the training loop: their vectors are in the checkpoint, and resuming is exact."""

from __future__ import annotations

import pytest
import torch
from small import conv, digits, same

from saddlepoint.defences import Optimiser, Recipe
from saddlepoint.defences.linear_operator import dense_operator
from saddlepoint.defences.orthogonal import Orthogonal
from saddlepoint.defences.spectral import SpectralNorm
from saddlepoint.training import latest_checkpoint, train


class StoppedError(Exception):
    """Ends a training in the middle of an epoch, where no checkpoint is."""


def recipe():
    penalties = ((1e-2, SpectralNorm()), (1e-2, Orthogonal()))
    optimiser = Optimiser(learning_rate=0.05)
    return Recipe(epochs=3, batch_size=64, penalties=penalties, optimiser=optimiser)


def test_a_training_that_was_stopped_resumes_to_the_same_bits(tmp_path):
    data = digits(limit=256)
    whole = train(conv(norm=True), data, recipe(), out=tmp_path / "whole")

    def stop(tick):
        if tick.done == 6:  # of 12, half way through the second epoch
            raise StoppedError

    with pytest.raises(StoppedError):
        train(conv(norm=True), data, recipe(), out=tmp_path / "part", progress=stop)
    resumed = train(conv(norm=True), data, recipe(), out=tmp_path / "part", resume=True)
    assert same(whole.model.state_dict(), resumed.model.state_dict())
    vectors = [latest_checkpoint(tmp_path / run)[0]["penalties"] for run in ("whole", "part")]
    assert {"0/u/0", "0/v/0", "1/u/5", "1/v/5"} <= vectors[0].keys()
    assert same(*vectors)


def test_the_penalties_do_what_they_are_for():
    def sigma(net):
        matrices = (dense_operator(net[0], (1, 8, 8)), dense_operator(net[4]))
        return [float(torch.linalg.matrix_norm(each, 2)) for each in matrices]

    base = {"epochs": 4, "batch_size": 64, "optimiser": Optimiser(learning_rate=0.05)}
    free = train(conv(), digits(limit=512), Recipe(**base)).model
    held = Recipe(penalties=((0.1, SpectralNorm()),), **base)
    held = train(conv(), digits(limit=512), held).model
    assert all(a < 0.9 * b for a, b in zip(sigma(held), sigma(free), strict=True))

    tied = Recipe(penalties=((0.2, Orthogonal()),), **base)
    tied = train(conv(), digits(limit=512), tied).model
    value = Orthogonal(iterations=200)
    assert float(value(tied).detach()) < 0.95 * float(value(free).detach())
