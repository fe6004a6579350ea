"""EMA and SWA against means by hand; BatchNorm's statistics afresh for the averaged weights."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import conv, digits, same
from torch import nn

from saddlepoint.defences import Recipe, quantise
from saddlepoint.errors import InputError
from saddlepoint.training.averages import Ema, Swa, refresh_batch_norm
from saddlepoint.training.state import State


def states(count, dtype=torch.float64):
    """Models of one architecture with other weights, statistics and counters each."""
    result = []
    for seed in range(count):
        net = conv(seed, norm=True).to(dtype)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net.train()(torch.rand(16, 1, 8, 8, dtype=dtype))
        net[1].num_batches_tracked.fill_(seed)
        result.append(net)
    return result


@given(count=st.integers(1, 9))
def test_swa_is_the_mean_by_hand(count):
    nets = states(count)
    swa = Swa(conv(99, norm=True).double())
    for net in nets:
        swa.update(net)
    assert swa.updates == count
    for name, average in swa.state.items():
        values = torch.stack([net.state_dict()[name] for net in nets])
        if values.is_floating_point():
            torch.testing.assert_close(average, values.mean(0), rtol=1e-12, atol=1e-15)
        else:
            assert torch.equal(average, values[-1])


def test_swa_in_single_precision_does_not_drift():
    torch.manual_seed(0)
    net = nn.Linear(50, 50, bias=False)
    swa, total = Swa(net), torch.zeros(50, 50, dtype=torch.float64)
    for _ in range(500):
        nn.init.normal_(net.weight, mean=3.0)
        swa.update(net)
        total += net.weight.detach().double()
    torch.testing.assert_close(swa.state["weight"].double(), total / 500, rtol=3e-6, atol=0)


def test_updates_are_due_after_their_share_of_training():
    def due(start, epochs):
        swa = Swa(nn.Linear(1, 1), start=start)
        return [epoch for epoch in range(1, epochs + 1) if swa.due(epoch / epochs)]

    assert due(0.75, 8) == [7, 8]
    assert due(0.3, 10) == list(range(4, 11))
    assert due(0.0, 3) == [1, 2, 3]
    assert all(due(0.99, epochs)[-1:] == [epochs] for epochs in (1, 2, 7))
    for start in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="start is"):
            Swa(nn.Linear(1, 1), start=start)


@pytest.mark.parametrize("kind", [lambda net: Swa(net), lambda net: Ema(net, 0.9)])
def test_averages_continue_from_a_checkpoint_and_share_no_memory(kind):
    nets = states(5, torch.float32)
    whole = kind(copy.deepcopy(nets[0]))
    for net in nets:
        whole.update(net)
    first = kind(copy.deepcopy(nets[0]))
    for net in nets[:3]:
        first.update(net)
    saved = {name: value.clone() for name, value in first.state.items()}
    nets[2][0].weight.data.zero_()
    assert same(first.state, saved), "the average is no view of the model"
    second = kind(conv(7, norm=True))
    second.load(saved, first.updates)
    for net in nets[3:]:
        second.update(net)
    assert same(second.state, whole.state)
    assert second.updates == 5


@pytest.mark.parametrize("averaging", [{"ema": 0.5}, {"swa": 0.5}])
def test_an_average_begins_with_the_ranges_that_quantised_activations_found(averaging):
    net = quantise(conv())
    before = copy.deepcopy(net.state_dict())
    state = State(net, Recipe(**averaging), images=64, first=digits().images(torch.arange(64)))
    assert not same(net.state_dict(), before)
    assert same(state.average.state, net.state_dict())
    assert net.training


def test_ema_averages_the_statistics_of_batch_norm_with_the_weights():
    nets = states(4)
    ema = Ema(nets[0], decay=0.25)
    mean, var = nets[0][1].running_mean.clone(), nets[0][1].running_var.clone()
    for step, net in enumerate(nets, start=1):
        decay = min(0.25, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * net[1].running_mean
        var = decay * var + (1 - decay) * net[1].running_var
        ema.update(net)
    torch.testing.assert_close(ema.state["1.running_mean"], mean)
    torch.testing.assert_close(ema.state["1.running_var"], var)
    assert ema.state["1.num_batches_tracked"] == 3


def test_refreshed_statistics_are_the_means_over_the_batches():
    net = conv(norm=True).double().eval()
    net[1].momentum = 0.3
    net[1].running_mean.fill_(100.0)  # what was there before does not count
    batches = torch.rand(50, 1, 8, 8, dtype=torch.float64).split(20)  # 20, 20, 10
    refresh_batch_norm(net, batches)
    seen = [net[0](batch) for batch in batches]
    mean = torch.stack([z.mean((0, 2, 3)) for z in seen]).mean(0)
    var = torch.stack([z.transpose(0, 1).flatten(1).var(1) for z in seen]).mean(0)
    torch.testing.assert_close(net[1].running_mean, mean)
    torch.testing.assert_close(net[1].running_var, var)
    assert (net[1].momentum, int(net[1].num_batches_tracked)) == (0.3, 3)
    assert not any(module.training for module in net.modules())
    assert all(p.requires_grad for p in net.parameters())


class Counter(nn.Module):
    """A layer with a buffer of its own that moves in train mode, as a quantiser's may."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += self.training
        return x


def test_refreshing_touches_nothing_but_the_statistics():
    net = nn.Sequential(Counter(), *conv(dropout=0.5, norm=True)).train()
    net[2].eval()  # frozen by the user
    before = copy.deepcopy(net.state_dict())
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    images = [digits().images(torch.arange(64))]
    refresh_batch_norm(net, images, seed=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [name for name, value in net.state_dict().items() if not torch.equal(value, before[name])] == [
        "2.running_mean", "2.running_var", "2.num_batches_tracked",
    ]  # fmt: skip
    assert [m.training for m in net] == [i != 2 for i in range(len(net))]


def test_refreshing_with_dropout_depends_on_the_seed_alone():
    images = [digits().images(torch.arange(64))]
    after = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        net = nn.Sequential(nn.Dropout(0.5), *conv(norm=True))
        refresh_batch_norm(net, images, seed=seed)
        after.append(net[2].running_mean)
    assert torch.equal(after[0], after[1])
    assert not torch.equal(after[0], after[2])


def test_without_batch_norm_no_batch_is_drawn():
    drawn = []

    def stream():
        for images in torch.rand(3, 4, 1, 8, 8):
            drawn.append(images)
            yield images

    refresh_batch_norm(conv(), stream())
    refresh_batch_norm(nn.BatchNorm1d(2, track_running_stats=False), stream())
    assert drawn == []
    refresh_batch_norm(conv(norm=True), stream())
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no batches"),
        ([torch.rand(4, 1, 8, 8), torch.rand(4, 3, 8, 8)], "the model cannot take"),
    ],
)
def test_a_refresh_that_fails_leaves_the_model_as_it_was(batches, message):
    net = conv(norm=True)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(InputError, match=message):
        refresh_batch_norm(net, batches)
    assert same(net.state_dict(), before)
    assert net[1].momentum == 0.1
    assert net[1].training
