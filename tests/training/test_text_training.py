"""Training on texts: batches by tokens, objectives, resumption to the bit, and what is refused."""

from dataclasses import replace

import pytest
import torch

from saddlepoint.data import load_data
from saddlepoint.defences import EmbeddingPGD, FreeLB, Optimiser, Recipe, Schedule, Validation
from saddlepoint.errors import InputError
from saddlepoint.objectives import (
    Classify,
    ClassifyTokens,
    LeftToRight,
    MaskedLanguage,
    Standard,
    TrainingBatch,
    Translate,
)
from saddlepoint.text import (
    Framing,
    TextData,
    WordTokeniser,
    load_text,
    load_trained_text,
    text_model,
    with_head,
    with_token_head,
)
from saddlepoint.training import train
from saddlepoint.training.text_feed import TextFeed

COPY, SENTIMENT, REPEATS = (
    load_text(f"rules:{n}", split="train", limit=120) for n in ("copy", "sentiment", "repeats")
)
TOKENISER = WordTokeniser.trained(
    [t for d in (COPY, SENTIMENT) for row in d.rows for t in row], 200
)
FRAMING = Framing(TOKENISER, most=64)
DOCUMENTS = TextData(
    "documents",
    "all",
    tuple((f"The film is {a}. A {a} plot. It was {a} ,",) for a in "abcdefghijklmnopqrstuvwxyz"),
)
SMALL = {"width": 16, "depth": 1, "heads": 2, "hidden": 32}
RIGHT = {**SMALL, "direction": "left-to-right"}


def bert(options=SMALL):
    return text_model("bert-micro").build(len(TOKENISER), options)


CASES = {
    "translate": (
        Translate(written=8),
        COPY,
        lambda: text_model("transformer-micro").build(len(TOKENISER), SMALL),
    ),
    "classify": (Classify(), SENTIMENT, lambda: with_head(bert(), 2)),
    "classify-tokens": (ClassifyTokens(), REPEATS, lambda: with_token_head(bert(), 2)),
    "masked-language": (MaskedLanguage(), DOCUMENTS, bert),
    "masked words alone": (MaskedLanguage(next_sentence=False), SENTIMENT, bert),
    "left-to-right": (LeftToRight(), SENTIMENT, lambda: bert(RIGHT)),
    "freelb": (FreeLB(steps=2), SENTIMENT, lambda: with_head(bert(), 2)),
    "embedding-pgd": (EmbeddingPGD(), SENTIMENT, lambda: with_head(bert(), 2)),
}
MEASURED = {
    "translate": {"test_perplexity", "test_token_accuracy", "test_exact_match"},
    "classify": {"test_accuracy"},
    "classify-tokens": {"test_accuracy", "test_exact_match"},
    "masked-language": {
        "test_word_perplexity", "test_word_accuracy", "test_next_sentence_accuracy"
    },
    "masked words alone": {"test_word_perplexity", "test_word_accuracy"},
    "left-to-right": {"test_perplexity"},
    "freelb": {"test_accuracy"},
    "embedding-pgd": {"test_accuracy"},
}  # fmt: skip


def recipe(objective, **changed):
    return Recipe(
        objective, epochs=2, batch_tokens=256, optimiser=Optimiser("adam", 0.003),
        schedule=Schedule("inverse-sqrt", warmup=0.2), **changed,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_resumption_is_bit_identical(name, tmp_path, monkeypatch):
    objective, data, build = CASES[name]
    framed, plan = objective.framed(data, FRAMING), recipe(objective, swa=0.5)
    whole = train(build(), framed, plan, out=tmp_path / "whole", test=framed)
    assert {key for key in whole.metrics[-1] if key.startswith("test_")} == MEASURED[name]
    kind, steps = type(objective.begin(build(), framed)), 0

    def accumulate(self, model, batch, original=kind.accumulate):
        nonlocal steps
        steps += 1
        if steps == TextFeed(framed, plan, 0, torch.device("cpu")).steps + 2:
            raise KeyboardInterrupt
        return original(self, model, batch)

    with monkeypatch.context() as context:
        context.setattr(kind, "accumulate", accumulate)
        with pytest.raises(KeyboardInterrupt):
            train(build(), framed, plan, out=tmp_path / "cut", test=framed)
    resumed = train(build(), framed, plan, out=tmp_path / "cut", test=framed, resume=True)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key])
    assert [each["loss"] for each in whole.metrics] == [each["loss"] for each in resumed.metrics]
    # The folder alone gives the network back, its tokeniser too.
    found = load_trained_text(tmp_path / "cut")
    assert found.framing.tokeniser.fingerprint == TOKENISER.fingerprint
    assert found.classes == (data.classes if "test_accuracy" in MEASURED[name] else ())
    for key, value in found.model.state_dict().items():
        assert torch.equal(value, whole.model.state_dict()[key])


def test_every_epoch_has_as_many_batches_of_every_sequence_once():
    framed = Translate().framed(COPY, FRAMING)
    feed = TextFeed(framed, recipe(Translate()), 0, torch.device("cpu"))
    epochs = [feed.order(epoch) for epoch in range(3)]
    for order in epochs:
        assert len(order) == feed.steps
        assert torch.cat(order).sort().values.tolist() == list(range(len(COPY)))
        for ids in order:
            source, target = framed.batch(ids)
            assert max(source.ids.numel(), target.ids.numel()) <= 256
    assert [o.tolist() for o in epochs[0]] != [o.tolist() for o in epochs[1]]
    again = TextFeed(framed, recipe(Translate()), 0, torch.device("cpu"))
    assert [o.tolist() for o in again.order(1)] == [o.tolist() for o in epochs[1]]
    other = TextFeed(framed, recipe(Translate()), 1, torch.device("cpu"))
    assert [o.tolist() for o in other.order(1)] != [o.tolist() for o in epochs[1]]
    # Sequences of like length share a batch: padding is rare.
    batches = [framed.batch(ids)[0] for ids in epochs[0]]
    assert sum(int((~b.keep).sum()) for b in batches) < 0.15 * sum(b.ids.numel() for b in batches)
    plain = TextFeed(framed, Recipe(Translate(), batch_size=50), 0, torch.device("cpu"))
    assert [len(ids) for ids in plain.order(0)] == [50, 50, 20]


def test_masks_change_with_the_epoch_and_not_with_the_batch():
    objective = MaskedLanguage(next_sentence=False)
    framed = objective.framed(SENTIMENT, FRAMING)
    feed = TextFeed(framed, recipe(objective), 0, torch.device("cpu"))

    def hidden(epoch):
        found = {}
        for batch in feed.epoch(epoch):
            masked = objective.masking.apply(
                batch.tokens, batch.seed, batch.ids, batch.epoch, vocabulary=len(TOKENISER)
            )
            found |= {
                i: row[keep].tolist()
                for i, row, keep in zip(
                    batch.ids.tolist(), masked.labels, batch.tokens.keep, strict=True
                )
            }
        return found

    assert hidden(0) == hidden(0) != hidden(1)


def test_it_learns():
    objective = LeftToRight()
    framed = objective.framed(SENTIMENT, FRAMING)
    result = train(bert(RIGHT), framed, replace(recipe(objective), epochs=6), test=framed)
    assert result.metrics[-1]["test_perplexity"] < 0.6 * result.metrics[0]["test_perplexity"]


def test_the_loss_of_words_is_their_mean_whatever_is_beside_them():
    """In float64, against a sum by hand over words that stand alone in their batch."""
    objective = ClassifyTokens(label_smoothing=0.1)
    framed = objective.framed(REPEATS, FRAMING)
    model = with_token_head(bert(), 2).double().eval()
    ids = torch.arange(5)
    tokens, labels = framed.batch(ids)
    running = objective.begin(model, framed)
    made = running.accumulate(model, TrainingBatch(tokens, labels, ids, seed=0))
    total, right, words = 0.0, 0, 0
    for i in ids:
        alone, tags = framed.batch(i[None])
        logits = model(alone)[0].detach()
        for row, tag in zip(logits, tags[0].tolist(), strict=True):
            if tag >= 0:
                p = row.log_softmax(0)
                total -= float(0.9 * p[tag] + 0.1 * p.mean())
                right, words = right + int(row.argmax() == tag), words + 1
    assert float(made.loss) == pytest.approx(total / words, rel=1e-5)  # which is told in float32
    assert made.sums["accuracy"] == (right, words)


@pytest.mark.slow  # a minute
def test_a_task_on_words_is_learned():
    seen, test = (
        load_text("rules:repeats", split=s, limit=n) for s, n in (("train", 16_000), ("test", 1000))
    )
    words = Framing(WordTokeniser.trained([row[0] for row in seen.rows], 40))
    small = {"width": 64, "depth": 2, "heads": 2, "hidden": 128, "dropout": 0.0}
    net = text_model("bert-micro").build(len(words.tokeniser), {**small, "attention_dropout": 0.0})
    objective = ClassifyTokens()
    plan = Recipe(
        objective, epochs=3, batch_tokens=512, optimiser=Optimiser("adam", 0.002),
        schedule=Schedule("cosine", warmup=0.1),
    )  # fmt: skip
    found = train(
        with_token_head(net, 2), objective.framed(seen, words), plan,
        test=objective.framed(test, words),
    )  # fmt: skip
    assert found.metrics[-1]["test_exact_match"] > 0.99


@pytest.mark.slow  # four minutes
def test_a_task_on_pairs_is_learned():
    seen, test = (
        load_text("rules:places", split=s, limit=n) for s, n in (("train", 20_000), ("test", 1000))
    )
    words = Framing(WordTokeniser.trained([text for row in seen.rows for text in row], 60))
    small = {"width": 64, "depth": 2, "heads": 2, "hidden": 128, "dropout": 0.0}
    net = text_model("bert-micro").build(len(words.tokeniser), {**small, "attention_dropout": 0.0})
    objective = Classify()
    plan = Recipe(
        objective, epochs=20, batch_size=64,
        optimiser=Optimiser("adamw", 0.001, weight_decay=0.01, clip_norm=1.0),
        schedule=Schedule("linear", warmup=0.1),
    )  # fmt: skip
    found = train(
        with_head(net, 2), objective.framed(seen, words), plan, test=objective.framed(test, words)
    )
    assert found.metrics[-1]["test_accuracy"] > 0.98


def images():
    return load_data("digits", split="train", limit=8)


def test_what_is_of_images_is_refused():
    framed = Classify().framed(SENTIMENT, FRAMING)
    model = with_head(bert(), 2)
    with pytest.raises(InputError, match="Standard is of images, and rules:sentiment holds texts"):
        train(model, framed, Recipe(Standard(), epochs=1))
    with pytest.raises(InputError, match="Classify is of texts, and digits holds images"):
        train(model, images(), Recipe(Classify(), epochs=1))
    for field, value, told in (
        ("augmentation", "crop-flip", "augmentation are of images, and Classify is of texts"),
        ("mixup", 0.2, "mixup and cutmix mix labels"),
        ("validation", Validation(0.1), "validation chooses by accuracy"),
        ("penalties", ((0.1, lambda model: 0.0),), "penalties are of images"),
        ("transforms", (torch.nn.Identity,), "transforms are of images"),
    ):
        with pytest.raises(InputError, match=told):
            Recipe(Classify(), **{field: value})
    with pytest.raises(InputError, match="batch_tokens is of texts, and Standard is of images"):
        Recipe(Standard(), batch_tokens=100)


def test_what_does_not_fit_is_refused():
    sentences, pairs = (Classify().framed(d, FRAMING) for d in (SENTIMENT, COPY))
    with pytest.raises(InputError, match="Translate trains a Transformer on pairs"):
        train(bert(), Translate().framed(COPY, FRAMING), recipe(Translate()))
    with pytest.raises(InputError, match="rules:sentiment has no pairs of texts to translate"):
        Translate().framed(SENTIMENT, FRAMING)
    with pytest.raises(InputError, match="rules:copy has no labels"):
        train(with_head(bert(), 2), pairs, recipe(Classify()))
    with pytest.raises(InputError, match="rules:sentiment has no class for each word"):
        ClassifyTokens().framed(SENTIMENT, FRAMING)
    with pytest.raises(InputError, match="rules:repeats has no labels"):
        train(with_head(bert(), 2), Classify().framed(REPEATS, FRAMING), recipe(Classify()))
    words = ClassifyTokens().framed(REPEATS, FRAMING)
    with pytest.raises(InputError, match="trains a BERT with a head for the classes of words"):
        train(with_head(bert(), 2), words, recipe(ClassifyTokens()))
    with pytest.raises(InputError, match="the model tells 3 classes, and rules:repeats has 2"):
        train(with_token_head(bert(), 3), words, recipe(ClassifyTokens()))
    with pytest.raises(InputError, match="the model tells 3 classes, and rules:sentiment has 2"):
        train(with_head(bert(), 3), sentences, recipe(Classify()))
    with pytest.raises(InputError, match="give --model-option direction=left-to-right"):
        train(bert(), sentences, recipe(LeftToRight()))
    with pytest.raises(InputError, match=r"the tokeniser has .* tokens and the model 9"):
        train(text_model("bert-micro").build(9, RIGHT), sentences, recipe(LeftToRight()))
    with pytest.raises(InputError, match="set next_sentence=false, or give documents"):
        train(bert(), sentences, recipe(MaskedLanguage()))
    with pytest.raises(
        InputError, match=r"has .* tokens, and a batch 8; give a larger batch_tokens"
    ):
        train(with_head(bert(), 2), sentences, replace(recipe(Classify()), batch_tokens=8))
