"""What a call may hand in, on whatever device it lies, and independence of the batch on CUDA."""

from __future__ import annotations

import pytest
import torch
from gpu import DEVICE, on_both
from networks import conv_case

from saddlepoint.attacks import (
    APGD,
    DDN,
    FAB,
    FMN,
    MIFGSM,
    PGD,
    Restarted,
    ShrinkingBudget,
    SmallestBudget,
    Square,
    attack_targets,
)
from saddlepoint.attacks.core import kinds
from saddlepoint.attacks.core.tracker import Best
from saddlepoint.threat import L1, L2, Box, Linf, Rescaled

N = 48
FIXED = {
    "pgd-linf": PGD(Linf(0.01), steps=6, restarts=2),
    "pgd-l2": PGD(L2(0.1), steps=6),
    "pgd-l1": PGD(L1(0.5), steps=6),
    "mi-fgsm": MIFGSM(Linf(0.01), steps=6),
    "apgd-linf": APGD(Linf(0.01), steps=12),
    "apgd-l1": APGD(L1(0.5), steps=12),
    "apgd-t": APGD(L2(0.1), steps=8, loss="dlr-targeted", targets=3),
    "square": Square(Linf(0.02), queries=40),
    "normalised": PGD(Rescaled.pixels(Linf(0.05), (0.5,) * 3, (0.2,) * 3), steps=6),
}
NEAREST = {
    "ddn": DDN(L2(), steps=30),
    "fmn-linf": FMN(Linf(), steps=30),
    "fab-l1": FAB(L1(), steps=8, targets=2),
}


def there(count=N, wrong=3):
    net, images, labels = conv_case(count, torch.float64, wrong)
    return net.to(DEVICE), images.to(DEVICE), labels.to(DEVICE)


@pytest.mark.parametrize("name", [*FIXED, *NEAREST])
def test_a_sample_does_not_depend_on_its_company(name):
    net, images, labels = there()
    attack = {**FIXED, **NEAREST}[name]
    whole = attack(net, images, labels, seed=3)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    for rows in order.split(17):
        part = attack(net, images[rows], labels[rows], ids=rows, seed=3)
        assert torch.equal(part.success, whole.success[rows])
        assert torch.equal(part.predictions, whole.predictions[rows])
        # A bisection ends within 1e-5 of the boundary, on either side of the last bit.
        near = 3e-5 if name in NEAREST else 1e-6
        assert torch.allclose(part.distance, whole.distance[rows], rtol=near, atol=1e-9)


@pytest.mark.parametrize("name", FIXED)
def test_finished_samples_leave_late_and_lose_nothing(name, monkeypatch):
    net, images, labels = there()
    lazy = FIXED[name](net, images, labels)

    class Eager(Best):
        def __init__(self, images, stop="success"):
            super().__init__(images, stop, lazy=False)

    monkeypatch.setattr(kinds, "Best", Eager)
    eager = FIXED[name](net, images, labels)
    assert torch.equal(eager.success, lazy.success)
    assert torch.allclose(eager.adversarials, lazy.adversarials, rtol=0, atol=1e-9)
    assert int(lazy.forwards.sum()) > int(eager.forwards.sum())
    attacked = ~lazy.initially_wrong
    fooled = lazy.success & attacked
    assert float(lazy.forwards[fooled].double().mean()) < int(lazy.forwards.max())


@pytest.mark.parametrize("where", ["cpu", DEVICE.type])
@pytest.mark.parametrize("name", FIXED)
def test_images_and_labels_may_lie_anywhere(name, where):
    net, images, labels = there()
    result = FIXED[name](net, images.to(where), labels.to(where))
    assert result.adversarials.device.type == DEVICE.type
    assert torch.equal(result.success, FIXED[name](net, images, labels).success)


@pytest.mark.parametrize("where", ["cpu", DEVICE.type])
def test_options_of_a_call_may_lie_anywhere(where):
    _, images, _ = there()
    generator = torch.Generator().manual_seed(0)
    options = {
        "ids": torch.arange(100, 100 + N),
        "eps": torch.linspace(0.001, 0.02, N),
        "mask": torch.rand(3, 8, 8, generator=generator) < 0.7,
        "starts": (images.cpu() + 0.005).clamp(0, 1),
    }
    mine, theirs, pictures, names = on_both(N)
    given = {key: value.to(where) for key, value in options.items()}
    for attack in (PGD(Linf(), steps=6, restarts=2), APGD(Linf(), steps=10)):
        result = attack(theirs, pictures, names, **given)
        assert torch.equal(result.success.cpu(), attack(mine, pictures, names, **options).success)
        assert bool((result.distance.cpu() <= options["eps"] * (1 + 1e-6)).all())
        still = (result.adversarials == images).cpu()
        assert bool((still | options["mask"]).all())


@pytest.mark.parametrize("where", ["cpu", DEVICE.type])
@pytest.mark.parametrize("kind", ["eps", "normalised eps", "box", "box of one image"])
def test_threat_models_may_hold_tensors_of_any_device(kind, where):
    net, images, labels = there()
    eps = torch.linspace(0.001, 0.02, N, dtype=torch.float64)
    low, high = (images.cpu() - eps[:, None, None, None]), (images.cpu() + 0.01)
    threat = {
        "eps": lambda: Linf(eps.to(where)),
        "normalised eps": lambda: Rescaled.pixels(Linf(eps.to(where)), (0.5,) * 3, (0.5,) * 3),
        "box": lambda: Box(low.clamp_min(0).to(where), high.clamp_max(1).to(where)),
        "box of one image": lambda: Box(torch.zeros(3, 8, 8).to(where), 1.0),
    }[kind]()
    for attack in (PGD(threat, steps=6), APGD(threat, steps=10), Square(threat, queries=20)):
        result = attack(net, images, labels)
        assert not bool(result.rejected.any())
        assert int(result.success.sum()) > 3


@pytest.mark.parametrize("where", ["cpu", DEVICE.type])
def test_targets_may_lie_anywhere(where):
    mine, theirs, images, labels = on_both(24, wrong=0)
    targets = (labels + 1) % 5
    for attack in (PGD(Linf(0.03), steps=10), FMN(L2(), steps=30), FAB(Linf(), steps=10)):
        result = attack(theirs, images, labels, targets.to(where))
        expected = attack(mine, images, labels, targets)
        assert torch.equal(result.success.cpu(), expected.success)
        assert bool((result.predictions[result.success].cpu() == targets[expected.success]).all())
    for case in ("average", "best"):
        found = attack_targets(PGD(Linf(0.02), steps=5), theirs, images, labels, case).result
        on_cpu = attack_targets(PGD(Linf(0.02), steps=5), mine, images, labels, case).result
        assert torch.equal(found.success.cpu(), on_cpu.success)


def test_wrappers_run_on_the_models_device():
    mine, theirs, images, labels = on_both(16, wrong=0)
    for attack in (
        Restarted(DDN(L2(), steps=20), 3),
        SmallestBudget(PGD(Linf(0.05), steps=5)),
        ShrinkingBudget(PGD(Linf(0.05), steps=5), searches=4),
    ):
        result, expected = attack(theirs, images, labels), attack(mine, images, labels)
        assert torch.equal(result.success.cpu(), expected.success)
        ratio = result.distance.cpu() / expected.distance
        assert 0.99 < float(ratio.median()) < 1.01


def test_a_zero_gradient_gets_a_direction_without_a_look():
    """Flat at the image: only a random direction leads anywhere."""

    class Flat(torch.nn.Module):
        def forward(self, x):
            far = (x - 0.5).flatten(1).norm(dim=1, keepdim=True)
            wall = (far - 0.2).clamp_min(0)
            return torch.cat([0.1 - wall, torch.zeros_like(far)], dim=1)

    images = torch.full((4, 1, 4, 4), 0.5, device=DEVICE)
    labels = torch.zeros(4, dtype=torch.int64, device=DEVICE)
    for attack in (DDN(L2(), steps=100), FMN(L2(), steps=100)):
        result = attack(Flat(), images, labels)
        assert result.success.tolist() == [True] * 4
        alone = attack(Flat(), images[2:3], labels[2:3], ids=torch.tensor([2]))
        assert torch.allclose(alone.distance, result.distance[2:3])
