"""What a file draws when it is run is of the seed, and no two models share it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from saddlepoint.zoo import build_model, check_spec

FINISHED = "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))\n"
KEPT = f"{FINISHED}def build(classes): return net\n"


def _weights(spec: str, seed: int) -> Tensor:
    network = build_model(spec, classes=3, shape=(1, 2, 2), seed=seed)
    return next(network.parameters())


@pytest.mark.parametrize(("code", "name"), [(FINISHED, "net"), (KEPT, "build")])
def test_every_build_has_its_own_weights_of_its_seed(tmp_path: Path, code: str, name: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(code)
    spec = f"{file}:{name}"
    before = torch.random.get_rng_state()
    check_spec(spec)
    first, again, other = (_weights(spec, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first is not again
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    with torch.no_grad():
        first.zero_()
    assert again.any()
    assert _weights(spec, 0).any()
