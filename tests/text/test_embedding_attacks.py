"""Attacks on embedded text against a bag of embeddings, whose nearest boundary is known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from saddlepoint.attacks import (
    APGD,
    DDN,
    FGSM,
    FMN,
    PGD,
    BrendelBethge,
    HopSkipJump,
    Misclassified,
    Square,
    UniformNoise,
)
from saddlepoint.attacks.core.batch import Batch
from saddlepoint.errors import InputError
from saddlepoint.evaluation import build_suite, evaluate
from saddlepoint.evaluation.verdict.nearby import moved
from saddlepoint.model import Guard
from saddlepoint.streams import Keys
from saddlepoint.text import (
    Bert,
    BertDesign,
    EmbeddedText,
    Framing,
    FromEmbedding,
    Sentences,
    Tokens,
    WordTokeniser,
    flagged,
    load_text,
    padded,
    with_head,
)
from saddlepoint.threat import EachTokenL2, PerRootLength, TokenL2, TokenLinf

ROWS = [
    [2, 7, 8, 9, 3],
    [2, 10, 3],
    [2, 11, 12, 13, 14, 15, 3],
    [2, 8, 12, 3],
    [2, 13, 7, 9, 11, 3],
]


class Bag(nn.Module):
    """The sum of the embeddings of all tokens, and a linear layer on it."""

    def __init__(self, classes=2):
        super().__init__()
        draw = torch.Generator().manual_seed(1)
        self.table = nn.Parameter(torch.randn(16, 5, generator=draw))
        self.linear = nn.Parameter(torch.randn(classes, 5, generator=draw))

    def embedding(self, tokens):
        return self.table[tokens.ids]

    def from_embedding(self, embedded, keep):
        return (embedded * keep[..., None]).sum(1) @ self.linear.T

    def forward(self, tokens):
        return self.from_embedding(self.embedding(tokens), tokens.keep)


BAG = Bag()
TOKENS = padded(ROWS)
LABELS = BAG(TOKENS).argmax(1)
DATA = EmbeddedText(TOKENS, LABELS, BAG, ("no", "yes"))
MODEL = FromEmbedding(BAG)
ALL = torch.arange(len(ROWS))


def nearest(threat):
    """The distance of each sentence to the boundary: the margin over the dual norm of its slope."""
    logits = BAG(TOKENS).detach().double()
    margin = (logits[:, 0] - logits[:, 1]).abs()
    w = (BAG.linear[0] - BAG.linear[1]).detach().double()
    free = TOKENS.lengths.double() - 2
    slope = {
        TokenLinf: w.abs().sum() * free,
        TokenL2: w.norm() * free.sqrt(),
        EachTokenL2: w.norm() * free,
        PerRootLength: w.norm() * free,
    }[type(threat)]
    return margin / slope


THREATS = [TokenLinf(), TokenL2(), EachTokenL2(), PerRootLength()]


@pytest.mark.parametrize("threat", THREATS, ids=str)
@pytest.mark.parametrize("attack", [FGSM, PGD, APGD])
def test_attacks_within_a_budget_fool_just_beyond_the_boundary(threat, attack):
    exact, x = nearest(threat), DATA.images(ALL)
    options = {"start": "clean"} if attack is PGD else {}
    beyond = attack(threat, **options)(MODEL, x, LABELS, eps=(1.02 * exact).float())
    before = attack(threat, **options)(MODEL, x, LABELS, eps=(0.98 * exact).float())
    assert bool(beyond.success.all())
    assert not bool(before.success.any())
    assert bool((beyond.distance <= 1.02 * exact * (1 + 1e-4)).all())
    assert torch.equal(beyond.adversarials[x == 0], x[x == 0])


@pytest.mark.parametrize("threat", [TokenLinf(), TokenL2(), PerRootLength()], ids=str)
@pytest.mark.parametrize("attack", [DDN, FMN])
def test_minimum_norm_attacks_end_at_the_boundary(threat, attack):
    if attack is DDN and isinstance(threat, TokenLinf):
        pytest.skip("DDN is of L2")
    result = attack(threat)(MODEL, DATA.images(ALL), LABELS)
    assert bool(result.success.all())
    torch.testing.assert_close(result.distance, nearest(threat), rtol=0.01, atol=0)


def longer(data, extra):
    """The same sentences, padded by `extra` tokens more."""
    n = len(data)
    ids = torch.cat([data.tokens.ids, torch.full((n, extra), 13)], 1)
    keep = torch.cat([data.tokens.keep, torch.zeros(n, extra, dtype=torch.bool)], 1)
    return EmbeddedText(Tokens(ids, keep), data.labels, data.classifier, data.classes)


ATTACKS = [
    PGD(TokenL2(0.4), restarts=2), PGD(TokenLinf(0.1)), PGD(EachTokenL2(0.2)), APGD(TokenL2(0.4)),
    UniformNoise(TokenL2(0.8)), BrendelBethge(TokenL2(), steps=5), DDN(TokenL2()), FMN(TokenL2()),
    PGD(PerRootLength(TokenL2(0.2))),
]  # fmt: skip


def test_what_draws_over_whole_inputs_is_refused():
    with pytest.raises(InputError, match="Square lays windows over whole inputs"):
        Square(TokenL2(0.4))
    with pytest.raises(InputError, match="no valid range to draw random starts from"):
        HopSkipJump(TokenL2(), steps=5)(MODEL, DATA.images(ALL), LABELS)
    suites = [build_suite(name, TokenL2(0.4)) for name in ("standard", "thorough")]
    assert not any("square" in suite for suite in suites)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: f"{type(each).__name__}-{each.threat}")
def test_neither_the_batch_nor_padding_changes_a_result(attack):
    whole = attack(MODEL, DATA.images(ALL), LABELS)
    some = torch.tensor([4, 1])
    few = attack(MODEL, DATA.images(some), LABELS[some], ids=some)
    torch.testing.assert_close(few.adversarials, whole.adversarials[some], rtol=0, atol=1e-6)
    fine = EmbeddedText(TOKENS, LABELS, Bag().double(), ("no", "yes"))
    model, wide, end = FromEmbedding(fine.classifier), longer(fine, 6), DATA.shape[0]
    short, long = (attack(model, each.images(ALL), LABELS) for each in (fine, wide))
    torch.testing.assert_close(long.adversarials[:, :end], short.adversarials, rtol=0, atol=1e-6)
    assert not bool(long.adversarials[:, end:].any())
    assert torch.equal(long.success, short.success)


@pytest.mark.parametrize("attack", [PGD(TokenL2(0.4)), APGD(TokenLinf(0.1))])
def test_padding_changes_nothing_where_tokens_look_at_each_other(attack):
    torch.manual_seed(0)
    net = with_head(Bert(BertDesign(16, 16, 2, 2, 32, 16, initial=0.2)), 2).double().eval()
    fine = EmbeddedText(TOKENS, LABELS, net, ("no", "yes"))
    model, wide, end = FromEmbedding(net), longer(fine, 6), DATA.shape[0]
    labels = model(fine.images(ALL)).argmax(1)
    short, long = (attack(model, each.images(ALL), labels) for each in (fine, wide))
    assert not torch.equal(short.adversarials, fine.images(ALL))
    torch.testing.assert_close(long.adversarials[:, :end], short.adversarials, rtol=0, atol=1e-6)
    assert torch.equal(long.success, short.success)


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_an_evaluation_counts_what_the_closed_form_counts(threat, tmp_path):
    exact = nearest(threat)
    middle = float(exact.sort().values[1:3].mean())
    budgets = [0.5 * float(exact.min()), middle, 1.1 * float(exact.max())]
    how = {"eps": budgets, "suite": "quick", "diagnosis": None, "batch_size": 2}
    record = evaluate(MODEL, DATA, threat, out=tmp_path, **how)
    found = [round(each.robust_accuracy.value * len(exact)) for each in record.budgets]
    assert found == [len(exact), int((exact > middle).sum()), 0]
    assert record.clean.value == 1
    again = evaluate(MODEL, DATA, threat, out=tmp_path, **how)
    assert again.json() == record.json()


def test_another_network_makes_another_data_set():
    other = EmbeddedText(TOKENS, LABELS, Bag(3), ("no", "yes"))
    assert other.fingerprint != DATA.fingerprint == EmbeddedText(
        TOKENS, LABELS, BAG, ("no", "yes")
    ).fingerprint  # fmt: skip
    assert DATA.shape == (7, 6)
    assert bool((MODEL(DATA.images(ALL)) == BAG(TOKENS)).all())


def test_the_table_has_a_graph_through_the_flags():
    flagged(BAG, TOKENS).sum().backward()
    assert BAG.table.grad is not None
    assert not bool(BAG.table.grad[0].any())  # padding is 0, whatever the table says
    BAG.zero_grad()


def bert(vocabulary):
    return with_head(Bert(BertDesign(vocabulary, 16, 1, 2, 32, 32)), 2)


SENTENCES = Sentences(
    load_text("rules:sentiment", limit=2), Framing(WordTokeniser(["the", "film"]))
)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FromEmbedding(nn.Linear(2, 2)), "cannot be entered after its embeddings"),
        (lambda: EmbeddedText(TOKENS, LABELS, nn.Linear(2, 2), ("a", "b")), "cannot be entered"),
        (lambda: EmbeddedText(TOKENS, LABELS + 1, BAG, ("a", "b")), "label"),
        (
            lambda: EmbeddedText(TOKENS, LABELS, bert(int(TOKENS.ids.max())), ("a", "b")),
            "and the classifier has embeddings of",
        ),
        (lambda: EmbeddedText.of(SENTENCES, bert(90)), "the tokeniser has .* and the model 90"),
        (lambda: EmbeddedText(padded([[2, 3]]), LABELS[:1], BAG, ("a", "b")), "sentence 0 has no"),
    ],
)
def test_what_is_no_text_is_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "threat", [TokenL2(0.1), PerRootLength(TokenL2(0.1)), TokenLinf(0.01)], ids=str
)
def test_a_network_that_nothing_fools_is_evaluated_by_every_suite(threat):
    """Minimum-norm members draw starts of their own, and stop at 10⁹."""

    class Sure(Bag):
        def from_embedding(self, embedded, keep):
            said = super().from_embedding(embedded, keep)
            return torch.stack([0.1 * torch.tanh(said[:, 0]), torch.ones(len(said))], 1)

    data = EmbeddedText(TOKENS, torch.ones_like(LABELS), Sure(), ("no", "yes"))
    for suite in ("minimum-norm", "standard"):
        record = evaluate(FromEmbedding(data.classifier), data, threat, suite=suite, diagnosis=None)
        assert record.budgets[0].robust_accuracy.value == 1


def test_points_near_a_sentence_are_near_where_budgets_are_per_root_length():
    """What is held says how many tokens may move, and is held before parameters are made of it."""
    x, threat = DATA.images(ALL), PerRootLength(TokenL2(0.1))
    with Guard(MODEL, len(x)) as guard:
        keys = Keys(0, ALL)
        batch = Batch(guard, threat, Misclassified(), x, LABELS, keys, ALL, mask=threat.free(x))
        near = batch.render(moved(batch, 1e-3, signs=True))
    change = (near - x).abs().flatten(1).amax(1)
    assert bool((change > 0).all())
    assert float(change.max()) < 0.02
