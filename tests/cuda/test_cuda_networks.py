"""Residual networks, ViT and Swin on CUDA: attacked as on the CPU, looked into, trained by every field."""

from __future__ import annotations

import pytest
import torch
from gpu import DEVICE, deterministic
from small import digits
from torch.nn.attention import SDPBackend, sdpa_kernel

from saddlepoint.attacks import APGD, PGD
from saddlepoint.defences import Optimiser, Recipe, Schedule
from saddlepoint.studies import on_device, parse_study, run_study
from saddlepoint.threat import Linf
from saddlepoint.training import train
from saddlepoint.zoo import build_model, record_attention

NAMES = ("resnet20", "plain20", "vit-micro", "swin-micro")
STUDY = """
name: s
data: {name: digits, train_limit: 64, test_limit: 16}
model: vit-micro
eps: [0.1]
attacks: {pgd: {name: pgd, steps: 2}}
recipe: {epochs: 1, batch_size: 32}
variants: {original: [], small: [{model: {depth: 1}, train_limit: 32}]}
"""


def subject(name, dtype=torch.float64):
    net = build_model(name, classes=10, shape=(1, 8, 8), seed=0).to(dtype).eval()
    data = digits("test", 24)
    return (
        net,
        data.pixels.to(dtype) / (255 if data.pixels.dtype == torch.uint8 else 1),
        data.labels,
    )


@pytest.mark.parametrize("attack", [PGD, APGD])
@pytest.mark.parametrize("name", NAMES)
def test_decisions_are_those_of_the_cpu(name, attack):
    net, x, y = subject(name)
    y = net(x).argmax(1)
    here = attack(Linf(0.01), steps=5)(net, x, y)
    there = attack(Linf(0.01), steps=5)(net.to(DEVICE), x.to(DEVICE), y.to(DEVICE))
    assert here.success.tolist() == there.success.cpu().tolist()


@pytest.mark.parametrize("name", ["vit-micro", "swin-micro"])
def test_fused_and_exact_attention_agree_and_can_be_recorded(name):
    net, x, _ = subject(name, torch.float32)
    net, x = net.to(DEVICE), x.to(DEVICE)
    with torch.no_grad():
        fused = net(x)
        with sdpa_kernel(SDPBackend.MATH):
            exact = net(x)
        with record_attention(net) as maps:
            recorded = net(x)
    assert maps
    assert all(each.is_cuda for each in maps.values())
    for other in (exact, recorded):
        assert torch.allclose(fused, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_training_with_every_field_gives_the_same_twice(name):
    recipe = Recipe(
        epochs=2, batch_size=32, optimiser=Optimiser(
            "adamw", 1e-3, weight_decay=0.05, decay_on="weights", clip_norm=1.0, layer_decay=0.75
        ), schedule=Schedule("cosine", warmup=0.2),
        augmentation=("crop-flip", "rand-augment", "random-erasing", "colour-jitter"),
        mixup=0.2, cutmix=1.0,
    )  # fmt: skip
    losses = []
    for _ in range(2):
        net = build_model(name, classes=10, shape=(1, 8, 8), seed=0).to(DEVICE)
        with deterministic():
            result = train(net, digits("train", 64).to(DEVICE), recipe)
        losses.append([each["loss"] for each in result.metrics])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_study_runs_on_the_device(tmp_path):
    state = run_study(on_device(parse_study(STUDY), "cuda"), tmp_path / "s", workers=2)
    assert (state.finished, state.failed) == (4, {})
