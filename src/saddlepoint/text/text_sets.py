"""One function for every source of texts: a rule-made set, a set by its name, or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch

from saddlepoint.counts import check_count
from saddlepoint.data import default_root
from saddlepoint.errors import InputError, unknown
from saddlepoint.reading import expanded, shown
from saddlepoint.reading.records import READERS
from saddlepoint.text.rules import RULES, RuleSet, rule_set
from saddlepoint.text.text_data import TextData
from saddlepoint.text.text_files import TextColumns, read_texts
from saddlepoint.text.translation import PairFilter, without_those_of

RULE = "rules:"
"""What the name of a rule-made set begins with."""
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class TextSet:
    """A set of texts that is looked for below the folder of data.

    Attributes:
        name: a path below that folder.
        what: one line.
        classes: their names; none where there are none.
        splits: that there are; of one without, the one file is all of it.

    >>> TEXT_SETS["text/sentences"].file("test", Path("data")).name
    'sentences-test.parquet'
    """

    name: str
    what: str
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()

    def file(self, split: str, root: Path | str) -> Path:
        """Return the file of a split."""
        return Path(root) / f"{self.name}{f'-{split}' if self.splits else ''}.parquet"


TEXT_SETS: Mapping[str, TextSet] = MappingProxyType(
    {
        each.name: each
        for each in (
            TextSet(
                "text/sentences",
                "film-review sentences, positive or negative (Pang & Lee 2005)",
                ("negative", "positive"),
                _SPLITS,
            ),
            TextSet(
                "text/reviews",
                "long film reviews, positive or negative (Maas et al. 2011)",
                ("negative", "positive"),
            ),
            TextSet("text/verses-en-es", "English and Spanish verses of the Bible", (), _SPLITS),
        )
    }
)
"""The sets by name."""


def is_text(spec: str) -> bool:
    """Return whether a name or a file can be of nothing but texts; a .parquet may be of images.

    >>> is_text("rules:copy"), is_text("reviews.csv"), is_text("digits"), is_text("a.parquet")
    (True, True, False, False)
    """
    suffix = Path(spec).suffix.lower()
    return (
        spec.startswith(RULE) or spec in TEXT_SETS or (suffix in READERS and suffix != ".parquet")
    )


def load_text(
    spec: str,
    *,
    split: str = "test",
    data_root: Path | str | None = None,
    columns: TextColumns | None = None,
    limit: int | None = None,
    words: int | None = None,
    classes: Sequence[str] = (),
) -> TextData:
    """Return the texts that `spec` names.

    `spec` is `rules:NAME`, a name of `TEXT_SETS`, or a .csv, .tsv, .parquet, .jsonl or .txt file,
    which is one set, whatever split is asked for. Of a set of translations, pairs of which one side
    has more than three times the words of the other are left out, and of its training those that
    stand in the test.

    Args:
        spec: which.
        split: "train", "validation", "test" or "all".
        data_root: where named sets lie; None takes SADDLEPOINT_DATA.
        columns: of a file.
        limit: the first so many rows alone; of a rule-made set as many as one likes.
        words: of the source of a translation at most; None is any number.
        classes: of a file, where they are known.

    Raises `InputError` for an unknown name, and as `read_texts`.

    >>> load_text("rules:copy", split="test", limit=1).of_pairs
    True
    """
    if split not in (*_SPLITS, "all"):
        raise unknown("split", split, (*_SPLITS, "all"))
    if limit is not None:
        check_count("limit", limit)
    own = spec.startswith(RULE) or spec in TEXT_SETS
    if own and columns is not None and (columns.texts or columns.label is not None):
        raise InputError(f"columns are of a file, and {spec} has its own; leave them out")
    if spec.startswith(RULE):
        part = "train" if split == "all" else split
        found = of_rules(rule_set(spec.removeprefix(RULE), part, limit))
    elif spec in TEXT_SETS:
        root = default_root() if data_root is None else Path(data_root)
        found = _named(TEXT_SETS[spec], split, root)
    else:
        path = expanded(spec)
        if not path.exists() and not path.suffix:
            raise unknown("set of texts", spec, (*(RULE + name for name in RULES), *TEXT_SETS))
        found = read_texts(path, columns, classes=classes)
    if words is not None:
        found = _short(found, words)
    return found if limit is None else found.first(limit)


def _short(data: TextData, words: int) -> TextData:
    """Return the pairs whose source has at most so many words."""
    check_count("words", words)
    if not data.of_pairs:
        raise InputError(
            f"words are of the sources of translations, and {data.name} holds no pairs"
        )
    some = [i for i, row in enumerate(data.rows) if len(row[0].split()) <= words]
    if not some:
        raise InputError(f"{data.name} has no pair of at most {words} words; allow more")
    return data.at(torch.tensor(some))


def of_rules(found: RuleSet) -> TextData:
    """Return a rule-made set as data: texts with a class each, or one for every word, or pairs of a
    text and its answer.

    >>> of_rules(rule_set("sentiment", "test", 3)).classes
    ('negative', 'positive')
    """
    name, rows, labels, tags = f"{RULE}{found.rule.name}", [], [], []
    for example in found.examples:
        if isinstance(example.answer, str):
            rows.append((*example.texts, example.answer))
            continue
        rows.append(example.texts)
        if isinstance(example.answer, int):
            labels.append(example.answer)
        else:
            tags.append(example.answer)
    data = TextData(name, found.split, tuple(rows))
    if tags:
        return replace(data, classes=found.classes, tags=tuple(tags))
    if labels:
        return replace(data, classes=found.classes, labels=torch.tensor(labels))
    return data


def _named(found: TextSet, split: str, root: Path) -> TextData:
    parts = found.splits if split == "all" else (split,)
    sets = [_part(found, part, root) for part in parts or ("all",)]
    data = replace(
        sets[0],
        rows=tuple(row for each in sets for row in each.rows),
        labels=torch.cat([e.labels for e in sets if e.labels is not None])
        if found.classes
        else None,
        split=split if found.splits else "all",
    )
    if not data.of_pairs:
        return data
    pairs = [(row[0], row[1]) for row in data.rows]
    if split == "train":
        others = [_part(found, part, root).rows for part in _SPLITS[1:]]
        pairs = without_those_of(pairs, *([(r[0], r[1]) for r in rows] for rows in others))
    return replace(data, rows=PairFilter().kept(pairs).pairs)


def _part(found: TextSet, split: str, root: Path) -> TextData:
    path = found.file(split, root)
    if not path.is_file():
        raise InputError(
            f"{found.name} is not below {shown(root)}: no {shown(path.name)}; point --data-root or"
            " SADDLEPOINT_DATA at it, or use rules:copy and the like, which need no file"
        )
    return read_texts(path, split=split, name=found.name, classes=found.classes)
