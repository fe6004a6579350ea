"""Networks that return more than their logits are read by name, or refused with what they return."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from networks import conv_case
from torch import Tensor, nn

from saddlepoint.attacks import FGSM
from saddlepoint.data import TensorData
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate, run_attack
from saddlepoint.model import ReadOutput
from saddlepoint.threat import Linf
from saddlepoint.zoo import weights_fingerprint

NET, IMAGES, LABELS = conv_case(8, wrong=0)
Named = namedtuple("Named", ["aux", "logits"])


@dataclass
class Output:
    loss: None
    logits: Tensor


class ModelOutput(OrderedDict):
    """As transformers have it: a mapping whose values are attributes too."""

    __getattr__ = OrderedDict.__getitem__


class Wrapped(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.net, self.wrap = NET, wrap

    def forward(self, x):
        return self.wrap(self.net(x), x.flatten(1).mean(1))


FORMS = {
    "dict": (lambda z, f: {"features": f, "logits": z}, ["logits"], '"logits"'),
    "tuple": (lambda z, f: (f, z), [1, "1", -1], "1"),
    "list": (lambda z, f: [z, f], [0, "0"], "0"),
    "named tuple": (lambda z, f: Named(f, z), ["logits", 1, "-1"], '"logits"'),
    "model output": (lambda z, f: ModelOutput(logits=z, features=f), ["logits"], '"logits"'),
    "dataclass": (lambda z, f: Output(None, z), ["logits"], '"logits"'),
    "object": (lambda z, f: SimpleNamespace(y=z, _z=z), ["y"], '"y"'),
    "numbers": (lambda z, f: {0: f, 1: z}, [1, "1"], '"1"'),
}


@pytest.mark.parametrize("form", FORMS)
def test_an_output_is_read_by_its_name_or_place(form):
    wrap, names, advice = FORMS[form]
    model, attack = Wrapped(wrap), FGSM(Linf(0.1))
    expected = attack(NET, IMAGES, LABELS).adversarials
    for name in names:
        found = attack(ReadOutput(model, name), IMAGES, LABELS).adversarials
        assert torch.equal(found, expected)
    told = rf"\(8, 5\).*; wrap it: .*ReadOutput\(model, {advice}\)\n\(evaluate.* output={advice},"
    with pytest.raises(InputError, match=told):
        attack(model, IMAGES, LABELS)


@pytest.mark.parametrize(
    ("wrap", "name", "message"),
    [
        (lambda z, f: {"z": z}, "logits", r"a dict of z \(8, 5\), of which 'logits' is no tensor"),
        (lambda z, f: (z, None), 1, r"1 NoneType, of which 1 is no tensor"),
        (lambda z, f: (z, f), 2, "of which 2 is no tensor"),
        (lambda z, f: z, "logits", r"one tensor \(8, 5\).*leave output out"),
        (lambda z, f: {"f": f}, "f", r"returns shape \(8,\)"),
    ],
)
def test_an_output_that_is_not_there_is_refused_with_those_that_are(wrap, name, message):
    with pytest.raises(InputError, match=message):
        FGSM(Linf(0.1))(ReadOutput(Wrapped(wrap), name), IMAGES, LABELS)


def test_outputs_without_logits_are_told_as_they_are():
    with pytest.raises(InputError, match=r"a dict of f \(8,\), and no logits \(8, classes\)"):
        FGSM(Linf(0.1))(Wrapped(lambda z, f: {"f": f}), IMAGES, LABELS)
    with pytest.raises(InputError, match="output is None; give a name"):
        ReadOutput(NET, None)


def test_another_output_of_the_same_weights_is_another_model():
    prints = {weights_fingerprint(ReadOutput(NET, name)) for name in ("a", "b")}
    assert len({*prints, weights_fingerprint(NET)}) == 3


def test_a_frozen_script_is_known_by_its_weights_inside_a_wrapper_too():
    def script(factor):
        net = nn.Linear(2, 2)
        nn.init.constant_(net.weight, factor)
        return torch.jit.freeze(torch.jit.trace(net.eval(), torch.zeros(1, 2)))

    one, other = (weights_fingerprint(ReadOutput(script(f), 0)) for f in (1.0, 2.0))
    assert one != other


def test_an_evaluation_and_an_attack_read_the_output_that_they_are_told():
    data = TensorData.of(IMAGES, LABELS, name="noise")
    net, options = Wrapped(lambda z, f: {"logits": z}), {"eps": [0.02], "suite": "quick"}
    record = evaluate(net, data, Linf(), output="logits", **options, diagnosis=None)
    assert record.budgets == evaluate(NET, data, Linf(), **options, diagnosis=None).budgets
    assert run_attack(net, data, FGSM(Linf(0.02)), output="logits").clean == record.clean
    with pytest.raises(InputError, match='output="logits"'):
        evaluate(net, data, Linf(), **options, diagnosis=None)
