"""Pairs of sentences for translation, and how good translations of them are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saddlepoint.errors import InputError
from saddlepoint.option_values import Count, Interval, check_fields
from saddlepoint.reading import shown
from saddlepoint.text.alignment import IBM1, Pairs
from saddlepoint.text.mending import mended


@dataclass(frozen=True)
class Bleu:
    """BLEU, from 0 to 100, and how it was counted.

    >>> Bleu(100.0, "nrefs:1").score
    100.0
    """

    score: float
    signature: str
    """Of sacrebleu; two scores can be compared only where it is the same."""


@dataclass(frozen=True)
class PairFilter:
    """Which pairs are translations that one can learn from.

    Args:
        ratio: the longer text has at most so many times the words of the other: titles and shifted
            lines have more.
        words: of the source at most; None is any number.

    >>> kept = PairFilter(ratio=3, words=2).kept([("a b", "x"), ("a b c", "x y"), ("a", "x y z w")])
    >>> kept.pairs, kept.unequal, kept.long
    ((('a b', 'x'),), 1, 1)
    """

    ratio: float = 3.0
    words: Count | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        Interval("[1, inf)", "give at least 1").check("ratio", self.ratio)

    def kept(self, pairs: Iterable[tuple[str, str]]) -> Kept:
        """Return the pairs that stay, and how many do not."""
        found, unequal, long = [], 0, 0
        for source, target in pairs:
            lengths = sorted((len(source.split()), len(target.split())))
            if not lengths[0] or lengths[1] > self.ratio * lengths[0]:
                unequal += 1
            elif self.words is not None and len(source.split()) > self.words:
                long += 1
            else:
                found.append((source, target))
        return Kept(tuple(found), unequal, long)


@dataclass(frozen=True)
class Kept:
    """Pairs that a filter let through.

    Attributes:
        pairs: those that stay.
        unequal: how many were left out since one side is empty or much longer.
        long: how many since the source is too long.

    >>> len(Kept((("a", "x"),), 0, 0).pairs)
    1
    """

    pairs: tuple[tuple[str, str], ...]
    unequal: int
    long: int


def read_pairs(
    path: Path | str, source: str = "source", target: str = "target"
) -> list[tuple[str, str]]:
    """Return the pairs in two columns of a Parquet file, mended.

    Raises `InputError` where the file is missing or damaged, or has no such column.

    >>> read_pairs("no-such.parquet")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.parquet: No such file or directory
    """
    from saddlepoint.reading.tables import column_names, read_table

    path = Path(path)
    names = column_names(path)
    for name in (source, target):
        if name not in names:
            raise InputError(
                f"{shown(path)} has no column '{name}'; it has {', '.join(map(shown, names))}"
            )
    table = read_table(path)
    columns = (table[name].to_pylist() for name in (source, target))
    return [(mended(str(a)), mended(str(b))) for a, b in zip(*columns, strict=True)]


def without_those_of(pairs: Pairs, *others: Pairs) -> list[tuple[str, str]]:
    """Return the pairs without those whose source or target is in other splits, capitals and spaces
    apart, and each once.

    >>> without_those_of([("A b", "x"), ("c", "y"), ("c", "y")], [("a  B", "z")])
    [('c', 'y')]
    """
    sources = {_plain(source) for other in others for source, _ in other}
    targets = {_plain(target) for other in others for _, target in other}
    return [
        (source, target)
        for source, target in dict.fromkeys(pairs)
        if _plain(source) not in sources and _plain(target) not in targets
    ]


def bleu(written: Sequence[str], references: Sequence[str], *, lowercase: bool = False) -> Bleu:
    """Return the BLEU of translations against one reference each, by sacrebleu (extra `text`).

    Papineni et al. 2002; Post, A Call for Clarity in Reporting BLEU Scores, 2018, arXiv:1804.08771.

    Args:
        written: translations.
        references: as many.
        lowercase: whether a capital is the same as its small letter, for what writes none.

    Raises `InputError` where they are not as many, or there are none.

    >>> bleu(["a", "b"], ["a"])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: there are 2 translations and 1 references; give one reference for each
    """
    if len(written) != len(references) or not references:
        raise InputError(
            f"there are {len(written)} translations and {len(references)} references; give one"
            " reference for each"
        )
    metric = _sacrebleu().BLEU(lowercase=lowercase)
    found = metric.corpus_score(list(written), [list(references)])
    return Bleu(float(found.score), str(metric.get_signature()))


@dataclass(frozen=True)
class Baselines:
    """What a translation is worth that has learned nothing of order; capitals count as small letters,
    since the table knows none.

    Attributes:
        copied: BLEU of the sources themselves.
        words: BLEU of a translation word for word by IBM model 1.

    >>> Baselines(Bleu(1.0, ""), Bleu(9.0, "")).words.score
    9.0
    """

    copied: Bleu
    words: Bleu


def baselines(train: Pairs, test: Pairs, model: IBM1 | None = None) -> Baselines:
    """Return the BLEU of two translations of `test`: its sources, and word for word by a table that is
    fitted to `train`.

    >>> baselines([], [("ein haus", "a house")])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: there are no pairs of sentences to fit to; give at least one
    """
    table = (model or IBM1()).fit(train)
    sources, references = [s for s, _ in test], [t for _, t in test]
    return Baselines(
        bleu(sources, references, lowercase=True),
        bleu([table.translated(s) for s in sources], references, lowercase=True),
    )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise InputError(
            "BLEU needs the library sacrebleu; install it with: pip install 'saddlepoint[text]'"
        ) from error
    return metrics
