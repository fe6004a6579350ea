"""Whose classes are they? Asked before any attack, and mapped where a file says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import cli_fixture, net_fixture, refused_fixture  # noqa: F401
from PIL import Image
from small import digits
from words import attack, evaluate, train

from saddlepoint.data import load_data, read_class_map
from saddlepoint.errors import InputError
from saddlepoint.zoo import build_model


def add(file, code):
    file.write_text(f"{file.read_text()}\n{code}")


@pytest.fixture(name="folder")
def folder_fixture(tmp_path, monkeypatch):
    """Digits 3 and 7 in folders that are called so; 0 and 1 would be their numbers."""
    monkeypatch.chdir(tmp_path)
    data = digits("test", 200)
    for name, digit in (("seven", 7), ("three", 3)):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in (data.labels == digit).nonzero()[:6, 0].tolist():
            pixels = (data.pixels[i, 0] * 255).round().to(torch.uint8).numpy()
            Image.fromarray(pixels).save(tmp_path / "d" / name / f"{i}.png")
    (tmp_path / "classes.txt").write_text("# of ten\nseven: 7\nthree: 3\n")
    return "d"


def test_other_outputs_than_classes_are_refused_before_any_attack(refused, folder, net, tmp_path):
    bare = {"data": folder, "model": net[0].replace("net.py:net", "net.py:ten")}
    add(tmp_path / "net.py", "def ten():\n    return net(10)\n")
    for words in (evaluate(**bare), attack(**bare), train(**bare)):
        message = refused(*words)
        assert "the model has 10 outputs, the data 2 classes (seven, three)" in message
        assert "--classes" in message
    np.savez("saved.npz", x=np.zeros((12, 1, 8, 8)))
    ten = ["--data", folder, "--model", bare["model"]]
    assert "10 outputs" in refused("rejudge", "saved.npz", *ten)
    mapped = {"weights": net[1], "classes": "classes.txt"}
    two = {"surrogate_model": net[0].replace("net.py:net", "net.py:two"), "surrogate": "two.pt"}
    add(tmp_path / "net.py", "def two():\n    return net(2)\n")
    torch.save(
        build_model(two["surrogate_model"], classes=2, shape=(1, 8, 8)).state_dict(), "two.pt"
    )
    assert "the surrogate has 2 outputs, the data 10" in refused(*attack(**bare, **mapped, **two))


def test_a_file_maps_the_classes(cli, folder, net):
    words = {"data": folder, "model": net[0], "weights": net[1], "classes": "classes.txt"}
    found = cli(*evaluate(**words, suite="quick"), "--json")
    assert found.status == 0, found
    assert found.json["clean_accuracy"]["value"] > 0.8
    done = cli(*attack(**words, out="a"), "--json")
    assert done.status == 0, done
    audit = ["rejudge", "a/adversarials.npz", "--data", folder, "--model", net[0]]
    audit += ["--weights", net[1], "--classes", "classes.txt", "--json"]
    judged = cli(*audit).json
    assert judged["initially_wrong"] == 12 - found.json["clean_accuracy"]["count"]
    assert judged["subject"]["weights"]["fingerprint"]


@pytest.mark.parametrize(
    ("name", "text", "outputs"),
    [
        ("a.txt", "cat: 281\ndog\t207\n", (281, 207)),
        ("a.csv", "dog,207\ncat,281\n", (281, 207)),
        ("a.json", '{"cat": "tabby", "dog": "n02099601"}', (281, 207)),
        ("a.yaml", "cat: tabby cat\ndog: 207\n", (281, 207)),
        ("a.txt", "281\n207\n", (281, 207)),
        ("a.yaml", "[tabby, golden retriever]", (281, 207)),
        ("a.txt", "bird\ndog\ncat\n", (2, 1)),
    ],
)
def test_the_forms_of_a_file(name, text, outputs, tmp_path):
    pytest.importorskip("timm")
    (tmp_path / name).write_text(text)
    assert read_class_map(tmp_path / name, ("cat", "dog")).outputs == outputs


def test_wordnet_folders_are_looked_up_in_timms_list(tmp_path):
    pytest.importorskip("timm")
    names = ("n01440764", "n15075141")
    (tmp_path / "a.txt").write_text("\n".join(names))
    found = read_class_map(tmp_path / "a.txt", names)
    assert found.outputs == (0, 999)
    assert len(found.names) == 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cat": 3}', "no output is given for dog"),
        ('{"cat": 3, "dog": "no such thing"}', "unknown class of ImageNet 'no such thing'"),
        ('{"cat": "crane", "dog": 2}', "'crane' is the name of the outputs 134 and 517"),
        ('{"cat": -1, "dog": 2}', "output -1"),
        ('{"cat": 1000000, "dog": 2}', "output 1000000"),
        ('["cat", "dog", "cat"]', "several outputs have the name cat"),
        ("3", "give a mapping"),
        ('["a", "b", "c"]', "3 lines and 2 classes"),
    ],
)
def test_files_that_do_not_say_it_are_refused(text, message, tmp_path):
    pytest.importorskip("timm")
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_class_map(tmp_path / "a.json", ("cat", "dog"))
    assert "a.json" in str(caught.value)


def test_outputs_that_a_model_has_not_are_refused(refused, folder, net, monkeypatch, tmp_path):
    Path("classes.txt").write_text("seven: 7\nthree: 12\n")
    words = {"data": folder, "model": "zoo:simple-cnn", "classes": "classes.txt"}
    message = refused(*evaluate(**words, weights=net[1]))
    assert "net.safetensors does not fit the model" in message
    assert "mapped to output 12, but the model has 10" in refused(
        *evaluate(**{**words, "model": net[0]}, weights=net[1])
    )
    # As if it had been fetched before.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/resnet18-f37072fd.pth").touch()
    pretrained = {"data": folder, "model": "torchvision:resnet18"}
    assert "1,000 classes" in refused(*evaluate(**pretrained), "--pretrained")


def test_numbered_classes_may_be_fewer_than_outputs(cli, refused, tmp_path, monkeypatch, net):
    monkeypatch.chdir(tmp_path)
    data = digits("test", 60)
    few = data.labels < 4
    np.savez("few.npz", x=data.pixels[few].numpy(), y=data.labels[few].numpy())
    add(Path("net.py"), "def ten():\n    return net(10)\n\ndef two():\n    return net(2)\n")
    found = cli(*attack(data="few.npz", model="net.py:ten", weights=net[1]), "--json")
    assert found.status == 0, found
    assert "10 outputs for 4 numbered classes" in found.json["notes"][0]
    assert "labels span 0 … 3" in refused(*attack(data="few.npz", model="net.py:two", out="b"))


def test_mapped_data_keeps_its_images(folder):
    data = load_data(folder)
    mapped = read_class_map(Path("classes.txt"), data.classes).applied(data, 10)
    assert set(mapped.labels.tolist()) == {3, 7}
    assert mapped.classes[7] == "seven"
    assert mapped.classes[0] == "0"
    assert torch.equal(mapped.pixels, data.pixels)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"cat": 7,\n"dog": 3,\n"cat": 1}', "line 3: the name 'cat' .*first in line 1"),
        ("a.json", '{"c": {"cat": 7}, "cat": 3, "cat": 1}', "the name 'cat' is given twice$"),
        ("a.yaml", "cat: 7\ndog: 3\ncat: 1\n", "line 3: the name 'cat' .*first in line 1"),
        ("a.txt", "# of\ncat: 7\ndog: 3\n\ncat: 1", "line 5: the name 'cat' .*first in line 2"),
    ],
)
def test_a_class_named_twice_is_refused(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        read_class_map(tmp_path / name, ("cat", "dog"))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("a.json", "-1", "-1"),
        ("a.json", "1.5", "1.5"),
        ("a.json", "3.0", "3.0"),
        ("a.json", "true", "True"),
        ("a.json", "null", "None"),
        ("a.json", '"-3"', "-3"),
        ("a.txt", "-3", "-3"),
        ("a.txt", "1.5", "1.5"),
        ("a.txt", "1e3", "1e3"),
        ("a.txt", "True", "True"),
        ("a.txt", "123456789012", "123456789012"),
        ("a.yaml", "0x" + "f" * 5000, "0xffff"),
    ],
)
def test_a_value_that_is_no_output_is_told_at_once(name, value, told, tmp_path, monkeypatch):
    def import_timm():
        raise AssertionError("timm is not asked")

    monkeypatch.setattr("saddlepoint.data.class_map._imagenet", import_timm)
    text = f"cat: {value}\ndog: tabby\n"
    (tmp_path / name).write_text(
        f'{{"cat": {value}, "dog": "tabby"}}' if name.endswith("json") else text
    )
    with pytest.raises(InputError, match=f"output {re.escape(told)}.* is none of a model"):
        read_class_map(tmp_path / name, ("cat", "dog"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1\n" * 300_000, "more than 200,000 lines"),
        ("a.txt", "cat: 1\n" + "#" * 5_000_000, "larger than 4.2 MB"),
        ("a.json", "[" + "1," * 2_500_000 + "1]", "larger than 4.2 MB"),
    ],
)
def test_a_list_longer_than_any_models_is_not_read(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        read_class_map(tmp_path / name, ("cat", "dog"))
