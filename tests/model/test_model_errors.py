"""A model or a batch that cannot be attacked is named, with the remedy."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from networks import Affine, conv_case, conv_net
from torch import nn

from saddlepoint.attacks import FGSM, PGD, BinaryLogit, UniformNoise
from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.threat import L1, L2, Linf


class Wrap(nn.Module):
    def __init__(self, function, net=None) -> None:
        super().__init__()
        self.net = net or conv_net()
        self.function = function

    def forward(self, x):
        return self.function(self.net(x))


_, IMAGES, LABELS = conv_case(4, wrong=0)

OUTPUTS = {
    "the model returns a tuple": lambda z: (z, None),
    r"the model returns shape \(5,\)": lambda z: z[0],
    r"the model returns shape \(2, 5\) for 4 images": lambda z: z[:2],
    "the model returns torch.int64": lambda z: z.argmax(1, keepdim=True),
    "the model returns NaN or infinite logits for 4 of 4": lambda z: z * math.nan,
    "the model returns NaN or infinite logits for 4 of 4 images": lambda z: z + math.inf,
    "the model returns one logit per image": lambda z: z[:, :1],
}  # fmt: skip


@pytest.mark.parametrize("message", OUTPUTS)
def test_outputs_that_are_no_logits(message):
    with pytest.raises(InputError, match=message):
        PGD(Linf(0.1))(Wrap(OUTPUTS[message]), IMAGES, LABELS)


def test_binary_logit_needs_one_logit():
    with pytest.raises(InputError, match=r"BinaryLogit needs one logit per image.*returns 5"):
        PGD(Linf(0.1), criterion=BinaryLogit())(conv_net(), IMAGES, LABELS)


@pytest.mark.parametrize("cut", ["detach", "round", "constant"])
def test_a_model_without_gradients_is_refused_by_gradient_attacks_only(cut):
    generic = torch.zeros(5, requires_grad=True)
    net = {
        "detach": Wrap(lambda z: z.detach()),
        "round": Wrap(lambda z: z, nn.Sequential(Quantise(), conv_net())),
        "constant": Wrap(lambda z: generic + z.detach()),
    }[cut]
    with pytest.raises(InputError, match=r"does not depend on the image by differentiable steps"):
        PGD(Linf(0.1))(net, IMAGES, LABELS)
    assert len(UniformNoise(Linf(0.1), draws=2)(net, IMAGES, LABELS)) == 4


class Quantise(nn.Module):
    def forward(self, x):
        return (x * 255).to(torch.uint8).float() / 255


def test_probabilities_are_warned_about():
    with pytest.warns(UserWarning, match=r"look like probabilities.*Remove the final softmax"):
        FGSM(Linf(0.1))(Wrap(lambda z: z.softmax(1)), IMAGES, LABELS)


def test_logits_are_not_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FGSM(Linf(0.1))(conv_net(), IMAGES, LABELS)


@pytest.mark.parametrize("name", ["4.weight", "5.running_var"])
def test_broken_weights_are_named(name):
    net = conv_net()
    dict([*net.named_parameters(), *net.named_buffers()])[name].data[0] = math.nan
    with pytest.raises(InputError, match=f"the model's weights contain NaN or infinity: {name}"):
        FGSM(Linf(0.1))(net, IMAGES, LABELS)


@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (4, 3, 16, 16), (4, 192)])
def test_images_that_do_not_fit_the_model_name_their_shape(shape):
    with pytest.raises(InputError) as error:
        FGSM(Linf(0.1))(conv_net(), torch.rand(shape), LABELS)
    assert str(shape[1:]) in str(error.value)


def test_a_normalised_model_names_the_channels_it_takes():
    net = Normalised(conv_net(), (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(
        InputError, match=r"\(4, 1, 8, 8\); the model takes \(n, 3, height, width\)"
    ):
        net(torch.rand(4, 1, 8, 8))


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.3), L1(0.3)], ids=str)
def test_a_gradient_that_is_nan_is_warned_about_and_does_not_stop_the_attack(threat):
    """The derivative of sqrt at 0 is infinite, and times 0 NaN; the image must not pass for robust."""

    class Root(nn.Module):
        def forward(self, x):
            return self.net(x) + x[:, :1].sqrt() * 0

    net = Root()
    net.net = Affine(torch.tensor([1.0, 2.0, 3.0]), -3.1)
    images = torch.tensor([[0.0, 0.6, 0.7], [0.5, 0.5, 0.7]])
    with pytest.warns(UserWarning, match=r"NaN or infinite for 1 of 2 images"):
        result = PGD(threat, start="clean")(net, images, torch.tensor([0, 0]))
    assert result.success.tolist() == [True, True]


def test_overflow_in_a_half_precision_model_does_not_pass_in_silence():
    net = Wrap(lambda z: z * 70000, Affine(torch.tensor([1.0, 1.0]), -0.5).half())
    images = torch.tensor([[0.8, 0.8]])
    with pytest.raises(InputError, match="NaN or infinite"):
        PGD(Linf(0.1))(net, images, torch.tensor([0]))


def test_logits_of_minus_infinity_are_allowed():
    net, images, labels = conv_case(8)
    masked = Wrap(lambda z: torch.cat([z, torch.full_like(z[:, :1], -math.inf)], 1), net)
    with_mask, without = (PGD(Linf(0.05))(m, images, labels) for m in (masked, net))
    assert torch.equal(with_mask.success, without.success)
