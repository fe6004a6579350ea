"""Erasing, resized crops, jitter and RandAugment: their operations against torchvision's, their
draws against the laws that they say.
"""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from saddlepoint.data import (
    AUGMENTATIONS,
    OPERATIONS,
    ColourJitter,
    CropFlip,
    RandAugment,
    RandomErasing,
    ResizedCrop,
    build_augmentation,
    one_after_the_other,
)
from saddlepoint.data.augmentation.colour import brightness, contrast, saturation
from saddlepoint.data.augmentation.rectangles import rectangles
from saddlepoint.data.augmentation.tone import (
    autocontrast,
    equalise,
    posterise,
    sharpness,
    solarise,
)
from saddlepoint.data.augmentation.warp import rotated, sheared, translated


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=[1, 3], ids=["grey", "colour"])
def images(request):
    return torch.rand(4, request.param, 17, 23, generator=draw())


@pytest.fixture
def peer():
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    from torchvision.transforms.v2 import functional

    return functional


def every(value):
    return torch.full((4,), value)


def test_tones_are_torchvisions(images, peer):
    torch.testing.assert_close(autocontrast(images), peer.autocontrast(images))
    bytes_ = (images * 255).byte()
    torch.testing.assert_close((equalise(bytes_ / 255) * 255).round().byte(), peer.equalize(bytes_))
    torch.testing.assert_close(equalise(images), peer.equalize(images))
    for bits in (1, 4, 7):
        torch.testing.assert_close(posterise(images, bits), peer.posterize(images, bits))
    torch.testing.assert_close(solarise(images, 0.6), peer.solarize(images, 0.6))


def test_constant_channels_stay(peer):
    flat = torch.full((4, 3, 8, 8), 0.3)
    for function, theirs in ((autocontrast, peer.autocontrast), (equalise, peer.equalize)):
        torch.testing.assert_close(function(flat), flat)
        torch.testing.assert_close(theirs(flat), flat, atol=2e-3, rtol=0)


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.8])
def test_colours_are_torchvisions(images, peer, factor):
    for ours, theirs in (
        (brightness, peer.adjust_brightness),
        (contrast, peer.adjust_contrast),
        (saturation, peer.adjust_saturation),
        (sharpness, peer.adjust_sharpness),
    ):
        torch.testing.assert_close(
            ours(images, every(factor)), theirs(images, factor), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("sign", [-1, 1])
def test_warps_are_torchvisions(images, peer, sign):
    from torchvision.transforms import InterpolationMode

    def affine(shear=(0.0, 0.0), shift=(0, 0), center=None):
        return peer.affine(
            images, 0, list(shift), 1.0, list(shear),
            interpolation=InterpolationMode.BILINEAR, center=center,
        )  # fmt: skip

    slope, turn, pixels = 0.2 * sign, 12.0 * sign, 3 * sign
    angle = math.degrees(math.atan(slope))
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(
        rotated(images, every(turn)),
        peer.rotate(images, turn, interpolation=InterpolationMode.BILINEAR),
        **close,
    )
    for axis in (0, 1):
        shear, shift = [0.0, 0.0], [0, 0]
        shear[axis], shift[axis] = angle, -pixels
        torch.testing.assert_close(
            sheared(images, every(slope), axis), affine(shear, center=[0, 0]), **close
        )
        torch.testing.assert_close(
            translated(images, every(float(pixels)), axis), affine(shift=shift), **close
        )


def test_rand_augment_applies_each_operation_alike_often_and_to_its_images_alone():
    n = 1400
    image = torch.rand(1, 3, 24, 24, generator=draw(3))
    found = RandAugment(operations=1, magnitude=20)(image.expand(n, -1, -1, -1), draw())
    kinds: dict[bytes, str] = {}
    for name, operate in OPERATIONS.items():
        for sign in (-1.0, 1.0):
            result = operate(image, 20 / 30, torch.tensor([sign]))
            kinds.setdefault((result * 1e4).round().int().numpy().tobytes(), name)
    assert len(set(kinds.values())) == len(OPERATIONS)
    told = [kinds.get((each[None] * 1e4).round().int().numpy().tobytes()) for each in found]
    unknown = told.count(None)  # on the edge of rounding
    assert unknown < n / 50
    counts = [told.count(name) for name in OPERATIONS]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_no_magnitude_is_nearly_no_change():
    images = torch.rand(64, 3, 8, 8, generator=draw())
    still = [
        n for n in OPERATIONS if n not in ("autocontrast", "equalise", "posterise", "solarise")
    ]
    for name in still:
        result = OPERATIONS[name](images, 0.0, torch.ones(64))
        torch.testing.assert_close(result, images, atol=1e-5, rtol=0)


def test_erased_areas_follow_their_law():
    images = torch.ones(4000, 1, 60, 60)
    erase = RandomErasing(probability=0.4, area=(0.1, 0.3), ratio=(1.0, 1.0), fill="black")
    shares = (erase(images, draw()) == 0).float().mean((1, 2, 3))
    hit = shares[shares > 0]
    assert stats.binomtest(len(hit), 4000, 0.4).pvalue > 1e-3
    assert float(hit.mean()) == pytest.approx(0.2, abs=0.005)
    large = torch.ones(1, 1, 1, 1).expand(4000, 1, 2000, 2000)  # whose sides are nearly continuous
    top, left, height, width = rectangles(large, draw(), (0.1, 0.3), (0.5, 2.0))
    area, ratio = height * width / 2000**2, (height / width).log() / math.log(2)
    assert stats.kstest(area.numpy(), stats.uniform(0.1, 0.2).cdf).pvalue > 1e-3
    assert stats.kstest(ratio.numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    for first, length in ((top, height), (left, width)):
        place = (first / (2000 - length)).numpy()
        assert stats.kstest(place, stats.uniform(0, 1).cdf).pvalue > 1e-3


def test_rectangles_are_those_of_torchvision(peer):
    """The mean and the spread of area, height over width and place, where many tries do not fit."""
    from torchvision.transforms import RandomErasing as Theirs

    torch.manual_seed(0)
    image = torch.zeros(1, 32, 32)
    theirs = [Theirs.get_params(image, (0.02, 1 / 3), (0.3, 3.3)) for _ in range(4000)]
    expected = torch.tensor([each[:4] for each in theirs]).double()
    batch = torch.zeros(4000, 1, 32, 32)
    ours = torch.stack(rectangles(batch, draw(), (0.02, 1 / 3), (0.3, 3.3)), 1).double()
    torch.testing.assert_close(ours.mean(0), expected.mean(0), atol=0.5, rtol=0)
    torch.testing.assert_close(ours.std(0), expected.std(0), atol=0.5, rtol=0)
    for pair in (ours, expected):
        area = pair[:, 2] * pair[:, 3] / 32**2
        assert float(area.mean()) == pytest.approx(0.172, abs=0.01)


def test_noise_fills_the_rectangle_alone():
    images = torch.full((200, 3, 16, 16), 0.5)
    found = RandomErasing(probability=1.0)(images, draw())
    changed = found != 0.5
    assert bool((changed.all(1) == changed.any(1)).all())
    assert 0.05 < float(changed.float().mean()) < 0.3
    assert float(found[changed].std()) == pytest.approx(math.sqrt(1 / 12), abs=0.01)


def test_a_resized_crop_is_torchvisions_of_the_same_part(peer):
    images = torch.rand(50, 3, 20, 24, generator=draw())
    found = ResizedCrop(area=(0.1, 1.0), flip=False)(images, draw(7))
    parts = torch.stack(rectangles(images, draw(7), (0.1, 1.0), (3 / 4, 4 / 3)), 1).tolist()
    for image, part, result in zip(images, parts, found, strict=True):
        top, left, height, width = part if part[2] else (0, 0, 20, 24)
        expected = peer.resized_crop(image, top, left, height, width, [20, 24], antialias=False)
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_every_second_resized_crop_is_mirrored():
    image = torch.linspace(0, 1, 16).expand(1, 16, 16)
    images = image.expand(2000, 1, 16, 16)
    found = ResizedCrop(area=(0.5, 1.0))(images, draw())
    mirrored = int((found[:, 0, 8, 0] > found[:, 0, 8, -1]).sum())
    assert stats.binomtest(mirrored, 2000, 0.5).pvalue > 1e-3


def test_jitter_draws_its_factors_evenly():
    images = torch.full((3000, 1, 2, 2), 0.4)
    found = ColourJitter(brightness=0.5, contrast=0, saturation=0)(images, draw())[:, 0, 0, 0]
    assert stats.kstest(found.numpy(), stats.uniform(0.2, 0.4).cdf).pvalue > 1e-3
    still = ColourJitter(0, 0, 0)
    assert still(images, draw()) is images


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(6, 3, 32, 32), (3, 1, 8, 8), (1, 4, 5, 2), (2, 3, 1, 1)])
def test_images_stay_images_and_the_generator_decides(name, shape):
    images = torch.rand(*shape, generator=draw())
    before, state = images.clone(), torch.get_rng_state()
    augment = build_augmentation(name)
    first, again = augment(images, draw(3)), augment(images, draw(3))
    assert first.shape == images.shape
    assert torch.equal(first, again)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1 + 1e-6
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert name == "none" or shape[-1] < 8 or not torch.equal(first, augment(images, draw(4)))


def test_several_follow_one_another_by_one_generator():
    images = torch.rand(4, 3, 16, 16, generator=draw())
    both = one_after_the_other(("crop-flip", RandomErasing(1.0)))
    generator = draw(2)
    expected = RandomErasing(1.0)(CropFlip()(images, generator), generator)
    assert torch.equal(both(images, draw(2)), expected)
    assert torch.equal(one_after_the_other(())(images, draw()), images)
