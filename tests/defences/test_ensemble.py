"""Deep ensembles: the mean by hand, its gradient, its members, and evaluation as one model."""

from __future__ import annotations

import pytest
import torch
from networks import Noise
from small import conv, digits, trained
from torch import nn

from saddlepoint.attacks import PGD, BinaryLogit
from saddlepoint.defences.ensemble import DeepEnsemble
from saddlepoint.defences.self_ensemble import random_self_ensemble
from saddlepoint.errors import InputError
from saddlepoint.evaluation import evaluate
from saddlepoint.model import Guard, is_random
from saddlepoint.model.randomness import averaged_passes
from saddlepoint.streams import Keys
from saddlepoint.threat import Linf
from saddlepoint.zoo import load_weights, save_weights

IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def members(count=3):
    return [conv(seed).double().eval() for seed in range(count)]


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize("count", [1, 3])
def test_the_prediction_and_its_gradient_are_those_of_the_mean_by_hand(average, count):
    nets = members(count)
    x = IMAGES.clone().requires_grad_()
    outputs = torch.stack([net(x) for net in nets])
    by_hand = outputs.mean(0) if average == "logits" else outputs.softmax(2).mean(0).log()
    (expected,) = torch.autograd.grad(by_hand[:, 2].sum(), x)
    logits = DeepEnsemble(nets, average)(x)
    torch.testing.assert_close(logits, by_hand)
    torch.testing.assert_close(torch.autograd.grad(logits[:, 2].sum(), x)[0], expected)


def test_confident_members_do_not_overflow():
    net = nn.Flatten()
    logits = DeepEnsemble([net, net])(torch.tensor([[1e4, -1e4]]))
    assert logits.tolist() == [[0.0, -2e4]]


def test_one_logit_stays_one():
    nets = [nn.Linear(2, 1), nn.Linear(2, 1)]
    x = torch.tensor([[0.1, 0.9], [0.7, 0.4]])
    logits = DeepEnsemble(nets)(x)
    mean = torch.stack([net(x).sigmoid() for net in nets]).mean(0)
    torch.testing.assert_close(logits.sigmoid(), mean)
    labels = (logits[:, 0] > 0).long()
    result = PGD(Linf(1e-6), criterion=BinaryLogit())(DeepEnsemble(nets), x, labels)
    assert not bool(result.success.any())


def test_it_is_evaluated_and_is_harder_to_fool_than_through_one_member():
    nets = [trained(), conv(1)]
    nets[1].load_state_dict({k: v + 0.02 for k, v in trained().state_dict().items()})
    data, model = digits("test", 40), DeepEnsemble(nets)
    record = evaluate(model, data, Linf(0.1), suite="quick", diagnosis=None)
    assert record.clean.value > 0.8
    assert record.notes == ()
    images = data.images(torch.arange(40))
    attack = PGD(Linf(0.1), steps=10)
    through_all, through_one = (attack.candidates(m, images, data.labels) for m in (model, nets[1]))
    loss = nn.functional.cross_entropy
    assert loss(model(through_all), data.labels) > loss(model(through_one), data.labels)


def test_members_may_be_random():
    model = DeepEnsemble([nn.Sequential(Noise(0.5), net) for net in members(2)])
    assert is_random(model)
    assert averaged_passes(model) == 1
    keys = Keys(0, torch.arange(5))
    with Guard(model, 5) as guard:
        whole = guard.logits(IMAGES, None, keys)
    with Guard(model, 5) as guard:
        rows = torch.tensor([4, 1])
        assert torch.allclose(guard.logits(IMAGES[rows], rows, keys.at(rows)), whole[rows])
    first, second = members(2)
    averaging = [random_self_ensemble(first, samples=5), random_self_ensemble(second, samples=3)]
    assert averaged_passes(DeepEnsemble(averaging)) == 3


def test_weights_go_to_a_file_and_back(tmp_path):
    model = DeepEnsemble(members())
    assert next(iter(model.state_dict())) == "members.0.0.weight"
    path = save_weights(model, tmp_path / "weights.safetensors")
    other = DeepEnsemble([conv(seed + 10).double().eval() for seed in range(3)])
    load_weights(other, path)
    assert torch.equal(other(IMAGES), model(IMAGES))


def test_what_is_no_ensemble_is_refused():
    with pytest.raises(InputError, match="no models"):
        DeepEnsemble([])
    with pytest.raises(InputError, match="a member is a function"):
        DeepEnsemble([conv(), conv])
    with pytest.raises(InputError, match="models is one Sequential"):
        DeepEnsemble(conv())
    with pytest.raises(InputError, match='average is "median"'):
        DeepEnsemble([conv()], "median")
    mixed = DeepEnsemble([nn.Linear(2, 3), nn.Linear(2, 4)])
    with pytest.raises(InputError, match="the models have 3, 4 classes"):
        PGD(Linf(0.1))(mixed, torch.rand(1, 2), torch.tensor([0]))
