"""A generator of MNIST that was trained for minutes: all digits, and no recital."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from saddlepoint.data import load_data
from saddlepoint.defences import load_recipe
from saddlepoint.evaluation.generative import draw_samples, measure_samples
from saddlepoint.model import Normalised
from saddlepoint.training import train
from saddlepoint.zoo import build_model, load_weights

ROOT = Path(os.environ.get("SADDLEPOINT_DATA", "../shared/data"))
TRAINED = os.environ.get("SADDLEPOINT_GAN")  # the folder of a finished training, to train none

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "mnist").is_dir(), reason="MNIST is not there"),
]


def test_samples_cover_all_digits_and_lie_no_nearer_to_training_images_than_test_images():
    """The first paper's game, 30 epochs, 12 minutes of one core; numbers in docs/results/generative.md."""
    data, test = (load_data("mnist", split=split, data_root=ROOT) for split in ("train", "test"))
    small = {"widths": (16, 32), "kernel": 3, "hidden": (64,)}
    net = Normalised(
        build_model("simple-cnn", classes=10, shape=data.shape, options=small), data.mean, data.std
    )
    told = train(net, data, replace(load_recipe("standard"), epochs=6), test=test)
    assert told.metrics[-1]["test_accuracy"] >= 0.99
    game = build_model("gan-mlp", classes=10, shape=data.shape)
    if TRAINED:
        load_weights(game, Path(TRAINED) / "model.safetensors")
    else:
        game = train(game, data, "gan").model
    found = measure_samples(draw_samples(game, 10_000), data, test, classifier=told.model)
    assert found.histogram is not None
    assert found.histogram.missing(0.03) == ()
    assert not found.recites
