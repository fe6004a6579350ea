"""Trained by the same recipe, our networks are as good as the same ones of timm and torchvision."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from peers import PEERS, seeded

from saddlepoint.data import load_data
from saddlepoint.defences import load_recipe
from saddlepoint.model import Normalised
from saddlepoint.training import accuracy, train
from saddlepoint.zoo import build_model

SEEDS = (0, 1, 2)
EPOCHS = 15


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PEERS)
def test_accuracy_is_within_a_point_of_the_peers(name, capsys):
    train_data, test_data = (load_data("digits", split=split) for split in ("train", "test"))
    peer, options, recipe = PEERS[name]
    recipe = replace(load_recipe(recipe), epochs=EPOCHS, augmentation="none")

    def trained(net, seed):
        model = Normalised(net, train_data.mean, train_data.std)
        return accuracy(train(model, train_data, recipe, seed=seed).model, test_data)

    ours, theirs = [], []
    for seed in SEEDS:
        own = build_model(name, classes=10, shape=(1, 8, 8), seed=seed, options=options)
        same = seeded(peer, seed)
        count = sum(each.numel() for each in own.parameters())
        assert count == sum(each.numel() for each in same.parameters())
        ours.append(100 * trained(own, seed))
        theirs.append(100 * trained(same, seed))
    with capsys.disabled():
        print(f"\n{name}: ours {ours}, peer {theirs}")
    assert statistics.fmean(ours) >= statistics.fmean(theirs) - 1
