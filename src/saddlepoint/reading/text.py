"""Text, JSON and YAML, bounded in size and depth."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
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


def read_lines(path: Path, most: int = _TEXT) -> list[str]:
    """Return the lines of a file in UTF-8, without what ends them; raises `InputError`, with the line,
    for anything else.

    A line ends at a line feed alone: what text itself holds (\\x85, \\u2028) divides nothing.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.txt"
    ...     _ = path.write_bytes(b"one\\ncaf\\xe9\\n")
    ...     read_lines(path)
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: ...a.txt, line 2: is not text in UTF-8 (byte 4 is 0xe9); ...
    """
    content = read_bytes(path, most).removeprefix(b"\xef\xbb\xbf")
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(line.removesuffix(b"\r").decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(
                f"{shown(path)}, line {number}: is not text in UTF-8 (byte {error.start + 1} is"
                f" {line[error.start]:#04x}); save the file in UTF-8"
            ) from None
    return found


def read_json(path: Path, most: int = _TEXT) -> Any:
    """Return the JSON value in `path`, of at most `most` bytes.

    Raises `InputError` where it is missing or damaged, or gives a name twice in one object.

    >>> read_json(Path("no-such.json"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.json: No such file or directory
    """
    content = read_bytes(path, most)
    try:
        text = content.decode("utf-8")
        value = json.loads(
            text,
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=lambda pairs: _object(pairs, text, shown(path)),
        )
        check_depth(value)
    except InputError:
        raise
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

    Raises `InputError`, with the line, for what is no YAML, for a name that is given twice in one
    mapping, and for a text that aliases unfold into more than 100,000 values.

    >>> parse_yaml("eps: [0.1, 0.2]", "study.yaml")[0]
    {'eps': [0.1, 0.2]}
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        with decoding(source, "valid YAML"):
            if node is not None:
                _unfolded(node, {}, 0)
                _refuse_duplicates(node, source, set())
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


def _refuse_duplicates(node: yaml.Node, source: str, seen: set[int]) -> None:
    if id(node) in seen:  # an alias may point to what was seen before
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicates(value, source, seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for name, value in node.value:
            line = name.start_mark.line + 1
            if isinstance(name, yaml.ScalarNode):
                if name.value in lines and name.value != "<<":
                    raise given_twice(shown(source), name.value, lines[name.value], line)
                lines[name.value] = line
            _refuse_duplicates(value, source, seen)


def given_twice(source: str, name: str, first: int, second: int) -> InputError:
    """Return the error of a name that stands in two lines where it may stand in one.

    >>> print(given_twice("a.txt", "cat", 1, 3))
    a.txt, line 3: the name 'cat' is given twice (first in line 1)
    """
    return InputError(
        f"{source}, line {second}: the name '{shown(name)}' is given twice (first in line {first})"
    )


def _object(pairs: list[tuple[str, Any]], text: str, source: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        name, count = counts.most_common(1)[0]
        places = [each.start() for each in re.finditer(f"{re.escape(json.dumps(name))}\\s*:", text)]
        if len(places) != count:  # other objects have the name too, or it is escaped
            raise InputError(f"{source}: the name '{shown(name)}' is given twice")
        lines = [text.count("\n", 0, place) + 1 for place in places[:2]]
        raise given_twice(source, name, *lines)
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{shown(digits)[:20]} is too large a number")
    return value
