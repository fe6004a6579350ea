"""Masking of words and pairs of sentences: counts, what is never chosen, and what draws depend on."""

from __future__ import annotations

import pytest
import torch

from saddlepoint.errors import InputError
from saddlepoint.text import MASKINGS, Masking, Tokens, documents_of, padded, sentence_pairs
from saddlepoint.text.tokens import IGNORED, MASK, SPECIAL

V = 1000


def many(n=10_000, t=104):
    """A million words with [CLS], [SEP] and padding."""
    ids = torch.randint(7, V, (n, t), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, 101], ids[:, 102:] = 2, 3, 0
    return Tokens(ids, (ids != 0))


def test_a_million_words_are_masked_as_published():
    tokens = many()
    found = Masking().apply(tokens, 0, torch.arange(len(tokens)), epoch=3, vocabulary=V)
    words = tokens.ids >= len(SPECIAL)
    chosen = found.labels != IGNORED
    assert int(words.sum()) == 1_000_000
    assert not bool((chosen & ~words).any())
    assert abs(chosen.sum().item() / 1e6 - 0.15) < 0.001
    new, old = found.tokens.ids[chosen], tokens.ids[chosen]
    assert torch.equal(found.labels[chosen], old)
    assert torch.equal(found.tokens.ids[~chosen], tokens.ids[~chosen])
    masked, same = (new == MASK).double().mean().item(), (new == old).double().mean().item()
    other = 1 - masked - same
    assert abs(masked - 0.8) < 0.003
    assert abs(same - (0.1 + 0.1 / (V - 7))) < 0.003  # a random word may be the old one
    assert abs(other - 0.1 * (1 - 1 / (V - 7))) < 0.003
    drawn = new[(new != MASK) & (new != old)]
    assert (int(drawn.min()), int(drawn.max())) == (7, V - 1)


def test_draws_follow_from_seed_id_epoch_and_place_alone():
    tokens, ids = many(40), torch.arange(40)
    masking = MASKINGS["published"]
    whole = masking.apply(tokens, 0, ids, 1, V)
    part = masking.apply(tokens.at(slice(5, 9)), 0, ids[5:9], 1, V)
    assert torch.equal(part.tokens.ids, whole.tokens.ids[5:9])
    shorter = Tokens(tokens.ids[:, :50], tokens.keep[:, :50])
    cut = masking.apply(shorter, 0, ids, 1, V)
    assert torch.equal(cut.labels, whole.labels[:, :50])
    for changed in (
        masking.apply(tokens, 1, ids, 1, V),
        masking.apply(tokens, 0, ids, 2, V),
        masking.apply(tokens, 0, ids + 1, 1, V),
    ):
        assert not torch.equal(changed.labels, whole.labels)


@pytest.mark.parametrize(("name", "masked", "kept"), [("all-masked", 1, 0), ("all-random", 0, 0)])
def test_other_mixes_are_what_they_say(name, masked, kept):
    tokens = many(200)
    found = MASKINGS[name].apply(tokens, 0, torch.arange(200), 0, V)
    chosen = found.labels != IGNORED
    new = found.tokens.ids[chosen]
    assert (new == MASK).double().mean().item() == masked
    assert (new == tokens.ids[chosen]).double().mean().item() == pytest.approx(kept, abs=0.005)


def test_a_mix_of_more_than_all_is_refused():
    with pytest.raises(InputError, match="masked 0.8 and random 0.3 are more than all"):  # noqa: RUF043
        Masking(random=0.3)
    with pytest.raises(InputError, match="share is 0"):
        Masking(share=0)
    with pytest.raises(InputError, match="masked is 2"):
        Masking(masked=2)


def test_half_of_the_pairs_are_of_other_documents():
    documents = [[f"{d}-{i}" for i in range(2 + d % 5)] for d in range(800)] + [["alone"]] * 50
    pairs = sentence_pairs(documents, seed=0)
    assert len(pairs) == sum(len(each) - 1 for each in documents)
    for pair in pairs:
        (d, i), (e, j) = (map(int, x.split("-")) for x in (pair.first, pair.second))
        assert pair.documents == (d, e)
        assert (d, i + 1) == (e, j) if pair.label == 0 else d != e
    share = sum(pair.label for pair in pairs) / len(pairs)
    assert abs(share - 0.5) < 4 * (0.25 / len(pairs)) ** 0.5
    again, later = sentence_pairs(documents, seed=0), sentence_pairs(documents, seed=0, epoch=1)
    assert again == pairs != later
    negatives = {pair.documents[1] for pair in pairs if pair.label}
    assert len(negatives) > 400  # all over the place


def test_documents_are_split_and_lonely_ones_left_out():
    texts = ["It was good.<br /><br />I liked it! Did you?", "One.", "It was 2.5 h. Long."]
    assert documents_of([*texts, texts[0]]) == [
        ["It was good.", "I liked it!", "Did you?"],
        ["It was 2.5 h.", "Long."],
    ]
    with pytest.raises(InputError, match="1 document has two sentences or more"):
        sentence_pairs([["a", "b"], ["c"]], seed=0)


def test_segments_say_which_sentence_a_token_is_of():
    batch = padded([[2, 7, 3, 8, 3], [2, 7, 3]], [[0, 0, 0, 1, 1], [0, 0, 0]])
    found = Masking().apply(batch, 0, torch.arange(2), 0, V)
    assert torch.equal(found.tokens.segments, batch.segments)
    assert found.tokens.at(slice(0, 1)).segments.tolist() == [[0, 0, 0, 1, 1]]
