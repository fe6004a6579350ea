"""The suite "standard" leaves what the reference's own code leaves."""

from __future__ import annotations

import contextlib
import io

import pytest
import torch
from small import digits, trained

from saddlepoint.evaluation import evaluate, mcnemar_test
from saddlepoint.threat import L1, L2, Linf

pytestmark = pytest.mark.slow
library = pytest.importorskip("pyautoattack", reason="the extra `peer` is not installed")


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5), L1(2.0)], ids=str)
def test_standard_leaves_what_pyautoattack_leaves(threat):
    net, data = trained(), digits("test", 40)
    images, labels = data.pixels, data.labels
    record = evaluate(net, (images, labels), threat, suite="standard", diagnosis=None)
    ours = [not who for who in record.images["fooled_by"].to_pylist()]
    theirs = library.AutoAttack(
        net, norm=threat.norm_name, eps=threat.eps, version="standard", device="cpu", seed=0
    )
    with contextlib.redirect_stdout(io.StringIO()):
        found = theirs.run_standard_evaluation(images, labels, batch_size=40)
    found = found[0] if isinstance(found, tuple) else found
    with torch.no_grad():
        stands = net(found).argmax(1) == labels
    assert 3 < int(stands.sum()) < 37, "a mixed problem"
    test = mcnemar_test(ours, stands.tolist())
    assert test.b + test.c <= 1
    assert sum(ours) <= int(stands.sum()) + 1
