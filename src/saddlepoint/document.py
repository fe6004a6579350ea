"""A YAML document whose errors name the line, and in which no name may be given twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from saddlepoint.errors import InputError
from saddlepoint.reading import read_text, shown
from saddlepoint.reading.text import MOST_YAML, parse_yaml


@dataclass(frozen=True, eq=False)
class Document:
    """The values of a YAML text and where each of them stands.

    Attributes:
        values: what the text says.
        source: its name, for errors.
        text: the text itself.
        node: the parsed tree, which knows the lines.

    >>> document = parse_document("seeds: 3\\neps: [0.1, 0.2]", "study.yaml")
    >>> document.values["seeds"], document.line(("eps", 1))
    (3, 2)
    """

    values: Any
    source: str
    text: str
    node: yaml.Node | None

    def line(self, path: Sequence[Any]) -> int:
        """Return the line (from 1) of the value at `path`, or of what is nearest above it."""
        node, line = self.node, 1
        for key in path:
            found = _child(node, key)
            if found is None:
                break
            line, node = found
        return line

    def error(self, path: Sequence[Any], message: str) -> InputError:
        """Return the error for the value at `path`."""
        where = ".".join(shown(part) for part in path)
        return InputError(f"{self.source}, line {self.line(path)}: {where}: {message}")


def read_document(path: Path) -> Document:
    """Return the document in a file; raises `InputError` where it is missing or no YAML.

    >>> read_document(Path("no-such.yaml"))
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: cannot read no-such.yaml: No such file or directory
    """
    return parse_document(read_text(path, MOST_YAML), str(path))


def parse_document(text: str, source: str = "given") -> Document:
    """Return the document of a text; a name given twice in one mapping is an error.

    >>> parse_document("variants: {a: [], a: []}")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: given, line 1: the name 'a' is given twice (first in line 1)
    """
    values, node = parse_yaml(text, source)
    return Document(values, source, text, node)


def _child(node: yaml.Node | None, key: Any) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        value = node.value[key]
        return value.start_mark.line + 1, value
    return None
