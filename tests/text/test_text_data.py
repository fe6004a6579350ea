"""Texts from files, by their columns, and what is refused; sequences and their lengths."""

import re
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from saddlepoint.errors import InputError
from saddlepoint.text import (
    CharacterTokeniser,
    Framing,
    NextSentences,
    Sentences,
    TaggedWords,
    TextColumns,
    TextData,
    Translations,
    WordTokeniser,
    load_text,
    read_texts,
)
from saddlepoint.text.tokens import IGNORED

ROWS = [("a fine film", "good"), ("dull, and long", "bad")]


def written(folder, kind):
    path = folder / f"a.{kind}"
    if kind == "parquet":
        columns = zip(*ROWS, strict=True)
        pq.write_table(
            pa.table(dict(zip(("text", "label"), map(list, columns), strict=True))), path
        )
    elif kind == "jsonl":
        path.write_text("".join(f'{{"text": "{a}", "label": "{b}"}}\n\n' for a, b in ROWS))
    else:
        mark = {"csv": ",", "tsv": "\t"}[kind]
        lines = [mark.join(("label", "text")), *(f'{b}{mark}"{a}"' for a, b in ROWS)]
        path.write_bytes("\r\n".join(lines).encode())
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_every_form_holds_the_same_texts(kind, tmp_path):
    data = read_texts(written(tmp_path, kind))
    assert data.rows == tuple((text,) for text, _ in ROWS)
    assert data.classes == ("bad", "good")
    assert data.labels.tolist() == [1, 0]
    assert data.fingerprint == read_texts(written(tmp_path, "csv")).fingerprint


def test_lines_are_texts_and_pairs_have_two_columns(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    assert read_texts(tmp_path / "a.txt").rows == (("one",), ("two",))
    (tmp_path / "b.csv").write_text("en,es,n\none,uno,1\n")
    data = read_texts(tmp_path / "b.csv", TextColumns(("en", "es")))
    assert data.rows == (("one", "uno"),)
    assert data.of_pairs
    assert data.labels is None


BAD = [
    (b"text\nfine\ncaf\xe9\n", "a.csv, line 3: is not text in UTF-8 .byte 4 is 0xe9"),
    (b"text,label\nfine,1\n  ,0\n", "a.csv, line 3: the text is empty; leave empty sentences out"),
    (b"words,label\nfine,1\n", "a.csv has no column 'text'; it has words, label"),
    (b"text,label\nfine,1\ngood,-1\n", "a.csv, line 3: the label -1 is no class"),
    (b"text,label\nfine,1\ngood,\n", "a.csv, line 3: the label is '', which is no class"),
    (b"text,label\nfine,1\ngood,  \n", "a.csv, line 3: the label is '  ', which is no class"),
    (b"text,label\nfine,yes\ngood,0.5\n", "a.csv, line 3: the label is '0.5', which is no class"),
    (b"text,label\nfine,1,2\n", "a.csv, line 2: has 3 cells, and there are 2 columns"),
    (b"text,text\nfine,1\n", "names the column 'text' twice"),
    (b"", "a.csv is empty"),
    (b"text\n", "a.csv holds no texts"),
]


@pytest.mark.parametrize(("content", "told"), BAD)
def test_bad_files_are_named_with_the_line(content, told, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told):
        read_texts(path, classes=("no", "yes"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"text": "a", "label": 1.5}', "line 2: the label is 1.5, which is no class"),
        ('{"text": "a", "label": true}', "line 2: the label is True, which is no class"),
        ('{"text": "a", "label": 2}', "line 2: the label 2 is no class; use 0 … 1"),
        ('{"text": 3, "label": 0}', "line 2: 'text' is 3; give a text"),
        ('{"label": 0}', "line 2: 'text' is None; give a text"),
        ("[1]", "line 2: is a list; give an object in every line"),
        ("{", "line 2: is no JSON"),
    ],
)
def test_bad_lines_of_json_are_named(line, told, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine", "label": 1}\n' + line + "\n")
    with pytest.raises(InputError, match=told):
        read_texts(path, classes=("no", "yes"))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.37, 1.5), "the label is '?0.37'?, which is no class"),
        ((1990, 2020), "the label is 2020, and there are only 2 classes; number them from 0"),
        ((1234567, 7654321), "which is no class|and there are only 2 classes"),
    ],
)
def test_measures_are_no_classes_in_any_form(kind, values, told, tmp_path):
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"text": ["a", "b"], "label": list(values)}), path)
    elif kind == "jsonl":
        path.write_text("".join(f'{{"text": "a", "label": {each}}}\n' for each in values))
    else:
        path.write_text("text,label\n" + "".join(f"a,{each}\n" for each in values))
    with pytest.raises(InputError, match=told):
        read_texts(path)
    assert read_texts(path, TextColumns(labelled=False)).labels is None


def test_text_of_parquet_that_is_no_utf8_is_told_with_its_row(tmp_path):
    raw = pa.array([b"fine", b"caf\xe9"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    told = "a.parquet, row 1: 'text' is not text in UTF-8 .byte 4 is 0xe9"
    with pytest.raises(InputError, match=told):
        read_texts(tmp_path / "a.parquet")


def test_unknown_sources_are_named(tmp_path):
    with pytest.raises(InputError, match="unknown rule-made set 'cpoy'; did you mean 'copy'"):
        load_text("rules:cpoy")
    with pytest.raises(InputError, match="unknown set of texts 'verses'"):
        load_text("verses")
    with pytest.raises(InputError, match=r"text/reviews is not below .*rules:copy"):
        load_text("text/reviews", data_root=tmp_path)
    with pytest.raises(InputError, match=r"is no file of texts by its suffix; give one of \.csv"):
        read_texts(tmp_path / "a.doc")


def test_a_class_for_each_word_stands_at_its_first_token():
    data = load_text("rules:repeats", limit=30)
    assert data.labels is None
    words = Framing(CharacterTokeniser(sorted(set("abcdefghijklmnopqrstuvwxyz"))))
    tokens, tags = TaggedWords(data, words).batch(torch.arange(7, 20))
    assert tags.shape == tokens.ids.shape
    for row, ids, own in zip(data.rows[7:20], tokens.ids, tags, strict=True):
        letters = row[0].split()
        assert own[own != IGNORED].tolist() == [
            int(x in letters[:i]) for i, x in enumerate(letters)
        ]
        assert words.tokeniser.tokens(ids[own != IGNORED].tolist()) == letters
    long = TextData("long", "all", (("ab c abc",),), classes=("x", "y"), tags=((1, 0, 1),))
    cut = TaggedWords(long, Framing(words.tokeniser, 5, truncate=True))
    tokens, tags = cut.batch(torch.tensor([0]))
    assert words.tokeniser.tokens(tokens.ids[0].tolist()) == ["[CLS]", "a", "b", "c", "[SEP]"]
    assert tags.tolist() == [[IGNORED, 1, IGNORED, 0, IGNORED]]
    assert cut.cut == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            '{"text": "a b", "label": ["x"]}',
            "row 1: has 2 words and 1 tags; give one for each word",
        ),
        (
            '{"text": "a b", "label": 1}',
            "line 2: the label is 1; give a list, a class for each word",
        ),
        ('{"text": "a b", "label": ["x", 1.5]}', "line 2: the label is 1.5, which is no class"),
        (
            '{"text": "a b", "label": ["x", "z"]}',
            "line 2: the label 'z' is no class; there are x, y",
        ),
    ],
)
def test_classes_of_words_come_from_files(line, told, tmp_path):
    path = tmp_path / "a.jsonl"
    good = '{"text": "fine words", "label": ["y", "x"]}\n'
    path.write_text(good)
    data = read_texts(path)
    assert (data.tags, data.classes) == (((1, 0),), ("x", "y"))
    assert data.at(torch.tensor([0])).fingerprint == data.fingerprint
    assert data.fingerprint != replace(data, tags=((0, 1),)).fingerprint
    path.write_text(good + line)
    with pytest.raises(InputError, match=re.escape(told)):
        read_texts(path, classes=("x", "y"))


def test_splits_of_rules_share_no_text():
    parts = [set(load_text("rules:copy", split=s, limit=500).rows) for s in ("train", "test")]
    assert not parts[0] & parts[1]


TOKENISER = WordTokeniser(["a", "b", "c", "d", "e."])
PAIRS = TextData("pairs", "all", (("a b c", "d"), ("a", "b c d a"), ("d d", "a")))


def test_batches_are_as_long_as_their_longest_and_lengths_are_of_the_longer_side():
    framed = Translations(PAIRS, Framing(TOKENISER))
    source, target = framed.batch(torch.tensor([2, 1]))
    assert source.ids.tolist() == [[10, 10, 6], [7, 6, 0]]
    assert target.ids.tolist() == [[5, 7, 0, 0, 0], [5, 8, 9, 10, 7]]
    assert framed.lengths.tolist() == [4, 5, 3]
    cut = Translations(PAIRS, Framing(TOKENISER, most=3, truncate=True))
    assert cut.cut == 2  # a source and a target
    assert int(cut.lengths.max()) == 3


def test_the_fingerprint_knows_texts_tokeniser_and_framing():
    base = Sentences(PAIRS, Framing(TOKENISER))
    others = [
        Translations(PAIRS, Framing(TOKENISER)),
        Sentences(PAIRS, Framing(TOKENISER, most=30)),
        Sentences(PAIRS, Framing(WordTokeniser(["a"]))),
        Sentences(PAIRS.first(2), Framing(TOKENISER)),
    ]
    assert len({each.fingerprint for each in (base, *others)}) == 5
    assert base.fingerprint == Sentences(PAIRS, Framing(TOKENISER)).fingerprint


def test_pairs_of_documents_follow_from_the_seed():
    rows = tuple((f"A{i} b. C{i} d. E{i} e. F a.",) for i in range(8))
    data = TextData("documents", "all", rows)
    one, again, other = (NextSentences(data, Framing(TOKENISER), seed) for seed in (0, 0, 1))
    labels = [each.batch(torch.arange(len(each)))[1] for each in (one, again, other)]
    assert torch.equal(labels[0], labels[1])
    assert not torch.equal(labels[0], labels[2])
    assert one.fingerprint == again.fingerprint != other.fingerprint


def test_half_a_character_is_no_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "the \\ud800 music"}\n')
    with pytest.raises(InputError, match="line 1: holds half of a character"):
        read_texts(path)
