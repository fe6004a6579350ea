"""A gradient of 0 in place of none."""

from __future__ import annotations

import pytest
import torch

from saddlepoint.model import Guard, connected


class Detached(torch.nn.Module):
    """Gives an answer to images that are not finite too."""

    def forward(self, x):
        return 2 * x.detach().flatten(1).nan_to_num(0, 0, 0)


def test_images_that_are_not_finite_keep_their_answers_and_spoil_no_other():
    images = torch.rand(3, 2)
    images[1] = torch.tensor([torch.nan, torch.inf])
    model = Detached()
    with connected(model):
        x = images.clone().requires_grad_()
        out = model(x)
        (gradient,) = torch.autograd.grad(out[[0, 2]].sum(), x)
    assert torch.equal(out, 2 * images.nan_to_num(0, 0, 0))
    assert not bool(gradient[[0, 2]].any())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_guard_gets_a_gradient_of_0_and_the_same_logits(dtype):
    model, images = Detached(), torch.rand(4, 1, 200, 200, dtype=dtype)
    with connected(model), Guard(model, 4) as guard:
        logits, gradient = guard.gradient(images, lambda z: z[:, 0])
    assert torch.equal(logits, model(images))
    assert gradient.shape == images.shape
    assert not bool(gradient.any())


def test_what_has_a_gradient_is_left_alone():
    model, x = torch.nn.Linear(3, 2), torch.rand(5, 3, requires_grad=True)
    before = model(x)
    with connected(model):
        assert torch.equal(model(x), before)
    assert not model._forward_hooks
