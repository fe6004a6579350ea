"""σ-zero against the exact count on linear models, and the paper's loop in float64 with autograd."""

from __future__ import annotations

import math

import pytest
import torch
from nearest import fewest, linear_case, ratio
from networks import Affine, conv_case
from vanishing import Flat, Tiny

from saddlepoint.attacks.core.criteria import BinaryLogit
from saddlepoint.attacks.minimum_norm.sigma_zero import SigmaZero
from saddlepoint.errors import InputError
from saddlepoint.threat import L0, L2, Rescaled

PUBLISHED = dict(SigmaZero.paper_options)


@pytest.mark.parametrize(("d", "near"), [(12, False), (12, True), (192, True)])
@pytest.mark.parametrize("targeted", [False, True])
def test_on_a_linear_model_it_finds_the_fewest_features(d, near, targeted):
    found = ratio(SigmaZero(L0(), steps=100, prunings=100), d, "l0", near, targeted)
    assert float(found.min()) == 1.0
    # Pruning drops features and never exchanges them: of many it may keep one or two too many.
    assert float(found.max()) <= (1.0 if d == 12 else 1.1)


def test_pruning_is_what_makes_it_exact():
    net, x, least = linear_case(192, "l0", True)
    labels = torch.zeros(len(x), dtype=torch.int64)
    published = SigmaZero(L0(), steps=100, **PUBLISHED)(net, x, labels).distance
    few = SigmaZero(L0(), steps=100, prunings=3, bisections=0)(net, x, labels)
    assert bool((published >= least).all())
    assert float(few.distance.sum()) < float(published.sum())
    assert float(few.forwards.max()) <= 1 + 101 + 2 + 3 + 1


@pytest.mark.parametrize("channels", [1, 3])
def test_features_or_pixels_are_counted(channels):
    generator = torch.Generator().manual_seed(2)
    w = torch.randn(3 * 16, generator=generator, dtype=torch.float64)
    x = torch.rand(8, 3, 4, 4, generator=generator, dtype=torch.float64)
    bias = float(-(x.flatten(1) @ w).min()) + 0.5
    threat = L0(per="pixel") if channels == 3 else L0()
    result = SigmaZero(threat, steps=150)(Affine(w, bias), x, torch.zeros(8, dtype=torch.int64))
    assert torch.equal(result.distance, fewest(w, x.flatten(1), bias, channels))


def reference(net, x, y, steps, pixel, step_size, sigma, tau, factor):
    """The paper's loop with Adam in float64, the smooth count by autograd; returns the iterates."""
    delta, iterates = torch.zeros_like(x), []
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    tau, eta = torch.full((len(x), 1, 1, 1), tau, dtype=x.dtype), step_size
    for k in range(steps):
        d = delta.clone().requires_grad_()
        logits = net(x + d)
        iterates.append((x + d).detach())
        others = logits.scatter(1, y[:, None], -math.inf).amax(1)
        margin = logits.gather(1, y[:, None])[:, 0] - others
        size = d.square().sum(1) if pixel else d.square()
        count = (size / (size + sigma)).flatten(1).mean(1)
        (g,) = torch.autograd.grad((margin.clamp_min(0) + count).sum(), d)
        g = g / g.abs().flatten(1).amax(1).reshape(-1, 1, 1, 1)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        mean, square = first / (1 - 0.9 ** (k + 1)), second / (1 - 0.999 ** (k + 1))
        delta = (x + delta - eta * mean / (square.sqrt() + 1e-8)).clamp(0, 1) - x
        eta = step_size * (0.1 + 0.9 * (1 + math.cos(math.pi * k / steps)) / 2)
        held = (margin.detach() >= 0).reshape(-1, 1, 1, 1)
        tau = torch.where(held, tau - factor * eta, tau + factor * eta).clamp(0, 1)
        large = delta.abs().amax(1, keepdim=True) if pixel else delta.abs()
        delta = delta * (large >= tau)
    return [*iterates, x + delta]


@pytest.mark.parametrize("pixel", [False, True])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("values", [(1.0, 1e-3, 0.3, 0.01), (0.3, 1e-2, 0.1, 0.1)])
def test_it_is_the_papers_loop(pixel, steps, values):
    net, x, y = conv_case(8, torch.float64, wrong=0)
    step_size, sigma, threshold, factor = values
    attack = SigmaZero(
        L0(per="pixel") if pixel else L0(), steps=steps, step_size=step_size, sigma=sigma,
        threshold=threshold, threshold_step=factor, **PUBLISHED,
    )  # fmt: skip
    seen = []
    net.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0].detach().clone()))
    attack(net, x, y)
    ours = seen[1 : steps + 2]  # the first pass is the judge's, of the clean images
    seen.clear()
    wanted = reference(net, x, y, steps, pixel, step_size, sigma, threshold, factor)
    for a, b in zip(ours, wanted, strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-9)


def test_a_sample_of_one_change_is_finished():
    net = Affine(torch.tensor([5.0, 0.1, 0.1]), -2.0)
    x = torch.tensor([[0.9, 0.5, 0.5], [0.9, 0.6, 0.4]])
    result = SigmaZero(L0(), steps=200)(net, x, torch.zeros(2, dtype=torch.int64))
    assert result.distance.tolist() == [1.0, 1.0]
    assert int(result.backwards.max()) < 50


def test_targets_masks_and_normalised_space():
    net, x, y = conv_case(8, torch.float64, wrong=0)
    attack, targets = SigmaZero(L0(), steps=80), (y + 2) % 5
    aimed, free = attack(net, x, y, targets), attack(net, x, y)
    assert torch.equal(net(aimed.adversarials).argmax(1), targets)
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = True
    result = attack(net, x, y, mask=mask)
    assert torch.equal(result.adversarials[..., 4:], x[..., 4:])
    assert bool(result.success.all())
    assert float(result.distance.mean()) >= float(free.distance.mean())
    threat = Rescaled.pixels(L0(), (0.5,) * 3, (0.25,) * 3)
    scaled = SigmaZero(threat, steps=80)(net, x, y)
    assert bool(scaled.success.all())
    assert float(scaled.distance.mean()) <= 1.5 * float(free.distance.mean())


def test_one_logit():
    class One(torch.nn.Module):
        def forward(self, x):
            return 3 * x.sum(1, keepdim=True) - 3

    x, y = torch.tensor([[0.7, 0.8], [0.2, 0.3]]), torch.tensor([1, 0])
    result = SigmaZero(L0(), steps=50, criterion=BinaryLogit())(One(), x, y)
    assert result.distance.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("threat", [L0(), L0(per="pixel")], ids=["feature", "pixel"])
def test_no_gradient_and_next_to_none(threat):
    x, y = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 0])
    with pytest.warns(UserWarning, match="exactly 0"):
        result = SigmaZero(threat, steps=5)(Flat(), x, y)
    assert bool(result.adversarials.isfinite().all())
    assert bool(SigmaZero(threat, steps=5).candidates(Tiny(), x, y).isfinite().all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"step_size": 0.0}, "step_size is 0.0"),
        ({"sigma": 0.0}, "sigma is 0.0"),
        ({"threshold": -0.1}, "threshold is -0.1"),
        ({"threshold_step": math.inf}, "threshold_step is inf"),
        ({"bisections": -1}, "bisections is -1"),
        ({"prunings": -1}, "prunings is -1"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        SigmaZero(L0(), **options)


def test_other_norms_are_refused():
    with pytest.raises(InputError, match="no L2 form"):
        SigmaZero(L2())
