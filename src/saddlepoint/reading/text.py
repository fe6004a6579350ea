"""Text, JSON and YAML, bounded in size and depth."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

from saddlepoint.errors import InputError
from saddlepoint.reading.opened import decoding, read_bytes, shown

_TEXT = 1 << 26  # bytes of a text: the metrics of a million epochs
MOST_YAML = 1 << 18  # bytes of a specification: its parser takes a second for each 100 kB
_DEEP = 60  # levels: what is deeper was not written by us, and recursion ends near 1,000
_NODES = 100_000  # of a YAML tree with its aliases followed, which a few lines can make 10**9


def read_text(path: Path, most: int = _TEXT) -> str:
    """Return the text of a file in UTF-8; raises `InputError` for anything else.

    >>> read_text(Path("no-such.txt"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.txt: No such file or directory
    """
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{shown(path)} is not text in UTF-8") from None


def read_json(path: Path) -> Any:
    """Return the JSON value in `path`; raises `InputError` where it is missing or damaged.

    >>> read_json(Path("no-such.json"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.json: No such file or directory
    """
    content = read_bytes(path, _TEXT)
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
        check_depth(value)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(
            f"{shown(path)} is not valid JSON ({what}); delete it or restore it"
        ) from error
    return value


def check_depth(value: Any) -> None:
    """Raise `ValueError` where lists and mappings are nested more than 60 deep.

    >>> check_depth({"a": [1, 2]})
    """
    level = [value]
    for _ in range(_DEEP):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {_DEEP} deep")


def parse_yaml(text: str, source: str) -> tuple[Any, yaml.Node | None]:
    """Return the values of a YAML text and its tree, which knows the lines.

    Raises `InputError`, with the line, for what is no YAML, and for a text that aliases unfold
    into more than 100,000 values.

    >>> parse_yaml("eps: [0.1, 0.2]", "study.yaml")[0]
    {'eps': [0.1, 0.2]}
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        with decoding(source, "valid YAML"):
            if node is not None:
                _unfolded(node, {}, 0)
        return yaml.safe_load(text), node
    except InputError:
        raise
    except Exception as error:  # odd scalars raise nearly everything
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise InputError(f"{shown(source)}{where} is not valid YAML: {shown(problem)}") from None


def _unfolded(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Return how many values a node holds, those behind aliases counted as often as they are
    named.
    """
    if depth > _DEEP:
        raise ValueError(f"nested more than {_DEEP} deep")
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("an alias inside of what it names")
        return known[id(node)]
    known[id(node)] = 0
    count = 1
    if isinstance(node, yaml.CollectionNode):
        for each in node.value:
            for child in each if isinstance(each, tuple) else (each,):
                count += _unfolded(child, known, depth + 1)
    if count > _NODES:
        raise ValueError(f"it unfolds into more than {_NODES:,} values")
    known[id(node)] = count
    return count


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{shown(digits)[:20]} is too large a number")
    return value
