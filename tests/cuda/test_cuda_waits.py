"""No step of the first-order loops waits for the host to read something from the device."""

from __future__ import annotations

import functools

import pytest
import torch
from gpu import DEVICE, no_waiting
from networks import conv_case
from small import conv, digits
from torch import nn

from saddlepoint.attacks import APGD, BIM, DDN, FGSM, FMN, MIFGSM, PGD
from saddlepoint.data import batches
from saddlepoint.defences import (
    AWP,
    FGSMRS,
    MART,
    NFGSM,
    TRADES,
    TRADESYOPO,
    YOPO,
    AdversarialTraining,
    Free,
    Mixed,
    Optimiser,
    Recipe,
    Standard,
    TrainingBatch,
)
from saddlepoint.model import Guard
from saddlepoint.threat import L0, L1, L2, Box, Linf, Rescaled
from saddlepoint.training.loop import take_step
from saddlepoint.training.state import State

STEPS = 10
NORMALISED = Rescaled.pixels(Linf(1e-4), (0.5,) * 3, (0.2, 0.3, 0.4))
# So small a budget that nothing is fooled: what leaves the batch is counted, and that may wait.
LOOPS = {
    "bim": BIM(Linf(1e-5), steps=STEPS),
    "mi-fgsm": MIFGSM(Linf(1e-5), steps=STEPS),
    "pgd-linf": PGD(Linf(1e-5), steps=STEPS),
    "pgd-l2": PGD(L2(1e-5), steps=STEPS),
    "pgd-l1": PGD(L1(1e-5), steps=STEPS),
    "pgd-channels": PGD(Linf(1e-5, (0.0,) * 3, (1.0,) * 3), steps=STEPS),
    "pgd-normalised": PGD(NORMALISED, steps=STEPS),
    "pgd-box": PGD(Box(0.0, torch.ones(3, 8, 8)), steps=STEPS, stop="never"),
    "pgd-eot": PGD(Linf(1e-5), steps=STEPS, eot_samples=2),
    "pgd-bf16": PGD(Linf(1e-5), steps=STEPS, autocast="bf16"),
    "apgd-linf": APGD(Linf(1e-5), steps=STEPS),
    "apgd-l2": APGD(L2(1e-5), steps=STEPS),
    "apgd-l1": APGD(L1(1e-5), steps=STEPS, shrinking=False),
    "apgd-dlr": APGD(Linf(1e-5), steps=STEPS, loss="dlr"),
    "ddn": DDN(L2(), steps=STEPS, loss="margin"),
    "fmn-linf": FMN(Linf(), steps=STEPS),
    "fmn-l2": FMN(L2(), steps=STEPS),
    "fmn-l1": FMN(L1(), steps=STEPS),
    "fmn-l0": FMN(L0(), steps=STEPS),
    "fmn-pixels": FMN(L0(per="pixel"), steps=STEPS),
}


@pytest.fixture
def strict_loop(monkeypatch):
    """Between the second gradient of a call and the last nothing may wait; counts the gradients."""
    calls, gradient = [0], Guard.gradient

    @functools.wraps(gradient)
    def counted(self, *args, **options):
        calls[0] += 1
        if calls[0] == STEPS:
            torch.cuda.set_sync_debug_mode("default")
        found = gradient(self, *args, **options)
        if calls[0] == 2:
            torch.cuda.set_sync_debug_mode("error")
        return found

    monkeypatch.setattr(Guard, "gradient", counted)
    yield calls
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("name", LOOPS)
def test_no_step_waits(name, masked, strict_loop):
    net, images, labels = conv_case(32, wrong=0)
    mask = torch.ones(3, 8, 8, dtype=torch.bool)
    mask[:, :2] = False
    attack = LOOPS[name]
    attack(net.to(DEVICE), images, labels, mask=mask if masked else None)
    assert strict_loop[0] >= STEPS


@pytest.mark.parametrize("name", ["pgd-linf", "apgd-l2"])
def test_budgets_per_sample_do_not_wait_either(name, strict_loop):
    net, images, labels = conv_case(32, wrong=0)
    LOOPS[name](net.to(DEVICE), images, labels, eps=torch.linspace(1e-6, 1e-5, 32))
    assert strict_loop[0] == STEPS


def test_the_test_would_notice(strict_loop):
    class Looks(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x) if float(x.sum()) >= 0 else self.net(-x)

    net, images, labels = conv_case(8, wrong=0)
    with pytest.raises(Exception, match="synchronizing"):
        LOOPS["pgd-linf"](Looks(net).to(DEVICE), images, labels)


OBJECTIVES = {
    "standard": Standard(),
    "pgd": AdversarialTraining(PGD(Linf(0.1), steps=3)),
    "mixed": Mixed(FGSM(Linf(0.1))),
    "fgsm-rs": FGSMRS(Linf(0.1)),
    "n-fgsm": NFGSM(Linf(0.1)),
    "free": Free(Linf(0.1), m=2),
    "yopo": YOPO(Linf(0.1), m=2, n=2),
    "trades": TRADES(Linf(0.1), steps=2),
    "trades-yopo": TRADESYOPO(Linf(0.1), m=2, n=2),
    "mart": MART(Linf(0.1), steps=2),
    "awp": AWP(TRADES(Linf(0.1), steps=2)),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_step_of_a_training_waits(name):
    optimiser = Optimiser(learning_rate=0.05)
    recipe = Recipe(batch_size=32, optimiser=optimiser, ema=0.9, objective=OBJECTIVES[name])
    data, model = digits(limit=160).to(DEVICE), conv(norm=True).to(DEVICE)
    state = State(model.train(), recipe, len(data), data=data)
    stream = batches(data, torch.arange(len(data)), 32, device=DEVICE)
    for number, (ids, images, labels) in enumerate(stream):
        batch = TrainingBatch(images, labels, ids, 0)
        if number < 2:
            take_step(state, batch)
            continue
        with no_waiting():
            take_step(state, batch)
    assert state.step == 5
