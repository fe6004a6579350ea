"""Trained from the same weights by the same recipe, our networks become what timm's and torchvision's do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from peers import PEERS, seeded, take_weights

from saddlepoint.data import load_data
from saddlepoint.defences import load_recipe
from saddlepoint.model import Normalised
from saddlepoint.training import accuracy, train
from saddlepoint.zoo import build_model


def both(name, seed, epochs, limit=None):
    """The losses by epoch and the test accuracy in per cent of ours and of the peer."""
    data, test = (load_data("digits", split=split, limit=limit) for split in ("train", "test"))
    peer, options, recipe = PEERS[name]
    recipe = replace(load_recipe(recipe), epochs=epochs, augmentation="none")
    theirs = seeded(peer, seed)
    ours = build_model(name, classes=10, shape=(1, 8, 8), seed=seed, options=options)
    take_weights(name, ours, theirs)
    found = []
    for net in (ours, theirs):
        result = train(Normalised(net, data.mean, data.std), data, recipe, seed=seed)
        losses = [each["loss"] for each in result.metrics]
        found.append((losses, 100 * accuracy(result.model, test)))
    return found


@pytest.mark.parametrize("name", PEERS)
def test_the_first_steps_are_the_peers(name):
    (ours, _), (theirs, _) = both(name, 0, epochs=2, limit=130)
    assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PEERS)
def test_accuracy_is_within_a_point_of_the_peers(name, capsys):
    found = [both(name, seed, epochs=15) for seed in range(3)]
    ours, theirs = ([each[side][1] for each in found] for side in (0, 1))
    with capsys.disabled():
        print(f"\n{name}: ours {ours}, peer {theirs}")
    assert sum(ours) / 3 == pytest.approx(sum(theirs) / 3, abs=1)
