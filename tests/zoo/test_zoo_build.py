"""Networks from every source by name, and the errors on the way."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.zoo import build_model, default_normalisation, weights_fingerprint


def build(spec, classes=10, shape=(3, 32, 32), **options):
    return build_model(spec, classes=classes, shape=shape, **options)


def logits_of(spec, shape, classes=10):
    network = build(spec, classes=classes, shape=shape).eval()
    with torch.no_grad():
        return network(torch.rand(2, *shape))


@pytest.mark.parametrize("spec", ["zoo:resnet20", "resnet20"])
def test_the_zoo_with_and_without_its_prefix(spec):
    assert logits_of(spec, (1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("timm:resnet10t", (1, 32, 32)),
        ("timm:resnet10t", (3, 40, 24)),
        ("timm:test_vit", (3, 32, 32)),
        ("timm:test_vit", (1, 32, 64)),
    ],
)
def test_timm_adapts_classes_channels_and_size(spec, shape):
    pytest.importorskip("timm")
    assert logits_of(spec, shape, classes=7).shape == (2, 7)


@pytest.mark.parametrize("spec", ["torchvision:squeezenet1_1", "torchvision:mobilenet_v3_small"])
def test_torchvision_adapts_the_classes(spec):
    pytest.importorskip("torchvision")
    assert logits_of(spec, (3, 32, 32), classes=7).shape == (2, 7)


@pytest.mark.parametrize("spec", ["timm:resnet10t", "torchvision:mobilenet_v3_small"])
def test_foreign_weights_depend_on_the_seed_alone(spec):
    pytest.importorskip(spec.split(":")[0])
    before = torch.get_rng_state()
    first = weights_fingerprint(build(spec, seed=3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert weights_fingerprint(build(spec, seed=3)) == first
    assert weights_fingerprint(build(spec, seed=4)) != first


def test_default_normalisation():
    pytest.importorskip("timm")
    assert default_normalisation("timm:vit_tiny_patch16_224")[0] == (0.5, 0.5, 0.5)
    assert default_normalisation("torchvision:resnet18")[1] == (0.229, 0.224, 0.225)
    assert default_normalisation("zoo:resnet20") is None
    assert default_normalisation("mine.py:net") is None


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("resnet-20", {}, "unknown model 'resnet-20'; did you mean 'resnet20'"),
        ("zoo:simplecnn", {}, "unknown zoo model 'simplecnn'; did you mean 'simple-cnn'"),
        ("hub:resnet18", {}, "unknown model 'hub:resnet18'"),
        ("timm:resnet81", {}, "unknown timm model 'resnet81'; did you mean 'resnet"),
        ("torchvision:resnet19", {}, "unknown torchvision model 'resnet19'; did you mean 'resnet1"),
        ("torchvision:resnet18", {"shape": (1, 28, 28)}, "takes 3 channels, the images have 1"),
        ("torchvision:resnet18", {"pretrained": True}, "weights for 1000 classes, not 10"),
        ("timm:resnet18.bogus", {}, "cannot be built .*Invalid pretrained tag"),
        ("resnet20", {"pretrained": True}, "has no pretrained weights"),
        ("resnet20", {"classes": 1}, "1 classes"),
        ("resnet20", {"shape": (64,)}, r"shape \(64,\); models take \(C, H, W\)"),
        ("resnet20", {"shape": (3, 0, 8)}, "image size is 0×8"),
    ],
)
def test_what_is_refused(spec, options, message):
    pytest.importorskip("timm")
    pytest.importorskip("torchvision")
    with pytest.raises(InputError, match=message):
        build(spec, **options)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_missing_library_names_the_extra(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        InputError, match=rf"{library} is not installed: pip install 'saddlepoint\["
    ):
        build(f"{library}:resnet18")


MINE = """
from __future__ import annotations
import dataclasses
import torch
from torch import nn
from neighbour import WIDTH

@dataclasses.dataclass
class Options:
    width: int = WIDTH

class Net(nn.Module):
    def __init__(self, num_classes, shape):
        super().__init__()
        self.line = nn.Linear(shape[0] * shape[1] * shape[2], num_classes)
    def forward(self, x):
        return self.line(x.flatten(1))

def everything(classes, *, channels, size, shape, width=5):
    assert (channels, size, shape) == (3, (4, 6), (3, 4, 6)), (channels, size, shape)
    return Net(classes, shape)

def square(size):
    assert size == 8
    return nn.Flatten()

def nothing():
    return nn.Flatten()

def loose(**options):
    assert options == {}
    return nn.Flatten()

def needs(depth):
    return nn.Flatten()

def fails(classes):
    raise KeyError("no\\n such  weight")

def wrong():
    return 7

ready = nn.Flatten()
number = 3
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "neighbour.py").write_text("WIDTH = 3")
    path = tmp_path / "json.py"  # a name that must not hide the real one
    path.write_text(MINE)
    return path


def test_own_code_gets_the_arguments_it_names(mine):
    paths = list(sys.path)
    network = build(f"{mine}:everything", classes=5, shape=(3, 4, 6))
    assert network(torch.rand(2, 3, 4, 6)).shape == (2, 5)
    assert build(f"{mine}:Net", classes=4, shape=(1, 8, 8)).line.out_features == 4
    for name in ("nothing", "loose", "ready"):
        assert isinstance(build(f"{mine}:{name}"), nn.Flatten)
    assert isinstance(build(f"{mine}:square", shape=(1, 8, 8)), nn.Flatten)
    assert sys.path == paths
    import json

    assert hasattr(json, "dumps")
    del sys.modules["neighbour"]


def test_own_weights_depend_on_the_seed_alone(mine):
    first = weights_fingerprint(build(f"{mine}:Net", seed=1))
    torch.rand(3)
    assert weights_fingerprint(build(f"{mine}:Net", seed=1)) == first
    assert weights_fingerprint(build(f"{mine}:Net", seed=2)) != first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("everythin", "has no 'everythin'; did you mean 'everything'"),
        ("needs", "needs the argument 'depth', which is not known here"),
        ("fails", "failed: KeyError: 'no"),
        ("wrong", "returned a int; return a torch.nn.Module"),
        ("number", "is a int, not a callable"),
        ("", "names nothing in the file; write"),
    ],
)
def test_own_code_that_is_refused(mine, name, message):
    with pytest.raises(InputError, match=message) as caught:
        build(f"{mine}:{name}")
    assert str(caught.value).count("\n") <= 1


def test_files_that_are_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        build(f"{tmp_path}/missing.py:net")
    with pytest.raises(InputError, match="names nothing in the file; write"):
        build(f"{tmp_path}/missing.py")
    for content, message in (
        ("1 +", "cannot be run: SyntaxError"),
        ("import no_such_package", "cannot be run: ModuleNotFoundError: No module named"),
    ):
        (tmp_path / "broken.py").write_text(content)
        with pytest.raises(InputError, match=message):
            build(f"{tmp_path}/broken.py:net")


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "net.py"
    for features in (2, 33):
        path.write_text(f"from torch import nn\ndef net(): return nn.Linear({features}, 2)\n")
        assert build(f"{path}:net").in_features == features


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_state_of_a_device_is_left_alone():
    torch.rand(1, device="cuda")
    before = torch.cuda.get_rng_state()
    build("resnet20")
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_a_model_for_vectors_is_seeded_too(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from torch import nn\ndef net(classes): return nn.Linear(6, classes)\n")
    state = torch.get_rng_state()
    first, again = (build_model(f"{file}:net", classes=3, shape=(6,), seed=5) for _ in range(2))
    assert torch.equal(first.weight, again.weight)
    assert torch.equal(torch.get_rng_state(), state)
