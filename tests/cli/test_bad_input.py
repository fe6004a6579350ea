"""Everything a user can get wrong is told in one or two lines, with exit status 2, and loses
nothing.
"""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import cli_fixture, cnn_fixture, net_fixture, refused_fixture  # noqa: F401
from safetensors.torch import save_file
from small import command, conv, digits, finish, trained

from saddlepoint.cli import run

PIXELS = (digits("test", 24).pixels * 255).round().to(torch.uint8).numpy()
LABELS = digits("test", 24).labels.numpy()


def evaluate(data="digits", model="zoo:simple-cnn", out="out", **more):
    words = {"eps": "8/255", "suite": "quick", "limit": 16, **more}
    options = [w for key, value in words.items() for w in (f"--{key.replace('_', '-')}", value)]
    return ["evaluate", "--data", data, "--model", model, "--out", out, *options]


def train(data="digits", model="zoo:simple-cnn", out="out", **more):
    words = {"recipe": "standard", "epochs": 1, "limit": 32, **more}
    options = [w for key, value in words.items() for w in (f"--{key.replace('_', '-')}", value)]
    return ["train", "--data", data, "--model", model, "--out", out, *options]


def attack(data="digits", model="zoo:simple-cnn", out="out", **more):
    words = {"attack": "pgd", "eps": "8/255", "limit": 16, **more}
    options = [w for key, value in words.items() for w in (f"--{key.replace('_', '-')}", value)]
    return ["attack", "--data", data, "--model", model, "--out", out, *options]


COMMANDS = (evaluate, train, attack)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def archive(**arrays):
    np.savez("data.npz", **arrays)
    return "data.npz"


# Data


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS.astype(np.float32), LABELS, r"data.npz: images span 0 … 255; they must lie in [0, 1]"),
        (PIXELS / 255.0 * 2 - 1, LABELS, "images span -1 … 1; they must lie in [0, 1]"),
        (PIXELS.astype(np.int64) * 2, LABELS, "integers must lie in 0 … 255"),
        (np.where(PIXELS > 250, np.nan, PIXELS / 255.0), LABELS, "holds NaN or an infinity"),
        (PIXELS, LABELS - 1, "is negative; labels are 0 … K-1"),
        (PIXELS, LABELS.astype(float), "labels are float64"),
        (PIXELS, LABELS[:-1], "24 images but 23 labels"),
        (PIXELS[:0], LABELS[:0], "there are none"),
        (PIXELS, np.array([None] * 24), "holds pickled objects, which could run code"),
    ],
)  # fmt: skip
def test_images_and_labels(refused, words, images, labels, message):
    assert message in refused(*words(archive(x=images, y=labels)))
    assert not Path("out").exists()


def test_other_keys_and_files_that_are_no_data(refused):
    assert "expected images and labels" in refused(*evaluate(archive(a=PIXELS)))
    Path("half.npz").write_bytes(Path("data.npz").read_bytes()[:300])
    assert "half.npz is not a whole .npz archive" in refused(*evaluate("half.npz"))
    Path("binary.parquet").write_bytes(os.urandom(500))
    assert "binary.parquet" in refused(*evaluate("binary.parquet"))
    Path("data.bin").write_bytes(b"x")
    assert "neither a folder nor" in refused(*evaluate("data.bin"))
    assert "no file no/such.npz" in refused(*evaluate("no/such.npz"))


def test_a_folder_with_an_unreadable_image_names_it(refused):
    from PIL import Image

    for name in ("a", "b"):
        Path("images", name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(PIXELS[i, 0]).save(f"images/{name}/{i}.png")
    Path("images/b/1.png").write_bytes(b"no picture")
    assert "images/b/1.png" in refused(*evaluate("images"))
    Path("empty").mkdir()
    assert "empty" in refused(*evaluate("empty"))


# Names and numbers


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (evaluate("digit"), "unknown data set 'digit'; did you mean 'digits'"),
        (evaluate(model="zoo:simple-cn"), "did you mean 'simple-cnn'"),
        (evaluate(model="resnet"), "unknown model 'resnet'"),
        (evaluate(model="net.py"), "names no callable; write net.py:NAME"),
        (evaluate(model="net.py:net"), "no file net.py"),
        (evaluate(suite="standart"), "did you mean 'standard'"),
        (evaluate(norm="l-inf"), "did you mean 'linf'"),
        (evaluate(norm="l0", eps="3"), "no suite attacks L0 yet"),
        (attack(norm="l0", eps="1.5", attack="uniform-noise"), "whole number"),
        (evaluate(space="pixel"), "did you mean 'pixels'"),
        (evaluate(split="tests"), "did you mean 'test'"),
        (evaluate(device="gpu"), "unknown device 'gpu'"),
        (evaluate(device="cpu:x"), "unknown device 'cpu:x'"),
        (evaluate(normalisation="mine"), "unknown normalisation 'mine'"),
        (evaluate(normalisation="imagenet"), "imagenet normalisation is for 3 channels"),
        (attack(attack="pdg"), "unknown attack 'pdg'; did you mean 'pgd'"),
        (attack(set="steps"), "--set steps: write NAME=VALUE"),
        (attack(set="=3"), "write NAME=VALUE"),
        (attack(set="steps=two"), "steps is 'two'"),
        (attack(set="steps=0"), "steps is 0; give at least 1"),
        (attack(set="step=1"), "did you mean 'steps'"),
        (attack(set="step_size=1/0"), "'1/0'"),
        (attack(target=10), "target is 10; the classes are 0 … 9"),
        (attack(target="three"), "'--target'"),
        (train(recipe="standart"), "did you mean 'standard'"),
        (train(recipe="no.yaml"), "cannot read the recipe no.yaml"),
        (train(augmentation="flip"), "unknown augmentation 'flip'"),
        (train(track="tensorbord"), "did you mean 'tensorboard'"),
        (train(learning_rate="-1"), "learning_rate is -1.0"),
        (train(learning_rate="nan"), "learning_rate is nan"),
        (["trian"], "No such command 'trian'"),
        (["evaluate", "--nope"], "No such option"),
        (["evaluate"], "Missing option '--data'"),
    ],
)
def test_names_and_values(refused, words, message):
    assert message in refused(*words)


@pytest.mark.parametrize("words", [evaluate, attack])
@pytest.mark.parametrize(
    "eps", ["0", "-1", "-8/255", "nan", "inf", "eight", "1/0", "0/255", "1e999", "8/255/2", "8 / x"]
)
def test_budgets(refused, words, eps):  # fmt: skip
    message = refused(*words(eps=eps))
    assert "eps is " in message
    assert "give a positive number or fraction" in message
    assert not Path("out").exists()


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("limit", "0"), ("limit", "-3"), ("limit", "x"), ("batch_size", "0"), ("batch_size", "-1"),
        ("threads", "0"), ("seed", "-1"), ("seed", str(2**32)), ("seed", str(2**80)),
        ("seed", "1.5"), ("image_size", "0"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused_before_anything_starts(refused, words, option, value):
    assert f"'--{option.replace('_', '-')}'" in refused(*words(**{option: value}))
    assert not Path("out").exists()


@pytest.mark.parametrize("value", ["0", "-2"])
def test_numbers_of_single_commands(refused, value):
    assert "--epochs" in refused(*train(epochs=value))
    assert "--epochs" in refused("demo", "--epochs", value)
    assert "--limit" in refused("demo", "--limit", value)
    assert "--eot-samples" in refused(*evaluate(eot_samples=value))


@pytest.mark.parametrize("option", ["data", "model", "out", "eps", "weights", "suite", "device"])
def test_empty_words(refused, option):
    assert "an argument is empty" in refused(*evaluate(**{option: ""}))
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_asked_for_and_absent(refused, words, device):
    assert "CUDA was asked for, but torch finds no CUDA device" in refused(*words(device=device))
    assert not Path("out").exists()


# Weights


class Code:
    def __reduce__(self):
        return (os.mkdir, ("it-ran",))


def unsafe():
    torch.save({"state_dict": Code()}, "code.pt")
    return "code.pt"


def raw_pickle():
    with Path("raw.pth").open("wb") as file:
        pickle.dump(Code(), file)
    return "raw.pth"


def cut(name):
    save_file(trained().state_dict(), "whole.safetensors")
    torch.save(trained().state_dict(), "whole.pt")
    Path(name).write_bytes(Path(f"whole.{name.partition('.')[2]}").read_bytes()[:-100])
    return name


def with_nan():
    state = trained().state_dict()
    state["0.weight"][0, 0, 0, 0] = torch.nan
    save_file(state, "nan.safetensors")
    return "nan.safetensors"


def of_other_classes():
    last = {"4.weight": torch.ones(7, 128), "4.bias": torch.ones(7)}
    save_file({**trained().state_dict(), **last}, "other.safetensors")
    return "other.safetensors"


def of_other_keys():
    save_file({"a": torch.ones(1)}, "keys.safetensors")
    return "keys.safetensors"


def folder():
    Path("folder").mkdir()
    return "folder"


def rubbish():
    Path("rubbish.pt").write_bytes(os.urandom(300))
    return "rubbish.pt"


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "no.safetensors", "no file no.safetensors"),
        (folder, "folder is a folder; give the file of weights in it"),
        (unsafe, "code.pt holds pickled code"),
        (raw_pickle, "raw.pth"),
        (lambda: cut("half.safetensors"), "half.safetensors is not a whole safetensors file"),
        (lambda: cut("half.pt"), "half.pt is not a whole PyTorch file"),
        (rubbish, "rubbish.pt is not a whole PyTorch file"),
        (with_nan, "0.weight holds NaN"),
        (of_other_classes, "was it built for"),
        (of_other_keys, "keys.safetensors"),
    ],
)
def test_weights(refused, net, words, make, message):
    assert message in refused(*words(model=net[0], weights=make()))
    assert not Path("it-ran").exists()
    assert not Path("out").exists()


# Models

USER = """
import torch
from torch import nn

class Wrapped(nn.Module):
    def __init__(self, change):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.change = change

    def forward(self, x):
        return self.change(self.net(x))

def probabilities(): return Wrapped(lambda z: z.softmax(1))
def pair(): return Wrapped(lambda z: (z, z))
def nan(): return Wrapped(lambda z: z / 0 * 0)
def whole(): return Wrapped(lambda z: z.argmax(1))
def few(): return Wrapped(lambda z: z[:, :4])
def one(): return Wrapped(lambda z: z[:, :1])
def colour(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(10))
def bigger(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
def number(): return 3
def fails(): raise RuntimeError("no luck")
def needs(secret): return None
"""


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pair", "the model returns a tuple; wrap it so that it returns the logits alone"),
        ("nan", "the model returns NaN or infinite logits"),
        ("whole", "logits have shape"),
        ("few", "but the model has 4 classes: use 0 … 3"),
        ("one", "one logit per image"),
        ("bigger", "the model cannot take images of shape (1, 8, 8)"),
        ("number", "returned a int; return a torch.nn.Module"),
        ("fails", "failed: RuntimeError: no luck"),
        ("needs", "needs the argument 'secret'"),
        ("bager", "did you mean 'bigger'?"),
    ],
)
def test_models(refused, words, name, message):
    Path("mine.py").write_text(USER)
    assert message in refused(*words(model=f"mine.py:{name}"))


def test_a_model_for_other_channels(refused):
    Path("mine.py").write_text(USER.replace("nn.LazyLinear(10)", "nn.Linear(144, 10)"))
    for words in COMMANDS:
        message = refused(*words(model="mine.py:colour"))
        assert "the model cannot take images of shape (1, 8, 8)" in message


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("words", COMMANDS)
def test_probabilities_are_warned_of(cli, words):
    Path("mine.py").write_text(USER)
    found = cli(*words(model="mine.py:probabilities"), "--json")
    assert found.status == 0
    assert found.err.splitlines()[0].startswith("warning: the model's outputs are all in [0, 1]")
    assert "Traceback" not in found.err
    assert found.json


@pytest.mark.parametrize("content", ["def net(:", "import nothing_of_that_name", "1 / 0", "\x00"])
def test_files_that_are_no_models(refused, content):
    Path("broken.py").write_text(content)
    assert "broken.py cannot be run" in refused(*evaluate(model="broken.py:net"))


# Recipes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs: many", "epochs is 'many'"),
        (b"epochz: 3", "epochz is 3"),
        (b"\xff\xff", "not text in UTF-8"),
        (b"a: [", "not valid YAML"),
    ],
)
def test_recipes(refused, content, message):
    Path("my.yaml").write_bytes(content)
    assert message in refused(*train(recipe="my.yaml"))
    assert not Path("out").exists()


# Folders


def files(folder):
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


@pytest.mark.parametrize("first", COMMANDS)
@pytest.mark.parametrize("second", COMMANDS)
def test_the_folder_of_another_run(cli, refused, net, first, second):
    assert cli(*first(model=net[0])).status == 0
    before = files("out")
    message = refused(*second(model=net[0], seed=1))
    assert "out holds another run" in message
    assert files("out") == before


@pytest.mark.parametrize("words", COMMANDS)
def test_files_of_somebody_else_are_not_overwritten(refused, net, words):
    Path("out").mkdir()
    for name in ("model.safetensors", "images.parquet"):
        Path("out", name).write_text("mine")
    before = files("out")
    assert "of no known run, which would be lost" in refused(*words(model=net[0]))
    assert files("out") == before


@pytest.mark.parametrize("words", COMMANDS)
def test_a_folder_below_a_file(refused, net, words):
    Path("file").write_text("kept")
    for out in ("file", "file/below/it"):
        assert "cannot make the folder file" in refused(*words(model=net[0], out=out))
    assert Path("file").read_text() == "kept"


@pytest.mark.parametrize("words", COMMANDS)
def test_a_folder_that_cannot_be_written(refused, net, words, monkeypatch):
    """As for a read-only folder; root, who may do anything, is told so by the patch alone."""
    Path("out").mkdir()
    Path("out").chmod(0o500)

    whole = Path.open

    def denied(self, *args, **kwargs):
        if "out" in self.parts:
            raise PermissionError(13, "Permission denied")
        return whole(self, *args, **kwargs)

    if os.geteuid() == 0:
        monkeypatch.setattr("pathlib.Path.open", denied)
    assert "Permission denied" in refused(*words(out="out"))
    Path("out").chmod(0o700)
    assert list(Path("out").iterdir()) == []


def test_a_name_that_is_too_long(refused):
    assert "File name too long" in refused(*evaluate(out="x" * 300))


def test_resuming_with_another_recipe_names_the_difference(cli, refused, net):
    assert cli(*train(model=net[0])).status == 0
    message = refused(*train(model=net[0], recipe="modern"), "--resume")
    assert "recipe.optimiser.learning_rate was 0.1, is now 0.05" in message
    message = refused(*train(model=net[0], epochs=3), "--resume")
    assert "recipe.epochs was 1, is now 3" in message
    message = refused(*train(model=net[0], limit=31), "--resume")
    assert "data.images was 32, is now 31" in message


def test_a_run_that_failed_at_once_leaves_its_folder_free(cli, refused, net):
    Path("mine.py").write_text(USER)
    for words in (evaluate, train, attack):
        refused(*words(model="mine.py:few", out=words.__name__))
        assert cli(*words(model=net[0], out=words.__name__)).status == 0


# A full disk


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (train, 500), (train, 3000), (evaluate, 500), (evaluate, 4500), (attack, 500),
        (attack, 6000),
    ],
)  # fmt: skip
def test_a_full_disk(cli, net, words, size):
    arguments = words(model=net[0], limit=200)
    status = finish(command, arguments, "out.txt", "err.txt", size)
    message = Path("err.txt").read_text()
    assert status == 2, message
    lines = [line for line in message.splitlines() if not line.startswith("training ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: cannot write out/")
    assert "File too large" in lines[0]
    assert not list(Path("out").rglob("*.tmp"))
    for path in Path("out").rglob("*.json"):
        json.loads(path.read_text())
    more = ["--resume"] if words is train else []
    assert cli(*arguments, *more).status == 0
    assert cli(*words(model=net[0], limit=200, out="whole")).status == 0
    name = "model.safetensors" if words is train else "images.parquet"
    assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


# The switch for tracebacks, and where errors go


@pytest.mark.parametrize("place", [0, 1, -1])
def test_debug_shows_the_traceback(place):
    words = evaluate(eps="eight")
    words.insert(place if place >= 0 else len(words), "--debug")
    with pytest.raises(ValueError, match="eps is 'eight'"):
        run([str(word) for word in words])


def test_a_program_error_is_not_hidden(monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("saddlepoint.data.load_data", broken)
    with pytest.raises(ZeroDivisionError):
        run([str(word) for word in evaluate()])


def test_a_device_out_of_memory_is_told(monkeypatch, refused, net):
    def full(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("saddlepoint.model.guard.Guard._forward", full)
    assert "out of memory; lower --batch-size" in refused(*evaluate(model=net[0]))


def test_conv_is_small():
    assert sum(p.numel() for p in conv().parameters()) < 2000
