"""Files of weights that hold code, half of themselves, or something else: refused, never run."""

from __future__ import annotations

import argparse
import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from saddlepoint.errors import InputError
from saddlepoint.zoo import SimpleCNN, load_weights, save_weights, weights_fingerprint


def network(classes=3, channels=1):
    return SimpleCNN(classes=classes, channels=channels, size=8, widths=(4,), kernel=3, hidden=(6,))


def refused(target, path, message):
    before = weights_fingerprint(target)
    with pytest.raises(InputError, match=message) as caught:
        load_weights(target, path)
    assert weights_fingerprint(target) == before
    assert str(caught.value).count("\n") <= 1


class Harmful:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (os.mkdir, (str(self.trace),))


@pytest.mark.parametrize("suffix", [".pt", ".th", ""])
@pytest.mark.parametrize("old", [False, True])
def test_code_in_a_pickle_is_refused_and_never_run(tmp_path, suffix, old):
    path, trace = tmp_path / f"a{suffix}", tmp_path / "trace"
    content = {"state_dict": network().state_dict(), "extra": Harmful(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    refused(network(), path, "holds pickled code .*mkdir.*was not run;\n.*safetensors")
    assert not trace.exists()


@pytest.mark.parametrize(
    "hidden", [lambda each: argparse.Namespace(a=each), lambda each: np.array([each], dtype=object)]
)
def test_code_in_what_is_read_as_nothing_is_never_run(tmp_path, hidden):
    trace = tmp_path / "trace"
    torch.save({"a": hidden(Harmful(trace)), "net": network().state_dict()}, tmp_path / "a.pt")
    refused(network(), tmp_path / "a.pt", "holds pickled code .*mkdir.*was not run")
    assert not trace.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_is_never_run(tmp_path, protocol):
    path, trace = tmp_path / "a.pt", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Harmful(trace), protocol=protocol))
    refused(network(), path, "is refused|holds pickled code|not a whole PyTorch file")
    assert not trace.exists()


def test_a_pickled_module_is_refused(tmp_path):
    torch.save(network(), tmp_path / "a.pt")
    refused(network(), tmp_path / "a.pt", "holds pickled code .*SimpleCNN.*refused")


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
def test_a_scripted_module_is_refused(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.rand(1, 2)), tmp_path / "a.pt")
    refused(nn.Linear(2, 2), tmp_path / "a.pt", "TorchScript or legacy archive.* is refused")


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.95])
@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "old.pt"])
def test_files_that_are_cut_short(tmp_path, name, keep):
    path = tmp_path / name
    if path.suffix == ".pt":
        zipped = name != "old.pt"
        torch.save(network().state_dict(), path, _use_new_zipfile_serialization=zipped)
    else:
        save_weights(network(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    refused(network(), path, "is not a whole (safetensors|PyTorch) file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(1)], "holds a list, not a state dict"),
        (torch.zeros(1), "holds a Tensor, not a state dict"),
        ({"epoch": 3, "loss": 0.5}, "holds epoch, loss, and no state dict of tensors"),
        ({}, "holds nothing, and no state dict"),
        ({"a.weight": torch.zeros(1), "epoch": 3}, "holds a.weight, epoch, and no state dict"),
    ],
)
def test_files_that_hold_something_else(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    refused(network(), tmp_path / "a.pt", message)
