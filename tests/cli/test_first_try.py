"""A foreign checkpoint is evaluated in one try; what cannot be is refused before images are read."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from commandline import cli_fixture, cnn_fixture, net_fixture, refused_fixture  # noqa: F401
from foreign_resnet import resnet, right
from small import digits, trained
from words import COMMANDS, attack, evaluate, train

import saddlepoint.data
from saddlepoint.evaluation import evaluate as run
from saddlepoint.model import Normalised
from saddlepoint.threat import Linf
from saddlepoint.zoo import build_model, load_weights, save_weights


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lightning(name="last.ckpt"):
    """What Lightning saves of the foreign network under DDP, with the rest of a training."""
    state = {f"model.module.{key}": value for key, value in resnet().state_dict().items()}
    content = {"epoch": 3, "global_step": 24, "state_dict": state,
               "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}],
               "loops": {"fit_loop": {"state_dict": {}}}}  # fmt: skip
    torch.save(content, name)
    return name


def test_a_foreign_checkpoint_in_one_try_from_the_command_line_and_in_python(cli):
    data = digits("test", 60)
    correct = right(Normalised(resnet(), data.mean, data.std), data)
    assert correct > 40
    words = evaluate(model="zoo:resnet20", weights=lightning(), limit=60, eps="1/255")
    found = cli(*words, "--json")
    assert found.status == 0, found
    clean = found.json["clean_accuracy"]
    assert (clean["count"], clean["total"]) == (correct, 60)
    assert "tensors matched by shape and order: net.conv.weight ← model.module.conv1." in found.err
    assert found.json["config"]["identity"]["weights"]["matched"] == "by shape and order"

    net = build_model("zoo:resnet20", classes=10, shape=data.shape)
    model = Normalised(net, data.mean, data.std)
    with pytest.warns(UserWarning, match="matched by shape and order"):
        load_weights(model, "last.ckpt")
    assert run(model, data, Linf(1 / 255), suite="quick").clean.count == correct


def test_a_normaliser_in_the_file_stands_before_a_users_own_network(cli, net):
    data = digits("test", 60)
    shifted = {"0.mean": torch.tensor(data.mean), "0.std": torch.tensor(data.std)}
    torch.save({**shifted, **{f"1.{k}": v for k, v in trained().state_dict().items()}}, "a.th")
    found = cli(*evaluate(model=net[0], weights="a.th", limit=60, eps="1/255"), "--json")
    assert found.status == 0, found
    assert found.json["clean_accuracy"]["count"] == right(
        Normalised(trained(), data.mean, data.std), data
    )
    assert f"a.th brings its normalisation, mean ({data.mean[0]:.4g})" in found.err


def test_a_network_of_the_file_is_chosen_by_name(cli, refused, net):
    torch.save({"net": trained().state_dict(), "ema": resnet().state_dict()}, "a.pt")
    assert cli(*evaluate(model=net[0], weights="a.pt", limit=8)).status == 0
    average = {key: value + 1 for key, value in trained().state_dict().items()}
    torch.save({"net": trained().state_dict(), "ema": average}, "b.pt")
    words = {"model": net[0], "weights": "b.pt", "limit": 8}
    assert "choose one with --weights-part" in refused(*evaluate(**words, out="b"))
    found = cli(*evaluate(**words, out="b", weights_part="net"), "--json")
    assert found.json["config"]["identity"]["weights"]["part"] == "net"


def foreign_run():
    Path("taken").mkdir()
    Path("taken/run.json").write_text(json.dumps({"kind": "lab", "config": {}}))
    Path("taken/results.csv").write_text("1")
    return "taken"


def another_model(cnn):
    Path("other").mkdir()
    config = {"seed": 0, "identity": {"model": "zoo:resnet20"}}
    Path("other/evaluation.json").write_text("{}")
    Path("other/run.json").write_text(json.dumps({"kind": "evaluate", "config": config}))
    return "other"


def lost():
    Path("lost").mkdir()
    Path("lost/evaluation.json").write_text("{}")
    return "lost"


def no_weights():
    with Path("raw.ckpt").open("wb") as file:
        pickle.dump({"a": print}, file)
    return "raw.ckpt"


def of_other_classes(cnn):
    other = Normalised(build_model("simple-cnn", classes=7, shape=(1, 8, 8)), (0.5,), (0.5,))
    return save_weights(other, Path("seven.safetensors"))


EACH = [
    ({"model": "zoo:simple-cn"}, "did you mean 'simple-cnn'"),
    ({"model": "timm:resnet18x"}, "unknown timm model"),
    ({"model": "torchvision:resnet18x"}, "unknown torchvision model"),
    ({"model": "no.py:net"}, "no file no.py"),
    ({"weights": "no.pt"}, "no file no.pt"),
    ({"weights": no_weights}, "raw.ckpt"),
    ({"weights": of_other_classes}, "built for 7 classes, not 10"),
    ({"normalisation": "imagenet"}, "imagenet normalisation is for 3 channels"),
    ({"normalisation": "yes"}, "unknown normalisation"),
    ({"mean": "33", "std": "78"}, "divide by 255"),
    ({"mean": "0.5"}, "one of --mean and --std"),
    ({"mean": "0.5,0.5", "std": "0.2,0.2"}, "2 numbers for images of 1 channels"),
    ({"device": "tpu"}, "unknown device"),
    ({"out": foreign_run}, "holds another run"),
]
OWN = [
    (evaluate, {"suite": "quickest"}, "unknown suite"),
    (evaluate, {"eps": "much"}, "much"),
    (evaluate, {"eps": "2"}, "2"),
    (evaluate, {"norm": "l3"}, "unknown norm"),
    (evaluate, {"space": "feet"}, "unknown space"),
    (evaluate, {"criterion": "luck"}, "luck"),
    (evaluate, {"split": "dev"}, "unknown split"),
    (evaluate, {"out": another_model}, "identity.model was zoo:resnet20"),
    (evaluate, {"out": lost}, "holds evaluation.json of no known run"),
    (evaluate, {"classes": "no.txt"}, "no.txt"),
    (attack, {"attack": "pdg"}, "unknown attack"),
    (attack, {"set": "stepz=3"}, "stepz"),
    (attack, {"targets": "some"}, "some"),
    (train, {"recipe": "robustest"}, "robustest"),
    (train, {"augmentation": "twist"}, "twist"),
]


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [*((words, *each) for each in EACH for words in COMMANDS), *OWN],
)
def test_a_refusal_does_not_read_images_first(refused, cnn, monkeypatch, words, options, message):
    def read(*args, **kwargs):
        raise AssertionError("images were read")

    monkeypatch.setattr(saddlepoint.data, "load_data", read)
    if str(options.get("model", "")).partition(":")[0] in ("timm", "torchvision"):
        pytest.importorskip(options["model"].partition(":")[0])
    made = {
        key: value if not callable(value) else value(cnn) if value.__code__.co_argcount else value()
        for key, value in options.items()
    }
    assert message in refused(*words(**{"model": cnn[0], **made}))


def test_pretrained_weights_that_cannot_be_fetched_are_refused_in_seconds(
    refused, monkeypatch, tmp_path
):
    for name in ("timm", "torchvision"):
        pytest.importorskip(name)
    for name in ("HTTPS_PROXY", "https_proxy"):  # where nobody listens
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    np_data = {"data": "cifar10", "data_root": "nowhere"}
    for model, host in (("timm:resnet18", "huggingface.co"),
                        ("torchvision:resnet18", "download.pytorch.org")):  # fmt: skip
        message = refused(*evaluate(**np_data, model=model), "--pretrained")
        assert f"{host} cannot be reached" in message
        assert "add --weights FILE" in message
        assert str(tmp_path) in message


def test_pretrained_weights_that_are_there_are_loaded_without_the_network(monkeypatch, tmp_path):
    pytest.importorskip("timm")
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    shape = {"classes": 1000, "shape": (3, 32, 32)}
    source = build_model("timm:mobilenetv3_small_050", **shape, seed=1)
    folder = tmp_path / "models--timm--mobilenetv3_small_050.lamb_in1k/snapshots/abc"
    save_weights(source, folder / "model.safetensors")
    found = build_model("timm:mobilenetv3_small_050", **shape, pretrained=True)
    assert torch.equal(found.classifier.weight, source.classifier.weight)
