"""What robust training must reach, fixed before it was run: three seeds each."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import digits

from saddlepoint.attacks import FGSM, PGD
from saddlepoint.data import load_data
from saddlepoint.defences import (
    AdversarialTraining,
    Optimiser,
    Recipe,
    Schedule,
    Watch,
    load_recipe,
)
from saddlepoint.defences.recipe_fields import RecipeChange
from saddlepoint.evaluation import evaluate
from saddlepoint.threat import Linf
from saddlepoint.training import latest_checkpoint, train
from saddlepoint.zoo import build_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * 3600)]
ROOT = Path(__file__).parents[2].parent / "shared" / "data"
MNIST = pytest.mark.skipif(not (ROOT / "mnist").is_dir(), reason=f"{ROOT} has no MNIST")
SEEDS = pytest.mark.parametrize("seed", [0, 1, 2])
SMALL = {"widths": (16, 32), "kernel": 3, "hidden": (64,)}


def network(data, seed, options=SMALL):
    return build_model("zoo:simple-cnn", classes=10, shape=data.shape, seed=seed, options=options)


def mnist(split, limit):
    return load_data("mnist", split=split, data_root=ROOT, limit=limit)


def robust(model, data, eps):
    record = evaluate(model, data, Linf(eps), suite="standard", diagnosis=None)
    return record.budgets[0].robust_accuracy.value


@SEEDS
def test_digits_at_32_of_255(seed):
    change = RecipeChange(budget={"eps": "32/255"}, fields={"epochs": "30", "batch_size": "64"})
    recipe = load_recipe("pgd-at", change=change)
    wide = {"widths": (32, 64), "kernel": 3, "hidden": (128,)}
    model = train(network(digits(), seed, wide), digits(), recipe, seed=seed).model
    assert robust(model, digits("test", 200), 32 / 255) >= 0.70


@MNIST
@SEEDS
def test_mnist_at_0_3(seed):
    change = RecipeChange(
        budget={"eps": "0.3"},
        fields={
            "epochs": "12", "batch_size": "64", "objective.attack.step_size": "0.06",
            "optimiser.name": "adam", "optimiser.learning_rate": "0.002",
            "optimiser.weight_decay": "0.0",
        },
    )  # fmt: skip
    data = mnist("train", 10_000)
    start = build_model(
        "zoo:madry-cnn", classes=10, shape=data.shape, seed=seed, options={"scale": 8}
    )
    model = train(start, data, load_recipe("pgd-at", change=change), seed=seed).model
    assert robust(model, mnist("test", 500), 0.3) >= 0.80


@MNIST
@SEEDS
def test_single_step_training_without_noise_collapses_and_is_seen(seed):
    recipe = Recipe(
        objective=AdversarialTraining(FGSM(Linf(0.3))),
        epochs=30,
        batch_size=64,
        optimiser=Optimiser("adam", 0.002, weight_decay=0.0),
        schedule=Schedule("constant"),
        watch=Watch(),
    )
    data, test = mnist("train", 2_000), mnist("test", 200)
    with pytest.warns(UserWarning, match="catastrophic overfitting in epoch"):
        done = train(network(data, seed), data, recipe, seed=seed)
    fooled = FGSM(Linf(0.3))(done.model, test), PGD(Linf(0.3), steps=20)(done.model, test)
    single, several = (1 - float(each.success.float().mean()) for each in fooled)
    assert several < single - 0.2


@pytest.mark.skipif(not (ROOT / "cifar10-jpeg").is_dir(), reason=f"{ROOT} has no cifar10-jpeg")
@SEEDS
def test_an_average_beats_the_last_epoch_where_training_overfits(tmp_path, seed):
    data = load_data("cifar10-jpeg", split="train", data_root=ROOT, limit=1_000)
    test = load_data("cifar10-jpeg", split="test", data_root=ROOT, limit=500)
    recipe = Recipe(
        objective=AdversarialTraining(PGD(Linf(8 / 255), steps=5)),
        epochs=40,
        batch_size=64,
        optimiser=Optimiser("sgd", 0.05),
        schedule=Schedule("multi-step"),
        ema=0.9995,
        ema_at=391,
    )
    options = {"widths": (16, 32, 64), "kernel": 3, "hidden": (128,)}
    averaged = train(network(data, seed, options), data, recipe, seed=seed, out=tmp_path).model
    last = network(data, seed, options)
    tensors, _ = latest_checkpoint(tmp_path)
    last.load_state_dict(tensors["model"])
    found = []
    for model in (last, averaged):
        result = PGD(Linf(8 / 255), steps=20)(model.eval(), test)
        found.append(1 - float(result.success.float().mean()))
    assert found[1] > found[0], found
