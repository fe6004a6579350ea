"""Training on CUDA: it learns, it resumes to the bit, and it does not matter where the data lie."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from gpu import DEVICE, deterministic
from PIL import Image
from small import conv, digits, same

from saddlepoint.attacks import PGD
from saddlepoint.data import RandAugment, RandomErasing, ResizedCrop, batches, load_data
from saddlepoint.defences import (
    AWP,
    FGSMRS,
    MART,
    NFGSM,
    TRADES,
    TRADESYOPO,
    YOPO,
    AdversarialTraining,
    Distillation,
    Free,
    Optimiser,
    Recipe,
    Schedule,
    Validation,
    Watch,
    build_penalty,
    build_transform,
)
from saddlepoint.threat import Linf
from saddlepoint.training import Interrupted, train

LINF = Linf(0.1)
OBJECTIVES = {
    "fgsm-rs": FGSMRS(LINF),
    "n-fgsm": NFGSM(LINF),
    "free": Free(LINF, m=2),
    "yopo": YOPO(LINF, m=2, n=2),
    "yopo paper": YOPO(LINF, m=2, n=2, mode="paper"),
    "trades": TRADES(LINF, steps=2),
    "trades-yopo": TRADESYOPO(LINF, m=2, n=2),
    "mart": MART(LINF, steps=2),
    "awp": AWP(TRADES(LINF, steps=2), gamma=5e-3),
}
RECIPES = {
    "plain": {"ema": 0.9},
    "adam": {"optimiser": Optimiser("adamw", 0.01), "schedule": Schedule("cosine")},
    "adversarial": {
        "objective": AdversarialTraining(PGD(Linf(0.1), steps=2)),
        "augmentation": "crop-flip",
    },
    "bf16": {"autocast": "bf16"},
    "every field": {
        "optimiser": Optimiser(
            "adamw", 0.01, decay_on="weights", layer_decay=0.5, clip_norm=0.5, betas=(0.8, 0.95)
        ),
        "schedule": Schedule("plateau", warmup_epochs=0.5, patience=1),
        "validation": Validation(share=0.2, steps=2),
        "augmentation": (
            "crop-flip",
            ResizedCrop(),
            RandAugment(),
            RandomErasing(0.5),
            "colour-jitter",
        ),
        "mixup": 0.8,
        "cutmix": 1.0,
    },
    "penalties": {
        "penalties": (
            (1e-3, build_penalty("orthogonal")),
            (1e-3, build_penalty("spectral-norm")),
        )
    },
    "quantised": {"transforms": (build_transform("quantise"),)},
    "self-ensemble": {"transforms": (build_transform("random-self-ensemble"),)},
    **{name: {"objective": objective, "ema": 0.9} for name, objective in OBJECTIVES.items()},
    "watched": {
        "objective": OBJECTIVES["n-fgsm"],
        "validation": Validation(share=0.2, steps=2),
        "watch": Watch(on_collapse="roll-back"),
    },
    "distillation": {"objective": Distillation(20.0), "optimiser": Optimiser("adam", 0.01)},
}


def recipe(name):
    sgd = Optimiser("sgd", 0.05)
    return Recipe(**{"epochs": 2, "batch_size": 32, "optimiser": sgd, **RECIPES[name]})


def run(name, data, out=None, resume=False, progress=None):
    net = conv(dropout=0.3, norm=True).to(DEVICE)
    return train(
        net, data, recipe(name), out=out, test=digits("test", 50), resume=resume, progress=progress
    )


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_and_resumed_the_weights_are_the_same_to_the_bit(name, tmp_path):
    def stop(tick):
        # In the second of two epochs, of five steps or, with images held out, four.
        if tick.done == 6 and not tick.step and "teacher" not in tick.what:
            os.kill(os.getpid(), signal.SIGTERM)

    data = digits(limit=160).to(DEVICE)
    with deterministic():
        whole = run(name, data)
        with pytest.raises(Interrupted):
            run(name, data, tmp_path, progress=stop)
        resumed = run(name, data, tmp_path, resume=True)
    assert all(p.device.type == DEVICE.type for p in resumed.model.parameters())
    assert same(whole.model.state_dict(), resumed.model.state_dict())
    assert whole.metrics[-1]["loss"] == resumed.metrics[-1]["loss"]


@pytest.mark.parametrize("name", ["plain", "adversarial"])
def test_resident_data_and_data_that_is_copied_give_the_same_weights(name):
    with deterministic():
        copied = run(name, digits(limit=160))
        resident = run(name, digits(limit=160).to(DEVICE))
    assert same(copied.model.state_dict(), resident.model.state_dict())


def test_the_global_generators_are_left_alone():
    before = torch.cuda.get_rng_state(), torch.random.get_rng_state()
    run("plain", digits(limit=64))
    assert torch.equal(before[0], torch.cuda.get_rng_state())
    assert torch.equal(before[1], torch.random.get_rng_state())


def test_it_learns_as_on_the_cpu():
    losses = []
    for device in ("cpu", DEVICE):
        net = conv(norm=True).to(device)
        found = train(net, digits(), Recipe(epochs=2, optimiser=Optimiser(learning_rate=0.1)))
        losses.append(found.metrics[-1]["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_on_disk_come_by_pinned_memory(workers, tmp_path):
    data = digits(limit=60)
    for i, (image, label) in enumerate(zip(data.pixels, data.labels, strict=True)):
        folder = tmp_path / str(int(label))
        folder.mkdir(exist_ok=True)
        Image.fromarray((image[0] * 255).round().byte().numpy()).save(folder / f"{i:03d}.png")
    found = load_data(str(tmp_path), split="all")
    stream = batches(found, torch.arange(60), 16, device=DEVICE, workers=workers)
    seen = [(images, labels) for _, images, labels in stream]
    assert all(images.device.type == DEVICE.type for images, _ in seen)
    expected = found.images(torch.arange(60))
    assert torch.equal(torch.cat([images for images, _ in seen]).cpu(), expected)
    assert torch.equal(torch.cat([labels for _, labels in seen]).cpu(), found.labels)
    result = train(
        conv().to(DEVICE), found, Recipe(epochs=1, batch_size=16), workers=workers, test=found
    )
    assert 0 <= result.metrics[0]["test_accuracy"] <= 1
