"""Weights there and back, in every wrapping, and the files that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.model import Normalised
from saddlepoint.zoo import (
    LoadReport,
    SimpleCNN,
    load_weights,
    read_state,
    save_weights,
    weights_fingerprint,
)


def network(classes=3, channels=1):
    return SimpleCNN(classes=classes, channels=channels, size=8, widths=(4,), kernel=3, hidden=(6,))


def normalised(net=None):
    return Normalised(net or network(), mean=(0.5,), std=(0.25,))


def same(first, second):
    return weights_fingerprint(first) == weights_fingerprint(second)


def test_there_and_back(tmp_path):
    source, target = network(), network()
    path = save_weights(source, tmp_path / "deep" / "a.safetensors")
    assert not same(source, target)
    report = load_weights(target, path)
    assert same(source, target)
    assert report == LoadReport(len(source.state_dict()), "", "none")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin"])
@pytest.mark.parametrize("old", [False, True])
def test_files_of_torch(tmp_path, suffix, old):
    source, target = network(), network()
    path = tmp_path / f"a{suffix}"
    torch.save(source.state_dict(), path, _use_new_zipfile_serialization=not old)
    load_weights(target, path)
    assert same(source, target)


@pytest.mark.parametrize("nest", ["state_dict", "model_state_dict", "model", "net", "ema"])
def test_checkpoints_around_a_state_dict(tmp_path, nest):
    source, target = network(), network()
    inner = {"state_dict": source.state_dict()} if nest == "model" else source.state_dict()
    torch.save({"epoch": 3, nest: inner, "optimiser": {"lr": 0.1}}, tmp_path / "a.pt")
    load_weights(target, tmp_path / "a.pt")
    assert same(source, target)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "model.module.", "net."]
)
def test_prefixes_are_taken_off_where_that_fits(tmp_path, prefix):
    source, target = network(), network()
    state = {prefix + key: value for key, value in source.state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    report = load_weights(target, tmp_path / "a.pt")
    assert same(source, target)
    assert sorted(report.stripped) == sorted(prefix)


def test_a_prefix_that_belongs_to_the_module_stays(tmp_path):
    source = nn.ModuleDict({"model": network()})
    target = nn.ModuleDict({"model": network()})
    report = load_weights(target, save_weights(source, tmp_path / "a.safetensors"))
    assert same(source, target)
    assert report.stripped == ""


def test_a_compiled_module_saves_and_loads_as_its_own(tmp_path):
    source, target = network(), network()
    path = save_weights(torch.compile(source), tmp_path / "a.safetensors")
    assert set(read_state(path)) == set(source.state_dict())
    load_weights(torch.compile(target), path)
    assert same(source, target)


def test_a_compiled_network_inside_a_normalised_one(tmp_path):
    source, target = normalised(), normalised()
    state = {
        key.replace("net.", "net._orig_mod."): value for key, value in source.state_dict().items()
    }
    torch.save(state, tmp_path / "a.pt")
    assert load_weights(target, tmp_path / "a.pt").normalisation == "file"
    assert same(source, target)


def test_a_normalised_model_takes_the_files_normalisation(tmp_path):
    source = normalised()
    target = Normalised(network(), mean=(0.1,), std=(0.9,))
    report = load_weights(target, save_weights(source, tmp_path / "a.safetensors"))
    assert report.normalisation == "file"
    assert same(source, target)
    assert float(target.mean) == 0.5


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1, 1)])
def test_normalisation_of_another_shape_is_reshaped(tmp_path, shape):
    source, target = normalised(), normalised()
    state = source.state_dict()
    state |= {"mean": torch.full(shape, 0.3), "std": torch.full(shape, 0.2)}
    torch.save(state, tmp_path / "a.pt")
    load_weights(target, tmp_path / "a.pt")
    assert target.mean.shape == (1, 1, 1)
    assert float(target.mean) == pytest.approx(0.3)


@pytest.mark.parametrize("prefix", ["", "module.", "net.", "model."])
def test_a_normalised_model_takes_a_bare_file_and_keeps_its_own(tmp_path, prefix):
    bare, target = network(), normalised()
    state = {prefix + key: value for key, value in bare.state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    report = load_weights(target, tmp_path / "a.pt")
    assert report.normalisation == "module"
    assert same(target.net, bare)
    assert float(target.std) == 0.25


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_bare_network_refuses_to_lose_the_normalisation(tmp_path, prefix):
    state = {prefix + key: value for key, value in normalised().state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"with its normalisation \(mean, std\).* would lose it"):
        load_weights(network(), tmp_path / "a.pt")


def test_a_part_called_net_is_not_all_of_the_module(tmp_path):
    """A file for `net` alone must not leave the rest at random."""

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.last = network(), nn.Linear(3, 3)

    path = save_weights(network(), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="does not fit"):
        load_weights(Whole(), path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(tmp_path, dtype):
    source, target = network().to(dtype), network()
    path = save_weights(source, tmp_path / "a.safetensors")
    assert read_state(path)["head.logits.weight"].dtype is dtype
    load_weights(target, path)
    assert target.head.logits.weight.dtype is torch.float32
    assert torch.equal(target.head.logits.weight, source.head.logits.weight.float())
    weights_fingerprint(source)


def test_tied_weights_are_saved_twice_and_loaded(tmp_path):
    source = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    source[1].weight = source[0].weight
    target = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    load_weights(target, save_weights(source, tmp_path / "a.safetensors"))
    assert torch.equal(target[1].weight, source[0].weight)


def test_old_files_without_counters_of_batches(tmp_path):
    source, target = network(), network()
    state = {k: v for k, v in source.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "a.pt")
    load_weights(target, tmp_path / "a.pt")
    assert same(source, target)


def refused(target, path, message):
    before = weights_fingerprint(target)
    with pytest.raises(InputError, match=message) as caught:
        load_weights(target, path)
    assert weights_fingerprint(target) == before
    assert str(caught.value).count("\n") <= 1


def test_missing_and_unexpected_keys_are_named(tmp_path):
    state = network().state_dict()
    del state["head.linear1.bias"]
    state["extra"] = torch.zeros(1)
    torch.save(state, tmp_path / "a.pt")
    refused(
        network(),
        tmp_path / "a.pt",
        r"keys 1 missing \(head.linear1.bias\) and 1 unexpected \(extra\)",
    )
    torch.save({"other": torch.zeros(1)}, tmp_path / "a.pt")
    refused(network(), tmp_path / "a.pt", r"missing \([\w.]+, [\w.]+, [\w.]+, …\)")


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        (network(classes=5), r"\(3, 6\), but the model needs \(5, 6\); was it built for 3 classes"),
        (network(channels=3), r"\(4, 1, 3, 3\), .* built for 1 channels, not 3"),
    ],
)
def test_other_shapes_are_named(tmp_path, target, hint):
    path = save_weights(network(), tmp_path / "a.safetensors")
    refused(target, path, hint)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_named(tmp_path, bad):
    source = network()
    with torch.no_grad():
        source.head.logits.weight[0, 0] = bad
    path = save_weights(source, tmp_path / "a.safetensors")
    refused(network(), path, "head.logits.weight holds NaN or an infinity")


def test_paths_that_are_refused(tmp_path):
    refused(network(), tmp_path / "missing.pt", "no file")
    refused(network(), tmp_path, "is a folder; give the file")
    (tmp_path / "a.txt").write_text("weights")
    refused(network(), tmp_path / "a.txt", r"unknown kind of weights; give a file of safetensors")
    safetensors.torch.save_file({}, tmp_path / "a.safetensors")
    refused(network(), tmp_path / "a.safetensors", "holds no tensors")
    with pytest.raises(InputError, match="weights are saved as"):
        save_weights(network(), Path("a.pt"))


def test_the_fingerprint_tells_weights_apart():
    first, second = network(), network()
    assert weights_fingerprint(first) != weights_fingerprint(second)
    second.load_state_dict(first.state_dict())
    assert same(first, second)
    second.blocks.block1.norm.running_mean[0] += 1
    assert not same(first, second)
    assert not same(first, network().double())


def test_a_self_ensemble_that_does_not_fit_names_the_keys(tmp_path):
    """It is wrapped once more than its network: that is no reason to speak of normalisation."""
    from saddlepoint.defences import random_self_ensemble

    def net(width):
        blocks = nn.Sequential(nn.Conv2d(1, width, 3), nn.Flatten(), nn.Linear(36 * width, 10))
        return random_self_ensemble(Normalised(blocks, (0.5,), (0.25,)))

    wide = net(4)
    del wide.net.net[2].bias
    wide.net.net[2].register_parameter("bias", None)
    save_weights(wide, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"does not fit the model: keys 1 missing"):
        load_weights(net(4), tmp_path / "w.safetensors")
