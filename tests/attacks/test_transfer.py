"""Transfer: found on one model, judged on the other, which is asked once and for no gradient."""

from __future__ import annotations

import pytest
import torch
from networks import conv_case, conv_net

from saddlepoint.attacks import BIM, DDN, MIFGSM, MINIMUM_NORM, PGD
from saddlepoint.attacks.minimum_norm.hopskipjump import HopSkipJump
from saddlepoint.attacks.wrappers.transfer import Transfer
from saddlepoint.errors import InputError
from saddlepoint.threat import L2, Linf


class Signs(torch.nn.Module):
    """The network without a gradient."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x):
        return self.net(x)


def pair(count=32, dtype=torch.float64):
    """A model, one that differs a little from it, and images that both are right about."""
    net, images, labels = conv_case(count, dtype, wrong=0)
    other = conv_net(dtype)
    generator = torch.Generator().manual_seed(0)
    for p in other.parameters():
        noise = torch.randn(p.shape, generator=generator, dtype=dtype)
        p.data += 0.1 * p.data.std(unbiased=False) * noise
    right = other(images).argmax(1) == labels
    return Signs(net), other, images[right], labels[right]


def test_the_surrogate_is_attacked_to_the_end_and_the_model_judges():
    net, surrogate, images, labels = pair()
    result = Transfer(MIFGSM(Linf(0.02)), surrogate=surrogate)(net, images, labels)
    there = MIFGSM(Linf(0.02), stop="never")(surrogate, images, labels)
    assert torch.equal(result.adversarials, there.adversarials)
    assert torch.equal(result.success, net(there.adversarials).argmax(1) != labels)
    assert 0.3 < result.success_rate < there.success_rate
    # A first success is a success by a hair.
    early = MIFGSM(Linf(0.02))(surrogate, images, labels).adversarials
    assert result.success_rate > float((net(early).argmax(1) != labels).double().mean())


def test_the_model_is_asked_three_times_and_the_surrogate_comes_out_as_it_went_in():
    net, surrogate, images, labels = pair()
    surrogate.train()
    before = {name: value.clone() for name, value in surrogate.state_dict().items()}
    result = Transfer(PGD(Linf(0.02), steps=5, restarts=2), surrogate=surrogate)(
        net, images, labels
    )
    assert result.forwards.tolist() == [3] * len(labels)  # clean, offered, judged
    assert not bool(result.backwards.any())
    assert surrogate.training
    assert all(p.requires_grad and p.grad is None for p in surrogate.parameters())
    after = surrogate.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_last_iterate_is_offered_where_the_attack_keeps_it():
    net, surrogate, images, labels = pair()
    attack = PGD(Linf(0.02), steps=4, keep="last", stop="never", loss="softmax-cross-entropy")
    offered = Transfer(attack, surrogate=surrogate)(net, images, labels)
    last = attack.candidates(surrogate, images, labels)
    assert torch.equal(offered.adversarials, last)


def test_targets_masks_and_seeds_reach_the_surrogate():
    net, surrogate, images, labels = pair()
    targets = (labels + 1) % 5
    mask = torch.zeros(3, 8, 8, dtype=torch.bool)
    mask[:, :4] = True
    attack = Transfer(PGD(Linf(0.15), steps=10), surrogate=surrogate)
    result = attack(net, images, labels, targets, mask=mask, seed=1)
    assert result.success_rate > 0.3
    assert torch.equal(result.predictions[result.success], targets[result.success])
    assert bool((result.adversarials == images)[:, ~mask].all())
    other = attack(net, images, labels, targets, mask=mask, seed=2)
    assert not torch.equal(result.adversarials, other.adversarials)


def test_a_minimum_norm_attack_counts_where_its_nearest_point_fools_the_model():
    net, surrogate, images, labels = pair(8)
    attack = HopSkipJump(L2(), steps=2)
    there = attack(surrogate, images, labels)
    result = Transfer(attack, surrogate=surrogate)(net, images, labels)
    assert Transfer(attack, surrogate=surrogate).kind is MINIMUM_NORM
    fools = net(there.adversarials).argmax(1) != labels
    assert torch.equal(result.success, fools)
    assert torch.equal(result.distance[fools], there.distance[fools])
    assert bool(result.distance[~fools].isinf().all())


def test_what_cannot_be_is_refused():
    net, surrogate, images, labels = pair(8)
    with pytest.raises(InputError, match="is no attack"):
        Transfer(net, surrogate=surrogate)
    with pytest.raises(InputError, match=r"torch\.nn\.Module"):
        Transfer(BIM(Linf(0.1)), surrogate=len)(net, images, labels)
    few = torch.nn.Sequential(surrogate, torch.nn.Linear(5, 2, dtype=torch.float64))
    with pytest.raises(InputError, match="the surrogate: labels or targets span"):
        Transfer(BIM(Linf(0.1)), surrogate=few)(net, images, labels)
    elsewhere = conv_net().to("meta")
    with pytest.raises(InputError, match="the surrogate is on meta"):
        Transfer(BIM(Linf(0.1)), surrogate=elsewhere)(net, images, labels)


def test_the_logits_of_the_model_do_not_measure_those_of_the_surrogate():
    """A model with logits a million times as large says nothing of the surrogate's rounding."""
    _, surrogate, images, labels = pair(8)

    class Loud(torch.nn.Module):
        def forward(self, x):
            return 1e6 * surrogate(x)

    attack = Transfer(DDN(L2(), steps=40), surrogate=surrogate)
    quiet, loud = attack(surrogate, images, labels), attack(Loud(), images, labels)
    assert bool(quiet.success.all())
    assert torch.allclose(loud.distance, quiet.distance, rtol=1e-6)
