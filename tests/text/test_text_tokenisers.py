"""Tokenisers: there and back, files, special tokens, mended text; sequences and what is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saddlepoint.errors import InputError
from saddlepoint.reading import read_lines
from saddlepoint.text import (
    TOKENISERS,
    CharacterTokeniser,
    Framing,
    WordPieceTokeniser,
    WordTokeniser,
    check_vocabulary,
    load_tokeniser,
    mended,
    next_tokens,
)
from saddlepoint.text.tokens import SPECIAL

TEXTS = ["the lower house is lowest", "a house of the lowest", "el niño está más abajo"] * 4


def made(kind, **options):
    if kind == "wordpiece":
        pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    return TOKENISERS[kind].trained(TEXTS, 80, **options)


@pytest.mark.parametrize("kind", TOKENISERS)
def test_text_goes_there_and_back_and_through_a_file(kind, tmp_path):
    tokeniser = made(kind)
    for text in TEXTS[:3]:
        ids = tokeniser.encode(text)
        assert min(ids) >= len(SPECIAL)
        assert max(ids) < len(tokeniser) <= 80
        assert tokeniser.decode([2, *ids, 3, 0]) == text
    again = load_tokeniser(tokeniser.save(tmp_path / "tokeniser.json"))
    assert type(again) is type(tokeniser)
    assert again.fingerprint == tokeniser.fingerprint == made(kind).fingerprint
    assert again.encode(TEXTS[0]) == tokeniser.encode(TEXTS[0])
    other = TOKENISERS[kind].trained([*TEXTS, "zebra"], 85)
    assert other.fingerprint != tokeniser.fingerprint
    assert made(kind, lower=True).encode("THE") == made(kind, lower=True).encode("the")


@pytest.mark.parametrize("kind", TOKENISERS)
def test_no_text_is_a_special_token(kind):
    tokeniser = made(kind)
    for word in SPECIAL:
        assert not {*tokeniser.encode(f"the {word} house")} & {0, 2, 3, 4, 5, 6}
    assert tokeniser.tokens([0, 4]) == ["[PAD]", "[MASK]"]


def test_pieces_are_put_together():
    tokeniser = made("wordpiece")
    pieces = tokeniser.tokens(tokeniser.encode("lowhouse"))
    assert len(pieces) > 1
    assert pieces[1].startswith("##")
    assert tokeniser.decode(tokeniser.encode("lowhouse")) == "lowhouse"


def test_characters_must_fit():
    with pytest.raises(InputError, match="size is 20, and the characters alone take"):
        made("wordpiece").trained(TEXTS, 20)


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_mending_is_windows_1252_and_touches_nothing_else(text):
    assert not any("\x80" <= x <= "\x9f" for x in mended(text))
    rest = [x for x in text if not "\x80" <= x <= "\x9f"]
    found = mended(text)
    assert [x for x in found if x in rest or x not in "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"] == [
        x for x in found if x in rest
    ]
    assert mended("\x85\x97\x93a\x94") == "…—“a”"
    assert mended(found) == found


def test_the_mended_characters_reach_the_tokens():
    tokeniser = CharacterTokeniser.trained(["wait\x85"], 20)
    assert tokeniser.decode(tokeniser.encode("wait…")) == "wait…"


def test_another_vocabulary_is_refused(tmp_path):
    tokeniser = made("words")
    check_vocabulary(tokeniser, len(tokeniser), tokeniser.fingerprint)
    with pytest.raises(InputError, match="tokens and the model 4000; give the model's own"):
        check_vocabulary(tokeniser, 4000)
    with pytest.raises(InputError, match="the model was trained with abc"):
        check_vocabulary(tokeniser, len(tokeniser), "abc")
    path = tmp_path / "a.json"
    path.write_text('{"kind": "bpe"}')
    with pytest.raises(InputError, match=r"unknown kind of tokeniser in .*'bpe'"):
        load_tokeniser(path)
    path.write_text('{"kind": "words"}')
    with pytest.raises(InputError, match="is not a whole tokeniser"):
        load_tokeniser(path)


def test_a_foreign_wordpiece_is_refused():
    content = json.loads(json.dumps(made("wordpiece").state()["content"]))
    content["model"]["vocab"] = {"[PAD]": 0, "[UNK]": 1, "a": 2}
    with pytest.raises(InputError, match="as its first tokens"):
        WordPieceTokeniser(content)


def test_sequences_have_their_special_tokens_and_are_cut_only_when_asked():
    words = WordTokeniser(["a", "b", "c"])
    whole = Framing(words, most=6)
    assert whole.singles(["a b", "c"]).tokens.ids.tolist() == [[2, 7, 8, 3], [2, 9, 3, 0]]
    assert whole.sources(["a"]).tokens.ids.tolist() == [[7, 6]]
    target = whole.targets(["a b", "c"]).tokens
    assert target.ids.tolist() == [[5, 7, 8], [5, 9, 0]]
    assert next_tokens(target).tolist() == [[7, 8, 6], [9, 6, -100]]
    pair = whole.pairs(["a"], ["b c"]).tokens
    assert (pair.ids.tolist(), pair.segments.tolist()) == (
        [[2, 7, 3, 8, 9, 3]],
        [[0, 0, 0, 1, 1, 1]],
    )
    told = r"text 2 \('a b c a b'\) has 7 tokens with special ones, and at most 6 are read"
    with pytest.raises(InputError, match=told):
        whole.singles(["a", "a b c a b"])
    cut = Framing(words, most=6, truncate=True)
    found = cut.singles(["a b c a b c c", "a", "c c c c c"])
    assert found.cut == 2
    assert found.tokens.ids.tolist()[0] == [2, 7, 8, 9, 7, 3]
    long = cut.pairs(["a b c"], ["c b a"])
    assert long.tokens.ids[0, -1] == 3
    assert long.tokens.lengths.tolist() == [6]
    with pytest.raises(InputError, match="text 2 has no tokens"):
        whole.singles(["a", "  "])
    with pytest.raises(InputError, match="no room for 2 texts"):
        Framing(words, most=4, truncate=True).pairs(["a"], ["b"])
    with pytest.raises(InputError, match="1 first texts and 2 second"):
        whole.pairs(["a"], ["b", "c"])


def test_lines_that_are_no_utf8_are_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffuno\r\ndos\x85y\ntres".encode())
    assert read_lines(path) == ["uno", "dos\x85y", "tres"]
    path.write_bytes(b"uno\ndos\nni\xf1o\n")
    with pytest.raises(
        InputError, match=r"a\.txt, line 3: is not text in UTF-8 \(byte 3 is 0xf1\)"
    ):
        read_lines(path)
