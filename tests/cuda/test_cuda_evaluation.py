"""Evaluation on CUDA, random models, and memory."""

from __future__ import annotations

import signal

import pytest
import torch
from gpu import DEVICE, deterministic, on_both
from networks import Noise, conv_case
from small import after_stages, die, digits, finish, trained
from torch import nn

from saddlepoint.attacks import APGD, DDN, FAB, PGD, AtBudget, DeepFool, Square, UniformNoise
from saddlepoint.evaluation import AutoAttack, evaluate, journal, rejudge, run_attack, steps
from saddlepoint.model import RandomLayer
from saddlepoint.threat import L2, Linf

EPS = (16 / 255, 48 / 255)
PART = 16


def run(out=None, progress=None, device=DEVICE, suite="quick", dtype=torch.float32):
    steps.SIZE, journal.LATEST = PART, 0.0  # a file for each step
    data = digits("test", 64)
    with deterministic():
        return evaluate(
            trained(dtype).to(device), data.to(device), Linf(), eps=EPS, suite=suite, out=out,
            batch_size=PART, progress=progress,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(steps, "SIZE", PART)
    monkeypatch.setattr(journal, "LATEST", 0.0)


def dies_after(out, number):
    run(out, after_stages(number, die))  # of six: two budgets, three attacks


def equal(a, b):
    numbers = [{**r.json(), "seconds": 0} for r in (a, b)]
    return numbers[0] == numbers[1] and a.images.equals(b.images) and a.attempts.equals(b.attempts)


def test_killed_and_resumed_the_tables_are_the_same(tmp_path):
    assert finish(dies_after, tmp_path, 2) == -signal.SIGKILL
    assert len(list(tmp_path.glob("parts/*"))) >= 7
    assert equal(run(tmp_path), run())


SHORT = {  # the kinds of "standard"
    "apgd": APGD(Linf(0.1), steps=20),
    "apgd-t": APGD(Linf(0.1), steps=10, loss="dlr-targeted", targets=3),
    "fab-t": AtBudget(FAB(Linf(), steps=10, targets=3), Linf(0.1)),
    "square": Square(Linf(0.1), queries=100),
}


@pytest.mark.parametrize("suite", ["quick", SHORT], ids=["quick", "short"])
def test_the_verdict_is_the_cpus(suite):
    names = ("fooled_at", "clean_prediction")
    there, here = (
        run(device=device, suite=suite, dtype=torch.float64) for device in (DEVICE, "cpu")
    )
    for name in names:
        a, b = (torch.from_numpy(r.images[name].to_numpy().copy()) for r in (there, here))
        assert torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)), name
    assert 0 < there.budgets[0].robust_accuracy.count < there.clean.count


def test_autoattacks_interface_takes_tensors_of_any_device():
    net, data = trained().to(DEVICE), digits("test", 40)
    images, labels = data.images(torch.arange(40)), data.labels
    found = [
        AutoAttack(net, eps=0.1, version="quick").run_standard_evaluation(
            images.to(device), labels.to(device), bs=16
        )
        for device in ("cpu", DEVICE)
    ]
    assert found[0].device.type == "cpu"
    assert found[1].device.type == DEVICE.type
    with torch.no_grad():
        robust = [
            float((net(x.to(DEVICE)).argmax(1).cpu() == labels).double().mean()) for x in found
        ]
    assert robust[0] == robust[1] < 1


@pytest.mark.parametrize("options", [{}, {"target": 3}, {"targets": "average"}])
def test_an_attack_on_a_data_set_is_saved_and_rejudged(tmp_path, options):
    data = digits("test", 40).to(DEVICE)
    net = trained().to(DEVICE)
    record = run_attack(
        net, data, PGD(Linf(0.1), steps=5), out=tmp_path, png=not options.get("targets"),
        batch_size=16, **options,
    )  # fmt: skip
    assert record.result.adversarials.device.type == "cpu"
    assert record.table().num_rows == len(record.ids)
    audit = rejudge(
        net, data.images(record.ids), record.labels, record.result.adversarials, Linf(0.1),
        targets=torch.full_like(record.labels, 3) if "target" in options else None,
    )  # fmt: skip
    if "targets" not in options:
        assert torch.equal(audit.result.success.cpu(), record.result.success)


def test_a_random_model_is_attacked_in_expectation():
    net, images, labels = conv_case(24, wrong=0)
    model = nn.Sequential(Noise(0.02), net).to(DEVICE)
    attack = PGD(Linf(0.01), steps=3, eot_samples=2)
    torch.manual_seed(0)
    first = attack(model, images, labels)
    torch.manual_seed(1)
    torch.rand(3, device=DEVICE)
    again = attack(model, images, labels)
    assert torch.equal(first.adversarials, again.adversarials)
    part = attack(model, images[5:9], labels[5:9], ids=torch.arange(5, 9))
    assert torch.equal(part.success, first.success[5:9])
    assert UniformNoise(Linf(0.01), draws=4)(model, images, labels).success_rate < 0.5
    nearest = DDN(L2(), steps=30)(model, images, labels)
    assert nearest.success_rate > 0.5


def test_a_foreign_random_model_draws_from_a_forked_generator():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = conv_case(1)[0]

        def forward(self, x):
            return self.net(x + 0.02 * torch.randn_like(x))

    _, images, labels = conv_case(24, wrong=0)
    model, before = Own().to(DEVICE), torch.cuda.get_rng_state()
    first = PGD(Linf(0.01), steps=3)(model, images, labels, seed=1)
    torch.rand(5, device=DEVICE)
    torch.cuda.set_rng_state(before)
    again = PGD(Linf(0.01), steps=3)(model, images, labels, seed=1)
    assert torch.equal(first.adversarials, again.adversarials)
    assert torch.equal(before, torch.cuda.get_rng_state())


def test_noise_on_the_device_is_normal():
    class Kept(RandomLayer):
        def __init__(self):
            super().__init__()
            self.register_buffer("place", torch.zeros(1))  # it says where the model is

        def forward(self, x):
            self.seen = self.noise(x)
            return (x + self.seen).flatten(1)[:, :4]

    model, images = Kept().to(DEVICE), torch.rand(32, 3, 16, 16, device=DEVICE)
    PGD(Linf(0.01), steps=2)(model, images, torch.zeros(32, dtype=torch.int64))
    assert model.seen.is_cuda
    assert abs(float(model.seen.mean())) < 0.02
    assert abs(float(model.seen.std()) - 1) < 0.02


@pytest.mark.parametrize(
    "attack",
    [DeepFool(L2(), steps=3), FAB(L2(), steps=2), FAB(L2(), steps=2, targets=3)],
    ids=["deepfool", "fab", "fab-t"],
)
def test_a_thousand_classes_fit_in_memory(attack):
    """All 999 products at once would take 17 GB for the gradients of one layer."""
    net = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 16, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 15 * 15, 1000),
    ).to(DEVICE).eval()  # fmt: skip
    images = torch.rand(64, 3, 32, 32, device=DEVICE)
    with torch.no_grad():
        labels = net(images).argmax(1)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    result = attack(net, images, labels)
    peak = torch.cuda.max_memory_allocated() - before
    assert peak < 6 * 2**30, f"{peak / 2**30:.1f} GiB"
    assert result.success_rate > 0.5


def test_deterministic_attacks_repeat_to_the_bit():
    _, net, images, labels = on_both(32, torch.float32)
    with deterministic():
        first, again = (PGD(Linf(0.01), steps=10)(net, images, labels) for _ in range(2))
    assert torch.equal(first.adversarials, again.adversarials)
