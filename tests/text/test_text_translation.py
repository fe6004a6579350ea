"""Translation: IBM model 1 on corpora with known answers, BLEU, filters, and the verses."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saddlepoint.errors import InputError
from saddlepoint.text import (
    IBM1,
    PairFilter,
    WordTable,
    baselines,
    bleu,
    fit_ibm1,
    read_pairs,
    without_those_of,
)

BOOKS = [("das haus", "the house"), ("das buch", "the book"), ("ein buch", "a book")]
VERSES = Path(os.environ.get("SADDLEPOINT_DATA", "../shared/data"), "text")


def loop_of_ibm1(pairs, rounds):
    """The published loop, word by word."""
    pairs = [(e.split(), f.split()) for e, f in pairs]
    t = {(f, e): 1.0 for es, fs in pairs for e in es for f in fs}
    for _ in range(rounds):
        count, total = dict.fromkeys(t, 0.0), {}
        for es, fs in pairs:
            for f in fs:
                z = sum(t[f, e] for e in es)
                for e in es:
                    count[f, e] += t[f, e] / z
                    total[e] = total.get(e, 0.0) + t[f, e] / z
        t = {(f, e): count[f, e] / total[e] for f, e in t}
    return t


def test_the_known_rounds_of_three_pairs():
    expected = {1: (0.5, 0.25, 0.25), 2: (0.6364, 0.1818, 0.1818), 3: (0.7479, 0.1208, 0.1313)}
    for rounds, values in expected.items():
        found = fit_ibm1(BOOKS, rounds, null=False).of("das")
        assert (found["the"], found["book"], found["house"]) == pytest.approx(values, abs=1e-4)
    table = fit_ibm1(BOOKS, 200, null=False)
    assert table.of("buch")["book"] > 0.99
    assert table.translated("ein Haus") == "a house"


def test_it_is_the_published_loop():
    pairs = [("a b c", "x y"), ("b b d", "y z w"), ("c", "x"), ("d a", "w w")]
    for rounds in (1, 4):
        found = fit_ibm1(pairs, rounds, null=False)
        for (f, e), value in loop_of_ibm1(pairs, rounds).items():
            assert found.of(e)[f] == pytest.approx(value, rel=1e-12)
    with_null = IBM1(3).fit(pairs)
    for (f, e), value in loop_of_ibm1([(f"∅ {e}", f) for e, f in pairs], 3).items():
        assert with_null.of("" if e == "∅" else e)[f] == pytest.approx(value, rel=1e-12)
    assert sum(with_null.of("a").values()) == pytest.approx(1)
    with pytest.raises(InputError, match="no pairs"):
        fit_ibm1([])


def test_bleu_of_a_known_sentence():
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    # 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples; no penalty
    found = bleu(["the cat sat on the rug"], ["the cat sat on a rug"])
    expected = 100 * math.exp(sum(map(math.log, (5 / 6, 3 / 5, 2 / 4, 1 / 3))) / 4)
    assert found.score == pytest.approx(expected, rel=1e-9)
    assert "tok:13a" in found.signature
    assert bleu(["the cat sat on the rug"], ["The cat sat on a Rug"]).score < found.score
    small = bleu(["the cat sat on the rug"], ["The cat sat on a Rug"], lowercase=True)
    assert small.score == pytest.approx(found.score, rel=1e-12)
    assert "case:lc" in small.signature
    table = WordTable({"what": {"qué": 1.0}, "so": {"¿": 1.0}})
    assert table.translated("So ( What ) ?") == "¿(qué)?"
    with pytest.raises(InputError, match="1 translations and 2 references"):
        bleu(["a"], ["a", "b"])
    with pytest.raises(InputError, match="0 translations"):
        bleu([], [])


def test_pairs_are_filtered_and_splits_made_disjoint():
    pairs = [("a b c", "x"), ("a b c d", "x"), ("", "x"), ("a", "x y z"), ("a b", "x y")]
    kept = PairFilter(words=2).kept(pairs)
    assert (kept.pairs, kept.unequal, kept.long) == ((("a", "x y z"), ("a b", "x y")), 2, 1)
    train = [("One.", "Uno."), ("Two.", "Dos."), ("Three.", "Tres."), ("Three.", "Tres.")]
    assert without_those_of(train, [("one.", "?")], [("?", "dos.")]) == [("Three.", "Tres.")]
    with pytest.raises(InputError, match="ratio is 0; give at least 1"):
        PairFilter(ratio=0)


def test_columns_that_are_not_there_are_told(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"en": ["a\x85"], "es": ["b"]}), path)
    assert read_pairs(path, "en", "es") == [("a…", "b")]
    with pytest.raises(InputError, match="has no column 'source'; it has en, es"):
        read_pairs(path)


@pytest.mark.skipif(not VERSES.is_dir(), reason="the verses are not there")
def test_the_short_verses_and_what_they_are_worth_without_order():
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    splits = {
        name: read_pairs(VERSES / f"verses-en-es-{name}.parquet")
        for name in ("train", "validation", "test")
    }
    every = PairFilter().kept([pair for split in splits.values() for pair in split])
    assert (len(every.pairs) + every.unequal, every.unequal) == (30_993, 51)
    short = {name: PairFilter(words=15).kept(split).pairs for name, split in splits.items()}
    train = without_those_of(short["train"], splits["validation"], splits["test"])
    assert 5100 < len(train) <= 5201
    found = baselines(train, short["test"])
    assert 0 <= found.copied.score < found.words.score < 20
