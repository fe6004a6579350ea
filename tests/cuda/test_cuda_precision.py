"""The judge's float32 is float32 on CUDA, whatever was switched on, and faster loops lose nothing."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from gpu import DEVICE, on_both
from networks import conv_case
from torch import nn

from saddlepoint.attacks import DDN, FMN, PGD
from saddlepoint.model import Guard, full_precision
from saddlepoint.threat import L2, Linf

BACKENDS = torch.backends


def _all_new():
    BACKENDS.fp32_precision = "tf32"


SWITCHES = {
    "as it comes": lambda: None,
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "allow_tf32": lambda: setattr(BACKENDS.cuda.matmul, "allow_tf32", True),
    "fp32_precision": lambda: setattr(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
    "everything": _all_new,
}


def state():
    """Every switch as it reads; where torch refuses, because old and new disagree, that."""
    reads = {
        "precision": torch.get_float32_matmul_precision,
        "matmul": lambda: BACKENDS.cuda.matmul.allow_tf32,
        "cudnn": lambda: BACKENDS.cudnn.allow_tf32,
        **{
            name: (lambda place=place: place.fp32_precision)
            for name, place in (
                ("new matmul", BACKENDS.cuda.matmul),
                ("new conv", BACKENDS.cudnn.conv),
                ("new rnn", BACKENDS.cudnn.rnn),
                ("new all", BACKENDS),
            )
        },
    }
    found = {}
    for name, read in reads.items():
        try:
            found[name] = read()
        except RuntimeError:
            found[name] = "disagree"
    return found


@pytest.fixture(params=SWITCHES)
def switched(request):
    place = (BACKENDS, BACKENDS.cuda.matmul, BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn)
    if not all(hasattr(each, "fp32_precision") for each in place):
        pytest.skip("this torch has the older switches alone")
    try:
        legacy = torch.get_float32_matmul_precision()
    except RuntimeError:  # the two kinds of switches disagree since an earlier test
        legacy = None
    before = [each.fp32_precision for each in place]
    SWITCHES[request.param]()
    yield request.param
    if legacy is not None:
        torch.set_float32_matmul_precision(legacy)
    for each, value in zip(place, before, strict=True):
        each.fp32_precision = value


def errors(run, x, exact):
    return float((run(x).double() - exact).norm() / exact.norm())


def cases():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 64, 16, 16, generator=generator)
    conv = nn.Conv2d(64, 64, 3, padding=1)
    yield "conv", conv, x
    yield "linear", nn.Sequential(nn.Flatten(), nn.Linear(64 * 256, 64)), x
    lstm = nn.LSTM(64, 64, batch_first=True)

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = lstm

        def forward(self, x):
            return self.lstm(x)[0][:, -1]

    yield "lstm", Last(), torch.randn(8, 20, 64, generator=generator)


@torch.no_grad()
def test_tensorfloat_is_off_inside_and_as_before_outside(switched):
    before, seen = state(), {}
    for name, layer, x in cases():
        exact = layer.double()(x.double()).to(DEVICE)
        layer, x = layer.float().to(DEVICE), x.to(DEVICE)
        with full_precision(DEVICE):
            assert errors(layer, x, exact) < 2e-5, name
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                pass  # torch's own switch can still be read in there
        seen[name] = errors(layer, x, exact)
    assert state() == before
    if switched in ("high", "allow_tf32", "fp32_precision", "everything"):
        assert seen["linear"] > 5e-5, "the switch works, or nothing was tested"
    if switched == "everything":
        assert seen["conv"] > 5e-5
        assert seen["lstm"] > 5e-5


def test_the_judge_of_an_attack_is_exact_under_any_switch(switched):
    before = state()
    net, images, labels = conv_case(32, wrong=0)
    seen = []

    class Noted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            z = self.net(x)
            seen.append((x.detach(), z.detach()))
            return z

    model = Noted().to(DEVICE)
    result = PGD(Linf(0.01), steps=4)(model, images, labels)
    x, z = seen[-1]
    with torch.no_grad():
        exact = net.double()(x.double())
    assert float((z - exact).norm() / exact.norm()) < 1e-5
    assert bool((result.success.cpu() == (exact.argmax(1).cpu() != labels)).all())
    assert state() == before


@pytest.mark.parametrize("attack", [PGD(Linf(0.03), steps=10), DDN(L2(), steps=40)])
def test_bfloat16_loses_nothing(attack):
    _, net, images, labels = on_both(48, torch.float32)
    exact = attack(net, images, labels)
    fast = dataclasses.replace(attack, autocast="bf16")(net, images, labels)
    with torch.no_grad(), full_precision(DEVICE):
        fooled = net(fast.adversarials).argmax(1).cpu() != labels
    assert torch.equal(fooled, fast.success.cpu())
    assert int(fast.success.sum()) >= int(exact.success.sum()) - 1


@pytest.mark.parametrize("attack", [DDN(L2(), steps=30), FMN(Linf(), steps=30)])
def test_minimum_norm_attacks_need_no_second_run(attack):
    """Torch allows TensorFloat-32 in convolutions: half of what a loop finds would not hold."""
    _, net, images, labels = on_both(48, torch.float32, wrong=0)
    result = attack(net, images, labels)
    assert bool(result.success.all())
    assert int((result.backwards > 30).sum()) <= 1


@pytest.mark.slow
def test_a_compiled_loop_finds_the_same():
    _, net, images, labels = on_both(16, torch.float32)
    for attack in (PGD(Linf(0.02), steps=5), FMN(Linf(), steps=20)):
        plain = attack(net, images, labels)
        compiled = dataclasses.replace(attack, compile=True)(net, images, labels)
        assert torch.equal(plain.success, compiled.success)
        assert torch.allclose(plain.distance, compiled.distance, rtol=1e-2, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["highest", "high"])
def test_a_model_that_its_owner_compiled_is_attacked(precision):
    _, net, images, labels = on_both(16, torch.float32)
    expected = PGD(Linf(0.02), steps=5)(net, images, labels)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        found = PGD(Linf(0.02), steps=5)(torch.compile(net), images, labels)
    finally:
        torch.set_float32_matmul_precision(before)
    assert int((found.success != expected.success).sum()) <= 1


class Recurrent(nn.Module):
    """Reads an image row by row."""

    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(24, 32, batch_first=True), nn.Linear(32, 5)

    def forward(self, x):
        rows = x.transpose(1, 2).flatten(2)
        return 20 * self.head(self.rnn(rows)[0][:, -1])


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_networks_in_evaluation_mode(kind):
    """cuDNN has no backward pass for them there."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Recurrent(kind).eval()
        images = torch.rand(24, 3, 8, 8)
    with torch.no_grad():
        labels = net(images).argmax(1)
    for attack in (PGD(Linf(0.1), steps=10), FMN(L2(), steps=30)):
        expected = attack(net.cpu(), images, labels)
        found = attack(net.to(DEVICE), images, labels)
        assert not net.training
        assert int((found.success.cpu() != expected.success).sum()) <= 1
        assert found.success_rate > 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_attacked(dtype):
    net, images, labels = conv_case(24, wrong=0)
    model = net.to(DEVICE, dtype)
    with torch.no_grad():
        labels = model(images.to(DEVICE, dtype)).argmax(1)
    result = PGD(Linf(0.03), steps=10)(model, images, labels)
    assert result.adversarials.dtype == torch.float32
    assert result.success_rate > 0.5


def test_passes_may_be_in_channels_last():
    _, net, images, labels = on_both(32, torch.float32)
    expected = PGD(Linf(0.01), steps=6)(net, images, labels)
    net = net.to(memory_format=torch.channels_last)
    found = PGD(Linf(0.01), steps=6)(net, images.to(memory_format=torch.channels_last), labels)
    assert int((found.success != expected.success).sum()) <= 1


def test_the_guard_leaves_the_generators_alone():
    net = conv_case(2)[0].to(DEVICE)
    before = torch.cuda.get_rng_state(), torch.random.get_rng_state()
    with Guard(net, 1):
        torch.rand(3, device=DEVICE)
        torch.rand(3)
    assert torch.equal(before[0], torch.cuda.get_rng_state())
    assert torch.equal(before[1], torch.random.get_rng_state())
