"""Weights that others saved: in their wrappings, under their names, and where that is ambiguous."""

from __future__ import annotations

import argparse
import datetime
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from foreign_resnet import ResNet, resnet
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.zoo import (
    SimpleCNN,
    build_model,
    load_weights,
    outputs_in,
    save_weights,
    weights_fingerprint,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*matched by shape and order")


def network(classes=3):
    return SimpleCNN(classes=classes, channels=1, size=8, widths=(4,), kernel=3, hidden=(6,))


def normalised(net=None):
    return Normalised(net or network(), mean=(0.5,), std=(0.25,))


def same(first, second):
    return weights_fingerprint(first) == weights_fingerprint(second)


def named(state, prefix):
    return {prefix + key: value for key, value in state.items()}


def refused(target, content, message, tmp_path, **options):
    before = weights_fingerprint(target)
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=message) as caught:
        load_weights(target, tmp_path / "a.ckpt", **options)
    assert weights_fingerprint(target) == before
    assert str(caught.value).count("\n") <= 1


def equal_logits(target, source):
    images = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(target.eval()(images), source.eval()(images), atol=1e-5)


@pytest.mark.parametrize("name", ["a.th", "a.ckpt", "a.pth.tar", "weights", "a.txt", "a.t7"])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_files_are_known_by_their_content(tmp_path, name, form):
    source, target = network(), network()
    if form == "safetensors":
        safetensors.torch.save_file(source.state_dict(), tmp_path / name)
    else:
        new = form == "zip"
        torch.save(source.state_dict(), tmp_path / name, _use_new_zipfile_serialization=new)
    load_weights(target, str(tmp_path / name))
    assert same(source, target)


@pytest.mark.parametrize(
    "prefix",
    ["state_dict|model.", "model|module.", "a.b|", "model_ema|module.net.", "net|basic_net.",
     "state_dict|attacker.model.", "module|module._orig_mod.", "|1.", "x|any_name.at.all."],
)  # fmt: skip
def test_wrappings_of_every_kind(tmp_path, prefix):
    source, target = network(), network()
    nest, _, before = prefix.partition("|")
    content = named(source.state_dict(), before)
    for name in reversed(nest.split(".") if nest else []):
        content = {"epoch": 3, name: content, "optimizer": {"state": {0: {"m": torch.ones(2)}}}}
    torch.save(content, tmp_path / "a.pt")
    report = load_weights(target, tmp_path / "a.pt")
    assert same(source, target)
    assert not report.renamed


def test_marks_of_wrappers_in_the_middle_of_keys(tmp_path):
    source, target = network(), network()
    state = {k.replace("blocks.", "blocks.module."): v for k, v in source.state_dict().items()}
    torch.save(named(state, "model._orig_mod."), tmp_path / "a.pt")
    load_weights(target, tmp_path / "a.pt")
    assert same(source, target)


def test_what_a_training_saves_beside_its_weights_is_left_alone(tmp_path):
    source, target = network(), network()
    content = {
        "args": argparse.Namespace(lr=0.1, out=Path("runs")),
        "best": np.float64(0.93), "history": np.arange(3), "when": datetime.datetime(2020, 1, 1),
        "state_dict": source.state_dict(),
    }  # fmt: skip
    for old in (False, True):
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
        load_weights(target, tmp_path / "a.pth")
        assert same(source, target)
    refused(target, {"a": argparse.Namespace()}, "holds a, and no state dict", tmp_path)


def constants(mean="mean", std="std", scale=1.0, shape=(1,)):
    return {mean: torch.full(shape, 0.3 * scale), std: torch.full(shape, 0.2 * scale)}


@pytest.mark.parametrize(
    ("beside", "prefix"),
    [
        (constants("0.mean", "0.std", shape=(1, 1, 1, 1)), "1."),
        (constants("normalizer.new_mean", "normalizer.new_std"), "model."),
        (constants("module.mu", "module.sigma"), "module.net."),
        (constants("means", "sds"), ""),
        (constants("0.mean", "0.std", scale=255.0), "1."),
    ],
)
def test_a_normaliser_beside_the_network_is_used(tmp_path, beside, prefix):
    net = network()
    torch.save({**beside, **named(net.state_dict(), prefix)}, tmp_path / "a.pt")
    target = normalised()
    assert load_weights(target, tmp_path / "a.pt").normalisation == "file"
    assert same(target, Normalised(net, (0.3,), (0.2,)))
    with pytest.raises(InputError, match=r"with its normalisation .* would lose it"):
        load_weights(network(), tmp_path / "a.pt")
    # A module of somebody else's with a place for it.
    own = nn.ModuleDict({"shift": nn.Module(), "body": network()})
    own["shift"].register_buffer("mu", torch.zeros(1, 1, 1, 1))
    own["shift"].register_buffer("sigma", torch.ones(1, 1, 1, 1))
    load_weights(own, tmp_path / "a.pt")
    assert same(own["body"], net)
    assert float(own["shift"].sigma) == pytest.approx(0.2)


def test_a_network_that_was_saved_twice(tmp_path):
    """As robustness does: once for the attacker; and an average of the weights is another."""
    state, target = network().state_dict(), network()
    twice = {**named(state, "module.model."), **named(state, "module.attacker.model.")}
    torch.save({"model": twice}, tmp_path / "a.pt")
    assert load_weights(target, tmp_path / "a.pt").left_out == ()
    assert all(torch.equal(target.state_dict()[key], value) for key, value in state.items())
    average = network().state_dict()
    content = {"state_dict": state, "state_dict_ema": average}
    refused(
        network(), content, "several networks that fit, state_dict and state_dict_ema", tmp_path
    )
    load_weights(target, tmp_path / "a.ckpt", part="state_dict_ema")
    assert all(torch.equal(target.state_dict()[key], value) for key, value in average.items())
    content = {**named(state, "student."), **named(average, "teacher.")}
    refused(network(), content, "several networks that fit, student. and teacher.", tmp_path)
    load_weights(target, tmp_path / "a.ckpt", part="student")
    assert all(torch.equal(target.state_dict()[key], value) for key, value in state.items())
    refused(target, content, "has no part pupil; it has the whole", tmp_path, part="pupil")


def test_what_stands_beside_the_network_is_told_unless_it_is_most(tmp_path):
    state = named(network().state_dict(), "model.")
    torch.save({**state, "criterion.weight": torch.ones(3)}, tmp_path / "a.pt")
    report = load_weights(network(), tmp_path / "a.pt")
    assert report.notes == ("1 tensors are not of the model: criterion.weight",)
    head = {**named(ResNet().state_dict(), "body."), **named(nn.Linear(2, 3).state_dict(), "fc.")}
    refused(nn.Linear(2, 3), head, "does not fit", tmp_path)
    load_weights(nn.Linear(2, 3), tmp_path / "a.ckpt", part="fc")


# By shape and order


def target():
    return build_model("zoo:resnet20", classes=10, shape=(1, 8, 8))


@pytest.mark.parametrize("old", [False, True])
def test_the_same_network_under_other_names(tmp_path, old):
    state = {k: v for k, v in resnet().state_dict().items() if not (old and "batches" in k)}
    torch.save({"state_dict": named(state, "model.module.")}, tmp_path / "a.ckpt")
    own = target()
    with pytest.warns(UserWarning, match="by shape and order: conv.weight ← model.module.conv1.w"):
        report = load_weights(own, tmp_path / "a.ckpt")
    assert len(report.renamed) == len(state)
    equal_logits(own, resnet())


def test_layers_in_a_row_and_in_blocks(tmp_path):
    net = network()
    flat = nn.Sequential(*(m for m in net.modules() if not list(m.children())))
    torch.save(flat.state_dict(), tmp_path / "a.pth")
    own = network()
    load_weights(own, tmp_path / "a.pth")
    assert same(own, net)
    assert outputs_in(tmp_path / "a.pth", network, 2) == 3


def test_a_sorted_file_is_matched_where_the_shapes_say_all_and_else_refused(tmp_path):
    state = resnet().state_dict()
    message = r"by shape and order: its keys are sorted \(bn1.bias stands before bn1.weight\)"
    refused(target(), {key: state[key] for key in sorted(state)}, message, tmp_path)
    net, own = network(), network()
    flat = nn.Sequential(*(m for m in net.modules() if not list(m.children())))
    safetensors.torch.save_file(flat.state_dict(), tmp_path / "a.safetensors")
    load_weights(own, tmp_path / "a.safetensors")
    assert same(own, net)


def swapped(state, first, second):
    """The state dict with two layers in each other's place in the order, under their own names."""
    keys = list(state)
    a, b = ([k for k in keys if k.startswith(name)] for name in (first, second))
    order = dict(zip(a + b, b + a, strict=True))
    return {order.get(key, key): state[order.get(key, key)] for key in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: swapped(s, "layer1.0.conv1", "layer1.0.conv2"), "behind a layer of a larger"),
        (lambda s: swapped(s, "layer1.0.", "layer1.1."), "layer1.0 stands behind a layer"),
        (lambda s: swapped(s, "bn1.weight", "bn1.bias"), "its keys are sorted"),
        (lambda s: swapped(s, "bn1.running_mean", "bn1.running_var"), "its keys are sorted"),
        (lambda s: dict(sorted(s.items(), key=lambda i: i[1].numel())), "sorted|mixed|behind"),
        (lambda s: {k.replace("conv1", "a").replace("conv2", "b"): v for k, v in s.items()},
         r"layer1.0.a and layer1.0.b have the same shapes, and nothing but their order says"),
        (lambda s: {k: -v.abs() - 1 if k == "bn1.running_var" else v for k, v in s.items()},
         "bn1.running_var is no variance"),
        (lambda s: {k: v.float() if "batches" in k else v for k, v in s.items()}, "no counter"),
    ],
)  # fmt: skip
def test_an_order_that_cannot_be_trusted(tmp_path, change, message):
    refused(target(), change(resnet().state_dict()), message, tmp_path)


def test_normalisation_before_and_after_are_not_taken_for_each_other(tmp_path):
    """The same shapes in another order are another network."""
    first = [("conv1", nn.Conv2d(1, 4, 3)), ("bn1", nn.BatchNorm2d(4)), ("conv2", nn.Conv2d(4, 4, 3)),
             ("bn2", nn.BatchNorm2d(4))]  # fmt: skip
    second = [("c1", first[0][1]), ("c2", first[2][1]), ("n1", first[1][1]), ("n2", first[3][1])]
    state = nn.ModuleDict(dict(first)).state_dict()
    refused(nn.ModuleDict(dict(second)), state, "in another order", tmp_path)


@pytest.mark.parametrize(
    ("net", "near"),
    [
        (ResNet(blocks=3, channels=3), r"near to it: zoo:resnet20 \(100% of the shapes\)"),
        (ResNet(blocks=5, classes=7), r"near to it: zoo:resnet32 \(100%"),
    ],
)
def test_near_architectures_are_named(tmp_path, net, near):
    refused(network(), net.state_dict(), f"keys .* missing .*\n{near}.*FILE.py:CALLABLE", tmp_path)


def test_architectures_of_torchvision_and_timm_are_known_by_their_names(tmp_path):
    models = pytest.importorskip("torchvision.models")
    with torch.device("meta"):
        keys = {key: value.shape for key, value in models.resnet50().state_dict().items()}
    state = {key: torch.zeros(()).expand(shape) for key, shape in keys.items()}
    refused(network(), state, "torchvision:resnet50 or timm:resnet50", tmp_path)


# What is no file of weights


def archived(kind):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("readme.md", "hello")
    elif kind == "npz":
        np.savez(file, images=np.zeros(3))
    else:
        with tarfile.open(fileobj=file, mode="w:gz" if kind == "gz" else "w") as archive:
            archive.addfile(tarfile.TarInfo("model/weights.pt"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archived("zip"), "is a zip archive of readme.md"),
        (archived("npz"), "is an .npz archive of arrays of images.npy"),
        (archived("tar"), "is a tar archive that begins with model/weights.pt; unpack it"),
        (archived("gz"), "compressed by gzip"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"PK\x03\x04 and no more", "is not a whole PyTorch file"),
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a"])
def test_other_files_are_told(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_weights(network(), tmp_path / name)
    assert "\n" not in str(caught.value)


def test_weights_are_saved_to_a_path_in_words(tmp_path):
    source = network()
    assert save_weights(source, f"{tmp_path}/a.safetensors").is_file()
