"""The objectives of texts against losses written by hand, in float64, sequence by sequence."""

from __future__ import annotations

import math

import pytest
import torch

from saddlepoint.objectives import LeftToRight, MaskedLanguage, TrainingBatch, Translate
from saddlepoint.text import (
    Framing,
    Greedy,
    TextData,
    WordTokeniser,
    load_text,
    text_model,
)
from saddlepoint.text.tokens import BOS, EOS, MASK

SMALL = {"width": 16, "depth": 1, "heads": 2, "hidden": 32, "dropout": 0.0}
BERT = {**SMALL, "attention_dropout": 0.0}
REVERSE = load_text("rules:reverse", split="train", limit=6)
DOCUMENTS = TextData(
    "documents", "all", tuple((f"The film is {a}. A {a} plot. It was {a} ,",) for a in "abcdefgh")
)
WORDS = WordTokeniser.trained(
    [text for data in (REVERSE, DOCUMENTS) for row in data.rows for text in row], 90
)
FRAMING = Framing(WORDS, most=64)


def trained(objective, data, options):
    """What runs, its model, its sequences, and the first batch of them."""
    kind = "transformer-micro" if isinstance(objective, Translate) else "bert-micro"
    torch.manual_seed(0)
    model = text_model(kind).build(len(WORDS), options).double().eval()
    framed = objective.framed(data, FRAMING)
    running = objective.begin(model, framed)
    if hasattr(running, "parts"):
        running.parts.double()
    return running, model, framed


def batch_of(framed, seed=3, epoch=1):
    ids = torch.arange(len(framed))
    inputs, said = framed.batch(ids)
    if isinstance(said, torch.Tensor):
        return TrainingBatch(inputs, said, ids, seed, epoch=epoch)
    return TrainingBatch(inputs, torch.full_like(ids, -100), ids, seed, epoch=epoch, written=said)


def agree(running, model, batch, by_hand):
    """The loss that is told, and the gradient of every parameter, are those of the sum by hand."""
    parameters = [*model.parameters(), *getattr(running, "parts", torch.nn.Identity()).parameters()]
    told = running.accumulate(model, batch)
    found = [None if p.grad is None else p.grad.clone() for p in parameters]
    for p in parameters:
        p.grad = None
    by_hand.backward()
    assert float(told.loss) == pytest.approx(float(by_hand.detach()), rel=1e-5)
    assert sum(each is not None for each in found) > 10
    for mine, p in zip(found, parameters, strict=True):
        if mine is not None or p.grad is not None:
            torch.testing.assert_close(mine, p.grad, rtol=1e-4, atol=1e-6)
    return told


def unpadded(tokens, i):
    return tokens.at(torch.tensor([i])).trimmed()


@pytest.mark.parametrize("following", [True, False])
def test_hidden_words_and_next_sentences(following):
    objective = MaskedLanguage(following, share=0.4)
    running, model, framed = trained(objective, DOCUMENTS, BERT)
    batch = batch_of(framed)
    hidden = objective.masking.apply(batch.tokens, 3, batch.ids, 1, vocabulary=len(WORDS))
    assert bool((hidden.tokens.ids == MASK).any())
    total, words, follows = 0.0, 0, 0.0
    for i in range(len(framed)):
        features = model(unpadded(hidden.tokens, i))
        logits = running.parts["mlm"](features, model.words.weight)[0]
        for row, label in zip(logits, hidden.labels[i].tolist(), strict=False):
            if label >= 0:
                total, words = total - row.log_softmax(0)[label], words + 1
        if following:
            told = running.parts["nsp"](model.pooled(features))[0]
            follows = follows - told.log_softmax(0)[batch.labels[i]]
    told = agree(running, model, batch, total / words + follows / len(framed))
    assert told.sums["word_accuracy"][1] == words
    assert ("next_sentence_accuracy" in told.sums) == following


def test_a_head_that_knows_nothing_of_the_next_sentence_loses_log_2():
    running, model, framed = trained(MaskedLanguage(share=0.4), DOCUMENTS, BERT)
    for part in running.parts.values():
        for p in part.parameters():
            torch.nn.init.zeros_(p)
    told = running.accumulate(model, batch_of(framed))
    assert float(told.loss) == pytest.approx(math.log(len(WORDS)) + math.log(2), rel=1e-5)


def test_each_token_is_told_by_those_before_it():
    running, model, framed = trained(
        LeftToRight(), DOCUMENTS, {**BERT, "direction": "left-to-right"}
    )
    batch, total, words = batch_of(framed), 0.0, 0
    for i in range(len(framed)):
        tokens = unpadded(batch.tokens, i)
        row = tokens.ids[0].tolist()
        for j in range(1, len(row)):
            before = tokens.ids[:, :j]
            logits = running.parts(
                model(type(tokens)(before, torch.ones_like(before, dtype=torch.bool))),
                model.words.weight,
            )
            total, words = total - logits[0, -1].log_softmax(0)[row[j]], words + 1
    told = agree(running, model, batch, total / words)
    assert told.sums["token_accuracy"][1] == words
    measured = running.measure(model, framed)
    assert measured["perplexity"] == pytest.approx(
        math.exp(float(total.detach() / words)), rel=1e-6
    )


def test_translations_are_told_token_by_token_with_smoothing():
    running, model, framed = trained(Translate(label_smoothing=0.1, written=4), REVERSE, SMALL)
    batch, smooth, plain, words, exact = batch_of(framed), 0.0, 0.0, 0, 0
    for i in range(len(framed)):
        source, target = unpadded(batch.tokens, i), unpadded(batch.written, i)
        row = [*target.ids[0].tolist()[1:], EOS]
        assert target.ids[0, 0] == BOS
        for logits, word in zip(model(source, target)[0], row, strict=True):
            p = logits.log_softmax(0)
            smooth = smooth - 0.9 * p[word] - 0.1 * p.mean()
            plain, words = plain - p[word], words + 1
        exact += i < 4 and Greedy().write(model, source).ids[0] == row[:-1]
    agree(running, model, batch, smooth / words)
    measured = running.measure(model, framed)
    assert measured["perplexity"] == pytest.approx(
        math.exp(float(plain.detach() / words)), rel=1e-6
    )
    assert measured["exact_match"] == exact / 4


def test_what_is_written_exactly_is_counted(monkeypatch):
    """A decoder that knows two of the first four answers, one of them too long, and all others."""
    running, model, framed = trained(Translate(written=4), REVERSE, SMALL)
    answers = [WORDS.encode(row[1]) for row in REVERSE.rows]
    told = [answers[0], answers[1][:-1], [*answers[2], answers[2][-1]], answers[3], *answers[4:]]
    seen = []

    class Known(Greedy):
        def write(self, model, source):
            seen.append(len(source))
            return type("Written", (), {"ids": told[: len(source)]})()

    monkeypatch.setattr("saddlepoint.objectives.translate.Greedy", Known)
    assert running.measure(model, framed)["exact_match"] == 0.5
    assert seen == [4]
