"""Resizing and cutting are layers: like the libraries' own transforms, differentiable, declared."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from saddlepoint.cli import run
from saddlepoint.errors import InputError
from saddlepoint.model import Guard, Normalised, Preprocessed, Preprocessing, preprocessed
from saddlepoint.zoo import (
    build_model,
    default_normalisation,
    default_preprocessing,
    load_weights,
    save_weights,
    weights_fingerprint,
)

KINDS = [
    Preprocessing((12, 10)),
    Preprocessing(12, (8, 8)),
    Preprocessing(12, (8, 8), "bicubic"),
    Preprocessing(None, (9, 7)),
    Preprocessing(6, (11, 12)),
]


class Pixels(nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("sides", [(16, 16), (15, 24), (8, 8)])
def test_what_the_network_gets_is_what_torchvision_makes(kind, sides):
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    images = torch.rand(2, 3, *sides)
    right = images
    if kind.resize is not None:
        size = [kind.resize] if isinstance(kind.resize, int) else list(kind.resize)
        right = functional.resize(right, size, interpolation=kind.interpolation, antialias=True)
        right = right.clamp(0, 1)
    height, width = right.shape[-2:]
    if kind.crop is not None:
        missing = [max(c - s, 0) for c, s in zip(kind.crop, (height, width), strict=True)]
        if all(
            (s + m - c) % 2 == 0
            for c, s, m in zip(kind.crop, (height, width), missing, strict=True)
        ):
            right = functional.center_crop(right, list(kind.crop))
        else:
            pytest.skip("where the middle is between two pixels torchvision rounds to even")
    seen = Preprocessed(Pixels(), kind)(images)
    assert tuple(seen.shape[-2:]) == kind.size(*sides)
    assert torch.allclose(seen, right, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pillow_makes_the_same_but_for_its_rounding(interpolation):
    picture = torch.randint(0, 256, (40, 60, 3), dtype=torch.uint8).numpy()
    how = Image.Resampling[interpolation.upper()]
    right = np.asarray(Image.fromarray(picture).resize((15, 10), how), dtype=np.float32) / 255
    images = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    seen = Preprocessed(Pixels(), Preprocessing((10, 15), None, interpolation))(images)
    assert np.abs(seen[0].permute(1, 2, 0).numpy() - right).max() <= 1.6 / 255


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients_are_those_of_differences(kind):
    model = Preprocessed(Pixels(), kind)
    images = (0.3 + 0.4 * torch.rand(1, 1, 9, 12)).double().requires_grad_()
    assert torch.autograd.gradcheck(model, images)


def test_images_of_the_right_size_pass_as_they_are():
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(Preprocessed(Pixels(), Preprocessing(8, (8, 8), "bicubic"))(images), images)


def test_images_are_cut_before_they_are_normalised():
    model = preprocessed(Pixels(), Preprocessing(None, (4, 4)), ((0.5,), (0.25,)))
    seen = model(torch.ones(1, 1, 2, 2))
    assert seen[0, 0].unique().tolist() == [-2.0, 2.0]  # black and white
    assert isinstance(model, Preprocessed)
    assert isinstance(model.net, Normalised)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"resize": 0}, "give sides of 1 or more"),
        ({"crop": (3, -1)}, "give sides of 1 or more"),
        ({"interpolation": "nearest"}, "give bilinear or bicubic"),
    ],
)
def test_what_is_none_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        Preprocessing(**given)
    with pytest.raises(InputError, match="is no preprocessing"):
        Preprocessing.of({"side": 3})
    with pytest.raises(InputError, match="the model takes"):
        Preprocessed(Pixels(), Preprocessing())(torch.rand(3, 8, 8))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_record_says_it_whole(kind):
    assert Preprocessing.of(json.loads(json.dumps(kind.json()))) == kind


def network(kind):
    net = build_model("zoo:simple-cnn", classes=3, shape=(1, 8, 8))
    return preprocessed(net, kind, ((0.4,), (0.3,)))


def test_another_size_is_another_model_and_weights_fit_both(tmp_path):
    one, other = network(Preprocessing(8)), network(Preprocessing((8, 8)))
    assert weights_fingerprint(one) != weights_fingerprint(other)
    assert weights_fingerprint(nn.DataParallel(one)) == weights_fingerprint(one)
    path = save_weights(network(None), tmp_path / "a.safetensors")
    assert load_weights(one, path).normalisation == "file"
    torch.save(  # as another project writes it
        {k.replace("net.", "model.") if "net" in k else k: v[None] if k in ("mean", "std") else v
         for k, v in network(None).state_dict().items()}, tmp_path / "b.pt")  # fmt: skip
    assert load_weights(one, tmp_path / "b.pt").normalisation == "file"


def test_a_guard_takes_products_through_it():
    model, images = network(Preprocessing(8, None, "bicubic")), torch.rand(3, 1, 12, 12)
    with Guard(model, 3) as guard:
        _, found = guard.jacobian(images, lambda z: torch.eye(3).expand(len(z), 3, 3))
    assert found.shape == (3, 3, 1, 12, 12)
    assert (found != 0).any()


def test_timm_and_torchvision_say_what_their_weights_expect():
    data = pytest.importorskip("timm.data")
    timm = pytest.importorskip("timm")
    for name in ("resnet18", "vit_tiny_patch16_224", "mobilenetv3_small_050"):
        found = default_preprocessing(f"timm:{name}")
        config = data.resolve_data_config(
            pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict()
        )
        resize, crop = data.create_transform(**config).transforms[:2]
        assert found is not None
        assert found.resize == resize.size
        assert found.crop == tuple(crop.size)
        assert found.interpolation == resize.interpolation.value
    squashed = default_preprocessing("timm:convnext_tiny.in12k_ft_in1k_384")
    assert squashed == Preprocessing((384, 384), (384, 384), "bicubic")
    assert default_preprocessing("torchvision:vit_b_16") == Preprocessing(256, (224, 224))
    assert default_preprocessing("zoo:simple-cnn") is None


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """Weights of torchvision's smallest ResNet, as if they had been fetched before."""
    models = pytest.importorskip("torchvision.models")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    name = models.ShuffleNet_V2_X0_5_Weights.DEFAULT.url.rpartition("/")[2]
    torch.save(models.shufflenet_v2_x0_5().state_dict(), tmp_path / "hub/checkpoints" / name)
    # The digest in the name is not that of these weights.
    loaded = torch.hub.load_state_dict_from_url
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url",
        lambda *given, **named: loaded(*given, **{**named, "check_hash": False}),
    )
    return "torchvision:shufflenet_v2_x0_5"


def words(out, *more):
    images, labels = np.random.default_rng(0).random((2, 3, 40, 40), np.float32), [7, 999]
    np.savez(out.parent / "some.npz", images=images, labels=labels)
    given = ["attack", "--data", out.parent / "some.npz", "--attack", "fgsm", "--eps", "2/255"]
    return [str(each) for each in (*given, "--out", out, *more)]


def test_pretrained_weights_get_images_of_their_size(fetched, tmp_path, capsys):
    more = ("--model", fetched, "--pretrained")
    assert run(words(tmp_path / "a", *more)) == 0, capsys.readouterr().err
    assert "images of 40×40 are resized (bilinear) shorter side to 256" in capsys.readouterr().err
    identity = json.loads((tmp_path / "a/attack.json").read_text())["config"]["identity"]
    assert identity["preprocessing"] == {
        "resize": 256, "crop": [224, 224], "interpolation": "bilinear"
    }  # fmt: skip
    assert tuple(identity["normalisation"]["mean"]) == pytest.approx(
        default_normalisation(fetched)[0]
    )
    assert np.load(tmp_path / "a/adversarials.npz")["adversarials"].shape == (2, 3, 40, 40)
    assert run(words(tmp_path / "b", *more, "--preprocessing", "none")) == 0
    identity = json.loads((tmp_path / "b/attack.json").read_text())["config"]["identity"]
    assert "preprocessing" not in identity
    assert "resized" not in capsys.readouterr().err


def test_a_model_of_ours_has_no_preprocessing_of_its_own(tmp_path, capsys):
    more = ("--model", "zoo:simple-cnn", "--preprocessing", "own")
    assert run(words(tmp_path / "a", *more)) == 2
    assert "zoo:simple-cnn has no preprocessing of its own" in capsys.readouterr().err


def test_a_training_tells_those_who_measure_it(tmp_path, capsys):
    pytest.importorskip("timm")
    arrays = {"images": np.random.default_rng(0).random((8, 3, 20, 20), np.float32)}
    np.savez(tmp_path / "few.npz", **arrays, labels=[0, 1] * 4)
    common = ["--data", tmp_path / "few.npz", "--model", "timm:test_resnet"]
    given = ["train", *common, "--recipe", "standard", "--epochs", 1, "--out", tmp_path / "run"]
    assert run([str(each) for each in (*given, "--preprocessing", "own")]) == 0
    out = ["attack", *common, "--weights", tmp_path / "run", "--eps", "1/255", "--attack", "fgsm"]
    assert run([str(each) for each in (*out, "--out", tmp_path / "eval")]) == 0, capsys.readouterr()
    identity = json.loads((tmp_path / "eval/attack.json").read_text())["config"]["identity"]
    assert identity["preprocessing"]["crop"] == [160, 160]
