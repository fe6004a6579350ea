"""On CUDA no step of a first-order loop may wait for the host. Tensors that only pretend to be there
show it on any machine: to read a value of theirs raises, and so does a number copied from the host.

`tests/cuda/test_cuda_waits.py` asks the device itself.
"""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from saddlepoint.attacks import (
    APGD,
    BIM,
    DDN,
    FGSM,
    FMN,
    MIFGSM,
    PGD,
    Batch,
    MarginDecomposition,
    Misclassified,
    Smoothed,
)
from saddlepoint.attacks.core.kinds import MINIMUM_NORM
from saddlepoint.attacks.core.tracker import Best, Nearest
from saddlepoint.attacks.fixed_budget import apgd
from saddlepoint.attacks.minimum_norm import ddn, fmn
from saddlepoint.model import Guard
from saddlepoint.progress import Meter, watched_by
from saddlepoint.streams import Keys
from saddlepoint.threat import L0, L1, L2, Box, Linf, Rescaled

STEPS = 4
MEAN, STD = (0.5,) * 3, (0.2, 0.3, 0.4)
LOOPS = {
    "fgsm": FGSM(Linf(0.01)),
    "bim": BIM(Linf(0.01), steps=STEPS),
    "mi-fgsm": MIFGSM(Linf(0.01), steps=STEPS),
    "md": MarginDecomposition(Linf(0.01), steps=STEPS, stop="never"),
    "smoothed": Smoothed(PGD(L2(0.1), steps=2, stop="never"), draws=2),
    "pgd-linf": PGD(Linf(0.01), steps=STEPS, stop="never"),
    "pgd-l2": PGD(L2(0.1), steps=STEPS, stop="never"),
    "pgd-l1": PGD(L1(1.0), steps=STEPS, stop="never"),
    "pgd-tiny": PGD(Linf(1e-6), steps=STEPS, stop="never"),
    "pgd-channels": PGD(Linf(0.01, (0.0,) * 3, (1.0,) * 3), steps=STEPS, stop="never"),
    "pgd-normalised": PGD(Rescaled.pixels(Linf(0.1), MEAN, STD), steps=STEPS, stop="never"),
    "pgd-box": PGD(Box(0.0, 1.0), steps=STEPS, stop="never"),
    "pgd-margin": PGD(Linf(0.01), steps=STEPS, stop="never", loss="margin"),
    "apgd-linf": APGD(Linf(0.01), steps=STEPS, stop="never"),
    "apgd-l2": APGD(L2(0.1), steps=STEPS, stop="never"),
    "apgd-l1": APGD(L1(1.0), steps=STEPS, stop="never"),
    "apgd-dlr": APGD(Linf(0.01), steps=STEPS, stop="never", loss="dlr"),
    "ddn": DDN(L2(), steps=STEPS, loss="margin", bisections=0),
    "fmn-linf": FMN(Linf(), steps=STEPS, bisections=0),
    "fmn-l2": FMN(L2(), steps=STEPS, bisections=0),
    "fmn-l1": FMN(L1(), steps=STEPS, bisections=0),
    "fmn-l0": FMN(L0(), steps=STEPS, bisections=0),
    "fmn-pixels": FMN(L0(per="pixel"), steps=STEPS, bisections=0),
}


@pytest.fixture
def copies_raise(monkeypatch):
    for name in ("tensor", "as_tensor"):
        make = getattr(torch, name)

        @functools.wraps(make)
        def checked(values, *args, make=make, device=None, **options):
            there = device is not None and torch.device(device).type == "cuda"
            if there and not isinstance(values, torch.Tensor):
                raise AssertionError(f"{values!r} is copied from the host")
            return make(values, *args, device=device, **options)

        monkeypatch.setattr(torch, name, checked)


@pytest.mark.parametrize("name", LOOPS)
def test_no_step_reads_a_value(name, copies_raise, monkeypatch):
    # A backward pass needs a device; its result is of this shape and on that device.
    monkeypatch.setattr(torch.autograd, "grad", lambda _, x, **options: (torch.rand_like(x),))
    monkeypatch.setattr(apgd, "warn_of_few_classes", lambda *_: None)  # asked once, of the first
    for module in (ddn, fmn):  # the end of the search drops samples, by their values
        monkeypatch.setattr(module, "final_search", lambda *_: None)
    attack = LOOPS[name]
    batch = pretended(attack)
    ticks = []  # what is told of the steps does not wait either
    told = watched_by(Meter(ticks.append, 1, "batches"))
    with batch.images.fake_mode, torch.no_grad(), told:
        tracker = (
            Nearest(batch.images) if attack.kind is MINIMUM_NORM else Best(batch.images, "never")
        )
        attack.perturb(batch, tracker)
    assert tracker.images.device.type == "cuda"
    assert ticks


@pytest.mark.parametrize(
    "look",
    [lambda x: bool(x.sum() > 0), lambda x: x[x > 0], lambda x: torch.tensor(1.0, device=x.device)],
    ids=["reads", "selects", "copies"],
)
def test_the_test_would_notice(look, copies_raise):
    batch = pretended(LOOPS["fgsm"])
    with pytest.raises(Exception, match=r"scalar|nonzero|copied"), batch.images.fake_mode:
        look(batch.images)


def pretended(attack):
    """A batch on a device that is not there."""
    with FakeTensorMode(), torch.device("cuda"):
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)
        ).eval()
        rows, images = torch.arange(6), torch.rand(6, 3, 8, 8)
        mask = torch.rand(6, 3, 8, 8) < 0.5
        return Batch(
            Guard(net, 6), attack.threat, Misclassified(), images, rows % 5, Keys(0, rows), rows,
            mask=mask,
        )  # fmt: skip
