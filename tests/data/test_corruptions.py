"""Common corruptions: the published constants, closed forms, keys, and what cannot be corrupted."""

from __future__ import annotations

import colorsys
import io
import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_sample_image
from small import digits

from saddlepoint.data import CORRUPTIONS, FolderData, ImageData, TensorData, batches, corrupted
from saddlepoint.data.corruptions import FORMS, corruptions_named, form_for, parse_corruption
from saddlepoint.data.corruptions.defocus import disk
from saddlepoint.data.corruptions.elastic import affine_back, elastic_transform
from saddlepoint.data.corruptions.glass import displaced
from saddlepoint.data.corruptions.motion import line, moved
from saddlepoint.data.corruptions.plasma import plasma
from saddlepoint.data.corruptions.zoom import zoomed
from saddlepoint.errors import InputError

# Once more from the published program, as its lists have them.
CIFAR = {
    "gaussian-noise": [0.04, 0.06, 0.08, 0.09, 0.10],
    "shot-noise": [500, 250, 100, 75, 50],
    "impulse-noise": [0.01, 0.02, 0.03, 0.05, 0.07],
    "defocus-blur": [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
    "glass-blur": [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
    "motion-blur": [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
    "zoom-blur": [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)],
    "snow": [
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9), (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ],
    "frost": [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)],
    "fog": [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)],
    "brightness": [0.05, 0.1, 0.15, 0.2, 0.3],
    "contrast": [0.75, 0.5, 0.4, 0.3, 0.15],
    "elastic-transform": [(0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05),
                          (0.1, 0.03, 0.03)],
    "pixelate": [0.95, 0.9, 0.85, 0.75, 0.65],
    "jpeg-compression": [80, 65, 58, 50, 40],
}  # fmt: skip
IMAGENET = {
    "gaussian-noise": [0.08, 0.12, 0.18, 0.26, 0.38],
    "shot-noise": [60, 25, 12, 5, 3],
    "impulse-noise": [0.03, 0.06, 0.09, 0.17, 0.27],
    "defocus-blur": [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],
    "glass-blur": [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
    "motion-blur": [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)],
    "zoom-blur": [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)],
    "snow": [
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7), (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ],
    "frost": [(1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)],
    "fog": [(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)],
    "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
    "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
    "elastic-transform": [(2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02),
                          (0.12, 0.01, 0.02)],
    "pixelate": [0.6, 0.5, 0.4, 0.3, 0.25],
    "jpeg-compression": [25, 18, 15, 10, 7],
}  # fmt: skip
ALL = tuple(CORRUPTIONS)


def photographs(side, channels=3):
    """Two natural images; the sample images of scikit-learn."""
    found = []
    for name in ("china.jpg", "flower.jpg"):
        picture = Image.fromarray(load_sample_image(name)).crop((100, 0, 527, 427))
        picture = picture.resize((side, side), Image.Resampling.BOX)
        pixels = np.asarray(picture if channels == 3 else picture.convert("L"))
        pixels = pixels.reshape(side, side, channels).transpose(2, 0, 1)
        found.append(torch.tensor(pixels).to(torch.float32) / 255)
    return found


def image(channels=3, height=12, width=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(channels, height, width, generator=generator)


def levels(x):
    return (x * 255).round() / 255


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("form", "published"), [("cifar-10-c", CIFAR), ("imagenet-c", IMAGENET)])
def test_the_constants_are_the_published_ones(form, published):
    assert tuple(published) == ALL
    for name, rows in published.items():
        for severity, row in enumerate(rows, 1):
            row = row if isinstance(row, tuple) else (row,)
            if name == "elastic-transform":  # shares of a side, which is 244 for images of 224
                reckoned, side = (32, 32) if form == "cifar-10-c" else (244, 224)
                row = (*(reckoned * share for share in row), side)
            assert CORRUPTIONS[name].constants(severity, form) == row


def test_the_size_chooses_the_constants_unless_they_are_named():
    assert [form_for((3, side, side)) for side in (8, 32, 64, 65, 224)] == [
        *["cifar-10-c"] * 3, *["imagenet-c"] * 2,
    ]  # fmt: skip
    x = image()
    contrast = CORRUPTIONS["contrast"]
    assert torch.equal(contrast(x, 1), contrast(x, 1, form="cifar-10-c"))
    assert not torch.equal(contrast(x, 1), contrast(x, 1, form="imagenet-c"))
    data = TensorData.of(x[None], torch.tensor([0]), name="x", classes=["a", "b"])
    alike, other = corrupted(data, "contrast", 1), corrupted(data, "contrast", 1, form="imagenet-c")
    assert alike.form == "cifar-10-c"
    assert alike.fingerprint != other.fingerprint


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ALL)
def test_images_of_every_kind_stay_images(name, form):
    corruption = CORRUPTIONS[name]
    for shape in ((1, 8, 8), (3, 8, 8), (1, 9, 33), (3, 40, 17)):
        for severity in (1, 5):
            x = image(*shape)
            found = corruption(x, severity, form=form)
            assert found.dtype == torch.uint8
            assert found.shape == x.shape
            assert torch.equal(found, corruption(x, severity, form=form))
    for value in (0.0, 1.0):  # nothing to normalise by
        corruption(torch.full((3, 8, 8), value), 5, form=form)


@pytest.mark.parametrize("name", ALL)
def test_an_image_is_the_same_in_every_batch_and_order(name):
    pixels = torch.stack([image(3, 16, 16, seed) for seed in range(6)])
    data = TensorData.of(pixels, torch.arange(6) % 2, name="noise")
    whole = corrupted(data, name, 4, seed=7).images(torch.arange(6))
    assert whole.dtype == torch.float32
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1
    assert torch.equal(whole * 255, (whole * 255).round())
    order = torch.tensor([4, 1, 1, 5])
    fresh = corrupted(data, name, 4, seed=7)
    assert torch.equal(fresh.images(order), whole[order])
    assert torch.equal(fresh.images(torch.arange(6)), whole)  # some are kept, the others are new
    assert torch.equal(corrupted(data.first(2), name, 4, seed=7).images(torch.arange(2)), whole[:2])
    parts = [x for _, x, _ in batches(fresh, torch.arange(6), 4, device="cpu")]
    assert torch.equal(torch.cat(parts), whole)


RANDOM = [n for n in ALL if n not in ("defocus-blur", "zoom-blur", "brightness", "contrast",
                                      "pixelate", "jpeg-compression")]  # fmt: skip


@pytest.mark.parametrize("name", RANDOM)
def test_the_key_is_seed_image_name_and_severity(name):
    x, corruption = image(3, 32, 32), CORRUPTIONS[name]
    first = corruption(x, 5)
    assert not torch.equal(first, corruption(x, 5, seed=1))
    assert not torch.equal(first, corruption(x, 5, image_id=1))
    assert torch.equal(first, corruption(x, 5))


def test_severities_and_names_draw_apart():
    grey = torch.full((1, 64, 64), 0.5)
    noise = CORRUPTIONS["gaussian-noise"]
    a, b = (noise(grey, severity).double() / 255 - 0.5 for severity in (1, 2))
    assert abs(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])) < 0.06


# Published constants do not make every severity harder than the one before: these go to and fro in
# mean distance, and are compared where they do not.
DISTANCE = {
    "cifar-10-c": {
        "glass-blur": (1, 4), "motion-blur": (1, 2, 3, 5), "frost": (1, 2, 3),
        "elastic-transform": (),
    },
    "imagenet-c": {
        "glass-blur": (2, 3, 5), "frost": (1, 2), "fog": (1, 2), "snow": (1, 2, 4, 5),
        "elastic-transform": (1, 2),
    },
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ALL)
def test_a_larger_severity_is_further_away(name, form):
    side, draws = (32, 8) if form == "cifar-10-c" else (128, 2)
    corruption, distances = CORRUPTIONS[name], []
    for severity in DISTANCE[form].get(name, (1, 2, 3, 4, 5)):
        moved = [
            (corruption(x, severity, image_id=draw, form=form) / 255 - x).abs().mean()
            for x in photographs(side)
            for draw in range(draws)
        ]
        distances.append(float(torch.stack(moved).mean()))
    assert all(a < b for a, b in itertools.pairwise(distances)), distances
    assert all(distance > 0.004 for distance in distances)


@pytest.mark.parametrize("form", FORMS)
def test_frost_hides_more_of_the_image_from_severity_to_severity(form):
    told = []
    for severity in range(1, 6):
        found = [
            np.corrcoef(CORRUPTIONS["frost"](x, severity, image_id=i, form=form).ravel(), x.ravel())
            for x in photographs(64)
            for i in range(8)
        ]
        told.append(float(np.mean([each[0, 1] for each in found])))
    assert told == sorted(told, reverse=True)


def test_gaussian_noise_has_its_deviation():
    x = torch.full((1, 128, 128), 0.5)
    for severity, deviation in enumerate(CIFAR["gaussian-noise"], 1):
        found = CORRUPTIONS["gaussian-noise"](x, severity, form="cifar-10-c") / 255 - levels(x)
        assert float(found.std()) == pytest.approx(deviation, rel=0.03)
        assert abs(float(found.mean()) + 0.5 / 255) < 0.003  # what is cut off to 8 bits


def test_shot_noise_is_poisson():
    x = torch.full((1, 128, 128), 0.4)
    found = CORRUPTIONS["shot-noise"](x, 2, form="imagenet-c") / 255
    assert float(found.var()) == pytest.approx(0.4 / 25, rel=0.05)
    photons = {math.floor(k * 255 / 25 + 1e-6) for k in range(26)}
    assert set((found * 255).round().int().unique().tolist()) <= photons


def test_impulse_noise_is_salt_and_pepper_of_each_channel():
    x = torch.full((3, 96, 96), 0.5)
    found = CORRUPTIONS["impulse-noise"](x, 5, form="imagenet-c")
    salt, pepper = (float((found == value).float().mean()) for value in (255, 0))
    assert salt == pytest.approx(0.135, rel=0.08)
    assert pepper == pytest.approx(0.135, rel=0.08)
    assert float(((found == 255).all(0)).float().mean()) < 0.01


@pytest.mark.parametrize("form", FORMS)
def test_brightness_raises_the_value(form):
    x = levels(image(3, 8, 8))
    x[:, 0, 0] = 0.0
    found = CORRUPTIONS["brightness"](x, 3, form=form)
    (amount,) = CORRUPTIONS["brightness"].constants(3, form)
    for i in range(8):
        for j in range(8):
            h, s, v = colorsys.rgb_to_hsv(*x[:, i, j].double().tolist())
            wanted = colorsys.hsv_to_rgb(h, s, min(v + amount, 1.0))
            cut = [math.floor(each * 255 + 1e-4) for each in wanted]
            assert np.abs(found[:, i, j].int().numpy() - cut).max() <= (1 if min(wanted) > 0 else 0)
    lone = levels(image(1, 8, 8))
    raised = (lone.double() + amount).clamp(max=1) * 255
    assert torch.equal(
        CORRUPTIONS["brightness"](lone, 3, form=form), (raised + 1e-4).floor().byte()
    )


def test_contrast_is_around_the_mean_of_each_channel():
    x = levels(image(3, 16, 16)).double()
    found = CORRUPTIONS["contrast"](x.float(), 5).double()
    mean = x.mean((1, 2), keepdim=True)
    wanted = (mean + 0.15 * (x - mean)) * 255
    assert bool(((wanted - found) < 1.0001).all())
    assert bool(((wanted - found) > -0.001).all())


def test_pixelate_is_what_pillow_makes_of_boxes():
    x = photographs(32)[0]
    picture = Image.fromarray((x * 255).round().byte().permute(1, 2, 0).numpy())
    for severity, share in enumerate(CIFAR["pixelate"], 1):
        small = picture.resize((int(32 * share), int(32 * share)), Image.Resampling.BOX)
        wanted = np.asarray(small.resize((32, 32), Image.Resampling.BOX))
        found = CORRUPTIONS["pixelate"](x, severity).permute(1, 2, 0).numpy()
        assert np.array_equal(found, wanted)


def test_jpeg_is_what_pillow_stores():
    x = photographs(32)[1]
    picture = Image.fromarray((x * 255).round().byte().permute(1, 2, 0).numpy())
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=40)
    found = CORRUPTIONS["jpeg-compression"](x, 5).permute(1, 2, 0).numpy()
    assert np.array_equal(found, np.asarray(Image.open(stored)))


@pytest.mark.parametrize(
    ("radius", "softness"), [*CIFAR["defocus-blur"], *IMAGENET["defocus-blur"]]
)
def test_disks_sum_to_one_and_are_round(radius, softness):
    kernel = disk(radius, softness)
    assert kernel.sum() == pytest.approx(1)
    assert np.allclose(kernel, kernel.T)
    assert np.allclose(kernel, kernel[::-1])
    middle = len(kernel) // 2
    assert kernel[middle, middle] == kernel.max()
    assert (kernel[middle] > 1e-3 * kernel.max()).sum() >= 2 * int(radius) + 1


def test_blurs_keep_what_is_flat():
    flat = torch.full((3, 20, 20), 0.6)
    for name in ALL:
        if name.endswith("blur") or name in ("contrast", "elastic-transform", "pixelate"):
            assert CORRUPTIONS[name](flat, 5).unique().tolist() == [153], name


def test_zoom_is_that_of_scipy():
    x = np.moveaxis(photographs(32)[0].double().numpy(), 0, -1)
    for factor in (*np.arange(1, 1.31, 0.03), 2.25, 4.5):
        kept = math.ceil(32 / factor)
        top = (32 - kept) // 2
        inner = x[top : top + kept, top : top + kept]
        whole = ndimage.zoom(inner, (factor, factor, 1), order=1)
        trim = (len(whole) - 32) // 2
        wanted = whole[trim : trim + 32, trim : trim + 32]
        assert np.allclose(zoomed(x, float(factor)), wanted, atol=1e-6)


def test_a_motion_is_one_sided_and_along_its_angle():
    weights, places = line(6, 1.5, 0.0)
    assert len(weights) == 13
    assert weights.sum() == pytest.approx(1)
    assert np.allclose(weights / weights[0], np.exp(-(np.arange(13) ** 2) / (2 * 1.5**2)))
    assert places.tolist() == [[0, i] for i in range(13)]
    assert line(3, 1.0, 45.0)[1][4].tolist() == [3, 3]  # 4/√2 = 2.83
    assert line(3, 1.0, -90.0)[1][2].tolist() == [-2, 0]
    point = np.zeros((9, 9, 1))
    point[4, 6] = 1
    blurred = moved(point, 2, 1.0, 0.0)[4, :, 0]
    assert np.allclose(blurred[2:7], np.rint(255 * line(2, 1.0, 0.0)[0][::-1]) / 255)
    assert blurred[7:].tolist() == [0, 0]


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_glass_takes_what_the_published_exchange_leaves(reach):
    """Two pixels of an array of colours, exchanged by `a, b = b, a`: both become the second."""
    shape, rounds = (16, 14), 2
    colours = np.arange(16 * 14 * 3).reshape(16, 14, 3)
    told = rng(3)
    for _ in range(rounds):
        rows, columns = range(16 - reach, reach, -1), range(14 - reach, reach, -1)
        down, right = told.integers(-reach, reach, size=(2, len(rows), len(columns)))
        for i, h in enumerate(rows):
            for j, w in enumerate(columns):
                here, there = colours[h, w], colours[h + down[i, j], w + right[i, j]]
                here[:], there[:] = there, here
    places = displaced(shape, reach, rounds, rng(3))
    assert np.array_equal(np.arange(16 * 14 * 3).reshape(-1, 3)[places], colours)


def test_plasma_is_rough_where_it_decays_slowly():
    smooth, rough = (
        np.mean([np.abs(np.diff(plasma((32, 32), decay, rng(i)))).mean() for i in range(5)])
        for decay in (3.0, 1.4)
    )
    assert rough > 2 * smooth
    field = plasma((17, 40), 2.0, rng())
    assert field.shape == (17, 40)
    assert np.ptp(plasma((64, 64), 2.0, rng())) == pytest.approx(1)


def test_fog_keeps_the_brightest_value_and_black_black():
    x = photographs(32)[0]
    assert not CORRUPTIONS["fog"](torch.zeros(3, 8, 8), 5).any()
    assert float(CORRUPTIONS["fog"](x, 5).max()) <= 255 * float(x.max()) + 1e-3


def test_snow_only_whitens():
    x = levels(photographs(32)[0])
    assert bool((CORRUPTIONS["snow"](x, 2).float() >= (x * 255).round()).all())


def test_the_affine_map_leads_back():
    before = np.array([[1.0, 2.0], [5.0, 3.0], [2.0, 7.0]])
    after = before @ np.array([[1.1, 0.2], [-0.1, 0.9]]) + 0.7
    assert np.allclose(
        np.concatenate([after, np.ones((3, 1))], 1) @ affine_back(before, after), before
    )


def test_elastic_moves_by_the_side_of_the_image():
    """Where only corners move, an image of twice the size is moved by twice as many pixels."""
    jitter = CORRUPTIONS["elastic-transform"].constants(1)
    small, large = (
        elastic_transform(np.mgrid[:side, :side].transpose(1, 2, 0) / side, jitter, rng(2))
        for side in (48, 96)
    )
    inner = slice(10, 38)  # far from the border, where images are mirrored
    assert np.allclose(small[inner, inner], large[::2, ::2][inner, inner])
    plane = np.mgrid[:48, :48].transpose(1, 2, 0) / 48
    assert 0.01 < np.abs(small - plane)[inner, inner].mean() < 0.2


def test_a_corrupted_data_set_keeps_all_but_its_pixels():
    data = digits("test", 12)
    found = corrupted(data, "jpeg_compression", 2, seed=3)
    assert isinstance(found, ImageData)
    assert found.name == "digits, jpeg-compression 2"
    assert (found.shape, found.classes, found.split) == (data.shape, data.classes, data.split)
    assert (found.mean, found.std, len(found)) == (data.mean, data.std, 12)
    assert torch.equal(found.labels, data.labels)
    prints = {
        corrupted(data, name, severity, seed).fingerprint
        for name in ("fog", "snow")
        for severity in (1, 2)
        for seed in (0, 1)
    }
    assert len(prints | {data.fingerprint, corrupted(data.first(11), "fog", 1).fingerprint}) == 10


def test_images_on_disk_and_twice_corrupted(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 8), (50, 100, 200)).save(tmp_path / name / "1.png")
    data = corrupted(FolderData.of(tmp_path), "shot-noise", 5)
    both = corrupted(data, "contrast", 1)
    assert both.images(torch.tensor([1, 0])).shape == (2, 3, 8, 9)
    assert both.name.endswith("shot-noise 5, contrast 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fgo:3",
            "unknown corruption 'fgo'; did you mean 'fog'? (known: gaussian-noise, shot-noise",
        ),
        ("fog:9", "severity is 9; give 1, 2, 3, 4 or 5"),
        ("fog:0", "severity is 0; give 1, 2, 3, 4 or 5"),
        ("fog", "corruption fog: write NAME:SEVERITY, for instance fog:3"),
        ("fog:", "write NAME:SEVERITY"),
        ("fog:-1", "write NAME:SEVERITY"),
        ("fog:3:4", "write NAME:SEVERITY"),
        ("fog:٣", "write NAME:SEVERITY"),
        (f"fog:{'9' * 5000}", "write NAME:SEVERITY"),
        ("", "unknown corruption ''"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(InputError) as error:
        parse_corruption(text)
    assert message in str(error.value)
    assert len(str(error.value)) < 400


def test_what_cannot_be_corrupted():
    data = digits("test", 2)
    assert parse_corruption("jpeg_compression:5")[0].name == "jpeg-compression"
    assert [each.name for each in corruptions_named(None)] == list(ALL)
    points = TensorData.of(torch.rand(2, 2), torch.tensor([0, 1]), name="points")
    small = TensorData.of(torch.rand(2, 3, 7, 9), torch.tensor([0, 1]), name="small")
    two = TensorData.of(torch.rand(2, 2, 8, 8), torch.tensor([0, 1]), name="two")
    for wrong in (points, small, two):
        with pytest.raises(InputError, match="cannot be corrupted; give"):
            corrupted(wrong, "fog", 3)
    for severity in (0, 6, 2.5, 2.0, True, "3", None):
        with pytest.raises(InputError, match="give 1, 2, 3, 4 or 5"):
            corrupted(data, "fog", severity)
    with pytest.raises(InputError, match="known: cifar-10-c, imagenet-c"):
        corrupted(data, "fog", 3, form="cifar")
    with pytest.raises(InputError, match="seed is -1"):
        corrupted(data, "fog", 3, -1)
    with pytest.raises(InputError, match="no corruption is named"):
        corruptions_named([])
