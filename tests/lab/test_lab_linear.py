"""The linear example, the FGSM ray and the adversarial logistic regression, in closed form."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from lab_cases import bench, subject
from networks import Affine
from torch.nn import functional

from saddlepoint.errors import InputError
from saddlepoint.lab import (
    LinearSettings,
    LogisticSettings,
    RaySettings,
    fgsm_ray,
    linear_example,
    run_logistic,
)
from saddlepoint.lab.linear_example import fgsm_step
from saddlepoint.lab.logistic_regression import adversarial_loss, errors, fit, two_classes
from saddlepoint.lab.outputs import logits_of, loss_gradients


def logistic(z):
    return 1 / (1 + math.exp(-z))


def test_the_example_has_the_printed_numbers():
    found = linear_example(LinearSettings())
    assert found.image.tolist() == [2, -1, 3, -2, 2, 2, 1, -4, 5, 1]
    assert found.adversarial.tolist() == [1.5, -1.5, 3.5, -2.5, 2.5, 1.5, 1.5, -3.5, 4.5, 1.5]
    assert float(found.weights @ found.image) == -3
    assert float(found.weights @ found.adversarial) == 2
    assert round(1 - found.before, 4) == 0.9526  # of class 0, before
    assert round(found.after, 2) == 0.88  # of class 1, after


def test_in_n_dimensions_the_score_moves_by_eps_times_n():
    dimensions = (1, 10, 100, 1000)
    found = linear_example(LinearSettings(eps=0.5, small=(0.01,), dimensions=dimensions), seed=3)
    for i, eps in enumerate((0.5, 0.01)):
        for j, n in enumerate(dimensions):
            assert float(found.probability[i, j]) == pytest.approx(logistic(eps * n - 3), rel=1e-9)
    torch.testing.assert_close(found.needed, 5 / torch.tensor(dimensions, dtype=torch.float64))


def test_the_step_is_the_best_of_all_corners():
    w = torch.tensor([0.3, -1.0, 2.0, 0.1], dtype=torch.float64)
    x = torch.tensor([1.0, -2.0, 0.0, 7.0], dtype=torch.float64)
    corners = torch.tensor(list(itertools.product((-0.5, 0.5), repeat=4)), dtype=torch.float64)
    assert float(w @ fgsm_step(w, x, 0.5)) == pytest.approx(float(((x + corners) @ w).max()))


def test_the_ray_of_a_linear_model_is_straight_and_turns_where_it_must():
    w = torch.tensor([1.0, -2.0, 0.5])
    x, y = torch.tensor([[0.9, 0.1, 0.2]]), torch.tensor([0])
    ray = fgsm_ray(Affine(w), x, y, RaySettings(eps=1.0, points=1000))
    score = float(x[0] @ w)  # the label's logit less the other; t·sign moves it by −t‖w‖₁
    expected = score - ray.t.double() * 3.5
    torch.testing.assert_close(
        ray.logits[0, :, 0] - ray.logits[0, :, 1], expected, rtol=0, atol=1e-6
    )
    assert float(ray.straight) == 1.0
    assert float(ray.linearity) == pytest.approx(1.0)
    crossing = score / 3.5
    assert crossing <= float(ray.fooled_at) <= crossing + 0.0011


def test_the_ray_passes_the_image_and_the_point_of_fgsm():
    net, x, y = subject(3)
    ray = fgsm_ray(net, x, y, RaySettings(eps=0.3, points=30))
    assert float(ray.t[30]) == 0.0
    torch.testing.assert_close(ray.logits[:, 30].float(), logits_of(net, x))
    step = x + 0.3 * loss_gradients(net, x, y).sign()
    torch.testing.assert_close(
        ray.logits[:, -1].float(), logits_of(net, step), rtol=1e-4, atol=1e-4
    )
    assert next(net.parameters()).dtype == torch.float32  # the copy was made double, not the model
    assert ((ray.straight >= 0) & (ray.straight <= 1)).all()
    assert (ray.linearity <= 1).all()


def test_a_network_of_one_relu_bends_once():
    net = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.ReLU(), torch.nn.Linear(1, 2))
    with torch.no_grad():
        net[0].weight[:] = 1.0
        net[0].bias[:] = -0.55
        net[2].weight[:] = torch.tensor([[0.0], [1.0]])
        net[2].bias[:] = torch.tensor([0.1, 0.0])
    ray = fgsm_ray(net, torch.tensor([[0.6]]), torch.tensor([0]), RaySettings(eps=1.0, points=50))
    inner = 2 * 50 - 1
    assert round((1 - float(ray.straight)) * inner) in (1, 2)  # the points at the one bend


def test_the_adversarial_logistic_loss_is_the_largest_over_the_corners():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    w = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    b = torch.randn(3, generator=generator, dtype=torch.float64)
    signs = torch.tensor([1.0, -1, 1, 1, -1], dtype=torch.float64)
    eps = torch.tensor([0.0, 0.1, 0.7], dtype=torch.float64)
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=6)), dtype=torch.float64)
    for k in range(3):
        moved_images = x[:, None] + eps[k] * corners
        scores = moved_images @ w[:, k] + b[k]
        largest = functional.softplus(-signs[:, None] * scores).amax(1)
        found = adversarial_loss(x, signs, w[:, k : k + 1], b[k : k + 1], eps[k : k + 1])
        torch.testing.assert_close(found[:, 0], largest)
        wrong = (signs[:, None] * scores <= 0).any(1).float().mean()
        missed = errors(x, signs, w[:, k : k + 1], b[k : k + 1], float(eps[k]))
        assert float(missed) == pytest.approx(float(wrong))


def test_the_fit_is_a_minimum_in_one_dimension_by_search():
    x = torch.tensor([[0.0], [0.3], [0.4], [1.0]])
    signs = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    eps, decay = torch.tensor([0.1, 0.0]), torch.tensor([0.0, 0.05])
    w, b = fit(x, signs, eps, decay, steps=2000)
    grid = torch.linspace(-10, 10, 401)
    for k in range(2):
        ws, bs = (g.flatten() for g in torch.meshgrid(grid, grid, indexing="ij"))
        values = adversarial_loss(x, signs, ws[None], bs, eps[k].expand(len(ws))).mean(0)
        values = values + decay[k] * ws.abs()
        own = adversarial_loss(x, signs, w[:, k : k + 1], b[k : k + 1], eps[k : k + 1]).mean()
        own = own + decay[k] * w[:, k].abs().sum()
        assert float(own) <= float(values.min()) + 1e-4


def test_classifiers_fitted_together_are_those_fitted_alone():
    x, signs = two_classes(bench().train, (3, 7))
    eps, decay = torch.tensor([0.0, 0.1, 0.0]), torch.tensor([0.0, 0.0, 0.01])
    together, bias = fit(x, signs, eps, decay, steps=300)
    for k in range(3):
        alone, offset = fit(x, signs, eps[k : k + 1], decay[k : k + 1], steps=300)
        values = [
            adversarial_loss(x, signs, w, b, eps[k : k + 1]).mean() + decay[k] * w.abs().sum()
            for w, b in ((together[:, k : k + 1], bias[k : k + 1]), (alone, offset))
        ]
        torch.testing.assert_close(*values, rtol=1e-2, atol=1e-4)


def test_stronger_training_shrinks_the_weights_and_both_paths_begin_alike():
    settings = LogisticSettings(eps=(0.2, 0.05), weight_decay=(0.001, 0.1), steps=200)
    found = run_logistic(bench(355), settings)
    for path in (found.adversarial, found.decay):
        assert path.strength[0] == 0
        assert (path.strength.diff() > 0).all()
        assert (path.norms.diff() < 0).all()
        assert (path.adversarial_error >= path.error).all()
    # Sums of other shapes are rounded otherwise on some processors.
    first = (found.adversarial.weights[:, 0], found.decay.weights[:, 0])
    torch.testing.assert_close(*first, rtol=1e-3, atol=1e-3)
    assert found.adversarial.adversarial_error[-1] < found.adversarial.adversarial_error[0]


def test_settings_and_classes_that_cannot_be_are_refused():
    for bad in (
        lambda: LogisticSettings(classes=(3, 3)),
        lambda: LogisticSettings(eps=(0.1, -0.1)),
        lambda: RaySettings(points=1),
        lambda: RaySettings(eps=0),
        lambda: LinearSettings(eps=-1),
        lambda: two_classes(bench().train, (3, 11)),
    ):
        with pytest.raises(InputError, match="give"):
            bad()
