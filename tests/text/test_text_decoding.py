"""Greedy and beam search against all sentences, smoothing, averaging, and the published rates."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from saddlepoint.defences import Schedule
from saddlepoint.errors import InputError
from saddlepoint.objectives import Translate
from saddlepoint.text import (
    SMOOTHINGS,
    BeamSearch,
    CharacterTokeniser,
    Framing,
    Greedy,
    OverAll,
    OverOthers,
    TextData,
    Tokens,
    Transformer,
    TransformerDesign,
    Translations,
    averaged,
    masked_loss,
    padded,
)
from saddlepoint.text.tokens import BOS, CLS, EOS, IGNORED, MASK, PAD, SEP

F64 = torch.float64
NEVER = [PAD, CLS, SEP, MASK, BOS]
SOURCE = padded([[7, 8, 7, 6], [8, 7, 6]])


def network(seed=0, positions="sinusoidal", vocabulary=9):
    torch.manual_seed(seed)
    net = Transformer(TransformerDesign(vocabulary, 8, 1, 2, 8, positions, most=6)).to(F64).eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    return net


def all_sentences(net, source, limit, alpha):
    """The best sentence of at most `limit` tokens by the score of the beam, of all there are."""
    words = [i for i in range(9) if i not in (*NEVER, EOS)]
    best = (-float("inf"), [])
    for length in range(limit):
        rows = [list(row) for row in itertools.product(words, repeat=length)]
        target = padded([[BOS, *row] for row in rows])
        many = torch.zeros(len(rows), dtype=torch.int64)
        logs = net(source.at(many), target).log_softmax(-1)
        labels = torch.tensor([[*row, EOS] for row in rows])
        scores = logs.gather(-1, labels[..., None]).sum((1, 2)) / ((6 + length) / 6) ** alpha
        top = int(scores.argmax())
        best = max(best, (scores[top].item(), rows[top]))
    return best


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_beam_as_wide_as_all_sentences_finds_the_best(seed, alpha):
    net, source = network(seed), SOURCE.at(slice(1, 2))
    written = BeamSearch(width=9**3, alpha=alpha, extra=0).write(net, source)
    score, ids = all_sentences(net, source, 3, alpha)
    assert written.ids == [ids]
    assert written.scores.item() == pytest.approx(score, rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_written_does_not_depend_on_the_batch_and_has_its_score(seed):
    net = network(seed)
    for search in (BeamSearch(3, 0.6, 3), Greedy(3)):
        written = search.write(net, SOURCE)
        for i in range(2):
            alone = search.write(net, SOURCE.at(slice(i, i + 1)))
            assert alone.ids == written.ids[i : i + 1]
            assert alone.scores.item() == pytest.approx(written.scores[i].item(), rel=1e-9)
            row = written.ids[i]
            logs = net(SOURCE.at(slice(i, i + 1)), padded([[BOS, *row]])).log_softmax(-1)
            total = logs[0, torch.arange(len(row) + 1), torch.tensor([*row, EOS])].sum().item()
            divisor = ((5 + len(row) + 1) / 6) ** 0.6 if isinstance(search, BeamSearch) else 1
            assert written.scores[i].item() == pytest.approx(total / divisor, rel=1e-9)
            assert len(row) + 1 <= int(SOURCE.lengths[i]) + 3


def test_greedy_takes_the_best_token_of_a_whole_pass_until_the_end():
    """Of some networks [EOS] comes by itself, of others at the limit."""
    source, ended = padded([[7, 8, 6]]), []
    for seed in range(8):
        net, row = network(seed, vocabulary=12), [BOS]
        while row[-1] != EOS and len(row) < 9:
            logits = net(source, padded([row]))[0, -1]
            logits[NEVER] = -float("inf")
            row.append(int(logits.argmax()))
        ended.append(row[-1] == EOS)
        wanted = row[1:-1] if ended[-1] else row[1:]
        assert Greedy(extra=6).write(net, source).ids[0] == wanted
    assert set(ended) == {True, False}


class Zs(Transformer):
    """Writes the token 9 ninety times."""

    def new_cache(self):
        self.written = 0
        return super().new_cache()

    def decode(self, target, memory, keep, cache=None):
        first = 0 if cache is None else self.written
        self.written = first + target.ids.shape[1]
        tokens = [9 if i < 90 else EOS for i in range(first, self.written)]
        return 50 * functional.one_hot(torch.tensor(tokens), 10).double().expand(
            len(target), -1, -1
        )

    def logits(self, hidden):
        return hidden


def test_a_target_much_longer_than_its_source_is_written_to_its_end():
    """Six digits are a number of 65 letters."""
    net = Zs(TransformerDesign(10, 8, 1, 2, 8)).to(F64).eval()
    data = Translations(
        TextData("long", "all", (("ab", "z" * 90),)), Framing(CharacterTokeniser(["a", "b", "z"]))
    )
    assert Translate().begin(net, None).measure(net, data)["exact_match"] == 1
    (row,) = Greedy().write(net, data.inputs).ids
    assert len(row) == 52  # of 53 tokens one is [EOS]
    (row,) = BeamSearch(2, extra=100).write(net, data.inputs).ids
    assert len(row) == 90


def test_a_wider_beam_is_worth_it_and_learned_positions_bound_the_length():
    scores = []
    for seed in range(8):
        nets = network(seed)
        one, four = (BeamSearch(k, 0.6, 4).write(nets, SOURCE).scores for k in (1, 8))
        scores.append((four - one).tolist())
    assert sum(map(sum, scores)) > 0
    net = network(0, "learned")
    assert all(len(row) <= 5 for row in BeamSearch(2).write(net, SOURCE).ids)


def test_the_published_learning_rates():
    """What must be set: the peak d^−½ w^−½, and w as a share of all steps, which are counted from 1."""
    d, w, steps = 512, 4000, 100_000
    schedule, peak = Schedule("inverse-sqrt", warmup=w / steps), (d * w) ** -0.5
    expected = {1: 1.74693e-7, 4000: 6.98771e-4, 100_000: 1.39754e-4}
    for step, rate in expected.items():
        assert peak * schedule.factor(step / steps) == pytest.approx(rate, rel=1e-5)
        formula = d**-0.5 * min(step**-0.5, step * w**-1.5)
        assert peak * schedule.factor(step / steps) == pytest.approx(formula, rel=1e-12)


@given(st.integers(2, 12), st.floats(0, 0.9), st.sampled_from(sorted(SMOOTHINGS)))
def test_the_floor_is_reached_at_the_gap_and_nowhere_undercut(k, eps, name):
    smoothing = SMOOTHINGS[name](eps)
    labels = torch.tensor([k - 1])
    p, q = smoothing.shares(k)
    assert p + (k - 1) * q == pytest.approx(1)
    if eps > 0.01:
        logits = torch.zeros(1, k, dtype=F64)
        logits[0, -1] = smoothing.gap(k)
        assert smoothing.loss(logits, labels).item() == pytest.approx(smoothing.floor(k), abs=1e-9)
    noise = torch.randn(1, k, dtype=F64, generator=torch.Generator().manual_seed(k))
    assert smoothing.loss(noise, labels).item() >= smoothing.floor(k) - 1e-9


def test_smoothing_over_all_is_torchs_and_has_the_known_floors():
    logits, labels = torch.randn(6, 9, dtype=F64), torch.tensor([0, 3, IGNORED, 8, IGNORED, 1])
    expected = functional.cross_entropy(logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(OverAll(0.1).loss(logits, labels), expected)
    assert OverAll(0.1).floor(37_000) == pytest.approx(1.376913, abs=1e-6)
    assert OverAll(0.1).floor(10) == pytest.approx(0.500288, abs=1e-6)
    assert OverAll(0.1).gap(10) == pytest.approx(4.510860, abs=1e-6)
    assert OverAll(0.1).shares(10)[0] == pytest.approx(0.91)
    assert OverOthers(0.1).shares(10)[0] == pytest.approx(0.9)
    with pytest.raises(InputError, match=r"eps is 1\.0"):
        OverAll(1.0)


def test_a_loss_of_nothing_is_zero_and_unchosen_positions_have_no_gradient():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    nothing = torch.full((2, 3), IGNORED)
    loss = masked_loss(logits, nothing)
    assert loss.item() == 0
    loss.backward()
    assert not bool(logits.grad.any())
    logits.grad = None
    masked_loss(logits, torch.tensor([[1, IGNORED, 2], [IGNORED] * 3])).backward()
    assert logits.grad.abs().sum(-1).bool().tolist() == [[True, False, True], [False] * 3]
    uniform = masked_loss(torch.zeros(1, 2, 4000), torch.tensor([[5, 17]]))
    assert uniform.item() == pytest.approx(8.294, abs=1e-3)


def test_averages_are_means_and_of_one_network():
    nets = [network(seed) for seed in range(5)]
    found = averaged([net.state_dict() for net in nets])
    name = "decoder.0.cross.qkv.weight"
    expected = sum(net.state_dict()[name] for net in nets) / 5
    torch.testing.assert_close(found[name], expected)
    counted = averaged([{"n": torch.tensor(3)}, {"n": torch.tensor(4)}])
    assert counted["n"].item() == 4
    with pytest.raises(InputError, match=r"w is \(1,\) in one checkpoint and \(2,\)"):
        averaged([{"w": torch.zeros(1)}, {"w": torch.zeros(2)}])
    with pytest.raises(InputError, match="no checkpoint"):
        averaged([])


def test_a_cache_of_beams_follows_them():
    net, source = network(), SOURCE.at(torch.tensor([0, 0]))
    memory, cache = net.encode(source), net.new_cache()
    net.decode(Tokens(*columns([[5, 7], [5, 8]])), memory, source.keep, cache)
    cache.follow(torch.tensor([1, 1]))
    found = net.decode(Tokens(*columns([[7], [8]])), memory, source.keep, cache)
    whole = net.decode(Tokens(*columns([[5, 8, 7], [5, 8, 8]])), memory, source.keep)
    torch.testing.assert_close(found, whole[:, -1:])


def columns(rows):
    ids = torch.tensor(rows)
    return ids, torch.ones_like(ids, dtype=torch.bool)
