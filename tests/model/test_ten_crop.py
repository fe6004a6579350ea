"""Ten crops: which they are, their mean, attacks through them, and what they cost."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from saddlepoint.attacks import PGD
from saddlepoint.defences import build_transform
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, Normalised, RandomLayer, ten_crop
from saddlepoint.threat import L2, Linf
from saddlepoint.zoo import build_model, weights_fingerprint

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(4, 3, 8, 8, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 0])


def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
        )
        net[4].weight.data *= 20
    return net.double().eval()


def by_hand(net, images, padding, size):
    """log of the mean softmax of ten crops, written out."""
    x, total = pad(images, (padding,) * 4), 0.0
    far = x.shape[2] - size
    for top, left in ((0, 0), (0, far), (far, 0), (far, far), (far // 2, far // 2)):
        crop = x[:, :, top : top + size, left : left + size]
        for view in (crop, torch.flip(crop, [3])):
            total = total + torch.softmax(net(view), 1)
    return torch.log(total / 10)


@pytest.mark.parametrize(("padding", "size"), [(2, None), (0, 6), (1, 7), (3, 4)])
def test_logits_and_gradients_are_those_of_ten_crops_by_hand(padding, size):
    net = network()
    model = ten_crop(net, padding=padding, size=size)
    expected = by_hand(net, IMAGES, padding, size or 8)
    x = IMAGES.clone().requires_grad_()
    logits = model(x)
    assert torch.allclose(logits, expected, rtol=1e-12, atol=1e-12)
    (found,) = torch.autograd.grad(logits[range(4), LABELS].sum(), x)
    y = IMAGES.clone().requires_grad_()
    hand = by_hand(net, y, padding, size or 8)
    (gradient,) = torch.autograd.grad(hand[range(4), LABELS].sum(), y)
    assert torch.allclose(found, gradient, rtol=1e-10, atol=1e-12)
    assert float(gradient.abs().max()) > 0


def test_attacks_go_through_it_and_its_passes_count_tenfold():
    net = network()
    model = ten_crop(net, padding=2)
    attack = PGD(Linf(0.3), steps=4)
    labels = model(IMAGES).argmax(1)
    result = attack(model, IMAGES, labels)
    assert int(result.success.sum()) > 0
    assert set(result.backwards.tolist()) <= {10, 20, 30, 40}
    assert set((result.forwards % 10).tolist()) == {0}

    class Hand(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return by_hand(self.net, x, 2, 8)

    again = attack(Hand(), IMAGES, labels)
    assert torch.allclose(result.adversarials, again.adversarials, atol=1e-12)
    smaller = PGD(L2(0.3), steps=5)
    through, past = smaller(model, IMAGES, labels), smaller(net, IMAGES, net(IMAGES).argmax(1))
    assert not torch.equal(through.adversarials, past.adversarials)


def test_it_is_deterministic_and_independent_of_the_batch():
    model = ten_crop(network(), padding=2)
    with Guard(model, len(IMAGES)) as guard:
        assert guard.passes_agree(IMAGES)
        whole = guard.logits(IMAGES)
        alone = guard.logits(IMAGES[2:3], torch.tensor([2]))
    assert torch.allclose(whole[2:3], alone, rtol=1e-12)


def test_in_training_a_call_is_one_pass_of_the_whole_image():
    net = network()
    model = ten_crop(net, padding=2).train()
    assert torch.equal(model(IMAGES), net(IMAGES))


def test_random_layers_inside_draw_anew_for_each_crop():
    class Noise(RandomLayer):
        def forward(self, x):
            return x + self.noise(x)

    model = ten_crop(nn.Sequential(Noise(), nn.Flatten(), nn.Linear(192, 3).double()), padding=1)
    with Guard(model.eval(), len(IMAGES)) as guard:
        assert guard.logits(IMAGES).shape == (4, 3)
        assert guard.forwards.tolist() == [10] * 4
        assert not guard.passes_agree(IMAGES)


def test_another_setting_is_another_model():
    net = Normalised(build_model("simple-cnn", classes=3, shape=(3, 8, 8)), (0.5,) * 3, (0.2,) * 3)
    plain, four, two = net, ten_crop(net), ten_crop(net, padding=2)
    assert len({weights_fingerprint(each) for each in (plain, four, two)}) == 3
    assert build_transform("ten-crop")(net).padding == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ten_crop(network(), padding=0), "without padding ten crops of an image are all"),
        (lambda: ten_crop(network(), padding=-1), "padding is -1"),
        (lambda: ten_crop(network(), size=0), "size is 0"),
        (lambda: ten_crop(ten_crop(network())), "looks at ten crops already"),
        (lambda: ten_crop(network(), padding=0, size=8)(IMAGES), "crops of 8 are all of images"),
        (lambda: ten_crop(network(), padding=1, size=11)(IMAGES), "crops of 11 do not fit"),
        (lambda: ten_crop(network())(IMAGES[0]), r"shape \(3, 8, 8\); ten crops are of"),
        (lambda: ten_crop(len), "the model is a builtin"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
