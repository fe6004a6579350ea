"""What makes images of noise: shapes, ranges, costs by hand, and refusals in one line."""

import pytest
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.zoo import (
    DISCRIMINATORS,
    ZOO,
    DCGenerator,
    MaxoutDiscriminator,
    MLPGenerator,
    as_generator,
    build_model,
    check_latent,
    discriminator_named,
    is_generator,
)
from saddlepoint.zoo.cost import model_cost

NAMES = [name for name, info in ZOO.items() if info.generator]


def test_the_zoo_says_which_are_generators():
    assert {"gan-mlp", "gan-dcgan"} <= set(NAMES)
    assert all(is_generator(name) for name in NAMES)


@pytest.mark.parametrize("name", ["gan-mlp", "gan-dcgan"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 8, 12)])
def test_images_have_the_shape_and_range_that_were_asked_for(name, shape):
    net = build_model(name, classes=10, shape=shape, options={"latent": 5}).eval()
    assert (net.latent, net.shape) == (5, shape)
    images = net(50 * torch.randn(64, 5))
    assert images.shape == (64, *shape)
    assert bool(((images >= 0) & (images <= 1)).all())
    z = torch.randn(3, 5)
    half = torch.sigmoid(2 * net.body(z)).reshape(3, *shape)  # the authors' sigmoid is a tanh
    torch.testing.assert_close(net(z), half)


def test_costs_are_those_by_hand():
    assert model_cost(ZOO["gan-mlp"], channels=1, size=28).multiply_adds == (
        100 * 256 + 256 * 512 + 512 * 784
    )
    assert model_cost(ZOO["gan-dcgan"], channels=1, size=28).multiply_adds == (
        100 * 128 * 49 + 49 * 128 * 64 * 16 + 196 * 64 * 1 * 16
    )


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators_give_one_logit_and_pass_a_gradient_to_the_image(name):
    torch.manual_seed(0)
    net = discriminator_named(name)(channels=3, size=(8, 12)).eval()
    images = torch.rand(4, 3, 8, 12, requires_grad=True)
    logits = net(images)
    assert logits.shape == (4,)
    logits.sum().backward()
    assert bool((images.grad.flatten(1).abs().amax(1) > 0).all())
    assert all(each.grad is not None for each in net.parameters())


def test_the_paper_s_discriminator_drops_units_in_training_alone():
    net = MaxoutDiscriminator(size=8)
    images = torch.rand(4, 1, 8, 8)
    assert not torch.equal(net(images), net(images))
    net.eval()
    assert torch.equal(net(images), net(images))


def test_refusals_are_one_line():
    for call, match in (
        (lambda: build_model("gan-dcgan", classes=10, shape=(1, 9, 9)), "multiples of 4"),
        (lambda: build_model("gan-mlp", classes=10, shape=(1, 8, 8), options={"latent": 0}), "latent is 0"),
        (lambda: as_generator(MLPGenerator(size=28), (3, 32, 32)), r"makes images of \(1, 28, 28\)"),
        (lambda: as_generator(nn.Linear(2, 2)), "Linear makes no images"),
        (lambda: MLPGenerator(size=8)(torch.rand(2, 1, 8, 8)), r"takes \(n, 100\)"),
        (lambda: discriminator_named("mpl"), "did you mean 'mlp'"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=match) as told:
            call()
        assert len(str(told.value).splitlines()) == 1


def test_a_check_of_spoilt_weights_leaves_the_mode_as_it_was():
    net = DCGenerator(maps=4, size=8).train()
    before = net.body.norm1.running_mean.clone()
    check_latent(net)
    assert net.training
    assert torch.equal(net.body.norm1.running_mean, before)
    net.body.double2.bias.data.fill_(float("inf"))
    check_latent(net)  # tanh bounds it
    net.body.double2.bias.data.fill_(float("nan"))
    with pytest.raises(InputError, match="NaN"):
        check_latent(net)
