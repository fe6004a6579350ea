"""From the classes of a data set to the outputs of a model that knows others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from saddlepoint.data.base import ImageData
from saddlepoint.data.checks import MOST_CLASSES
from saddlepoint.data.folder import FolderData
from saddlepoint.data.tensor_data import TensorData
from saddlepoint.errors import InputError, unknown
from saddlepoint.reading import read_json, read_text, shown
from saddlepoint.reading.text import MOST_YAML, given_twice, parse_yaml

_MOST_BYTES = 1 << 22  # of a list: a hundred thousand names of 40 letters
_MOST_LINES = 2 * MOST_CLASSES  # with empty ones and comments
_WORDNET = re.compile("n[0-9]{8}")


@dataclass(frozen=True)
class ClassMap:
    """Which output of a model each class of a data set is.

    Attributes:
        outputs: of each class, in label order.
        names: of all outputs, where the file or a list says; else None.

    >>> ClassMap((281, 207)).names
    """

    outputs: tuple[int, ...]
    names: tuple[str, ...] | None = None

    def applied(self, data: ImageData, count: int) -> ImageData:
        """Return the data with the labels of a model of `count` outputs.

        Raises `InputError` where an output is not one of them, or others are named.

        >>> points = TensorData.of(torch.rand(2, 2), torch.tensor([0, 1]), name="p")
        >>> ClassMap((2, 0)).applied(points, 3).labels
        tensor([2, 0])
        """
        if self.names is not None and len(self.names) != count:
            raise InputError(
                f"the classes are mapped to {len(self.names)} outputs, but the model has {count}"
            )
        if max(self.outputs) >= count:
            raise InputError(
                f"a class is mapped to output {max(self.outputs)}, but the model has {count}: use"
                f" 0 … {count - 1}"
            )
        names = [str(i) for i in range(count)] if self.names is None else list(self.names)
        for output, name in zip(self.outputs, data.classes, strict=True):
            names[output] = name
        if not isinstance(data, TensorData | FolderData):
            raise InputError(f"the classes of a {type(data).__name__} cannot be mapped")
        labels = torch.tensor(self.outputs, device=data.labels.device)[data.labels]
        return replace(data, labels=labels, classes=tuple(names))


def named_outputs(names: Sequence[str], classes: Sequence[str]) -> ClassMap | None:
    """Return which output of a model each of `classes` is, by the names of its outputs; None where
    `classes` are their numbers, which are the outputs'.

    Raises `InputError` for a class that is none of the outputs, or several of them.

    >>> named_outputs(("tabby, tabby cat", "dog"), ("dog", "tabby")).outputs
    (1, 0)
    """
    known = _places(names)
    if len(names) >= len(classes) and all(each == str(i) for i, each in enumerate(classes)):
        return None
    if missing := [each for each in classes if _plain(each) not in known]:
        raise InputError(
            f"of the data's {len(classes)} classes {_some(missing)} is none of the model's {len(names)}"
            f" ({_some(list(names))}); say which outputs they are with --classes FILE"
        )
    return _looked_up(list(classes), names)


def read_class_map(
    path: Path | str, classes: Sequence[str], names: Sequence[str] | None = None
) -> ClassMap:
    """Return which output of a model each of `classes` is, as a file says.

    The file is JSON, YAML or text: a mapping from each class to an output (in text a line each,
    `cat: 281`), or a list with an output for each class in their order, or the list of the names of
    all the model's outputs, in which the classes are looked up. An output is a number, or a name
    or a WordNet id of ImageNet's 1,000 classes, by timm's list; of a model that has `names` for its
    outputs, one of those. Raises `InputError` for a class
    that is missing, a name that is not known, and one that two outputs share.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "classes.txt"
    ...     _ = path.write_text("cat: 281\\ndog: 207\\n")
    ...     read_class_map(path, ("cat", "dog")).outputs
    (281, 207)
    """
    path = Path(path)
    try:
        return _mapped(_content(path, classes), classes, names)
    except InputError as error:
        if shown(path) in str(error):
            raise
        raise InputError(f"{shown(path)}: {error}") from error


def _content(path: Path, classes: Sequence[str]) -> Mapping[str, Any] | list[Any]:
    kind = path.suffix.lower()
    if kind in (".json", ".yaml", ".yml"):
        value = (
            read_json(path, _MOST_BYTES)
            if kind == ".json"
            else parse_yaml(read_text(path, MOST_YAML), shown(path))[0]
        )
        if isinstance(value, Mapping):
            return {_text(key): each for key, each in value.items()}
        if isinstance(value, list):
            return value
        raise InputError("give a mapping from classes to outputs, or a list")
    text = read_text(path, _MOST_BYTES)
    if text.count("\n") > _MOST_LINES:
        raise InputError(f"more than {_MOST_LINES:,} lines, and a model has fewer outputs")
    numbered = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    numbered = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    lines = [line for _, line in numbered]
    pairs = [re.split(r"\s*[\t,:=]\s*", line, maxsplit=1) for line in lines]
    if not {pair[0] for pair in pairs if len(pair) == 2} >= set(classes):
        return lines
    first: dict[str, int] = {}
    for (number, _), pair in zip(numbered, pairs, strict=True):
        if len(pair) == 2 and first.setdefault(pair[0], number) != number:
            raise given_twice(shown(path), pair[0], first[pair[0]], number)
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _mapped(
    content: Mapping[str, Any] | list[Any], classes: Sequence[str], own: Sequence[str] | None
) -> ClassMap:
    if isinstance(content, Mapping):
        missing = [name for name in classes if name not in content]
        if missing:
            raise InputError(f"no output is given for {_some(missing)}")
        return _looked_up([content[name] for name in classes], own)
    names = [_text(each) for each in content]
    ids = len(names) < 1000 and all(_WORDNET.fullmatch(name) for name in names)
    if set(names) >= set(classes) and not ids:
        counts = Counter(names)
        twice = [name for name in classes if counts[name] > 1]
        if twice:
            raise InputError(f"several outputs have the name {_some(twice)}")
        places = {name: output for output, name in enumerate(names)}
        return ClassMap(tuple(places[name] for name in classes), tuple(names))
    if ids and set(names) == set(classes):
        return _looked_up(list(classes), own)
    if len(names) == len(classes):
        return _looked_up(content if isinstance(content, list) else names, own)
    there = set(names)
    missing = [name for name in classes if name not in there]
    raise InputError(
        f"{len(names)} lines and {len(classes)} classes, of which {_some(missing)} is not there;"
        " give a line for each class, such as 'cat: 281'"
    )


def _looked_up(values: Sequence[Any], own: Sequence[str] | None = None) -> ClassMap:
    numbers = [_number(value) for value in values]
    if None not in numbers:
        outputs = tuple(number for number in numbers if number is not None)
        return ClassMap(outputs, None if own is None else tuple(own))
    names, known = _imagenet() if own is None else (tuple(own), _places(own))
    which = "class of ImageNet" if own is None else "class of the model"
    found = []
    for value, number in zip(values, numbers, strict=True):
        if number is not None:
            found.append(number)
            continue
        places = known.get(_plain(str(value)), [])
        if not places:
            # Only the first few near ones are shown: there are two thousand.
            raise InputError(str(unknown(which, shown(value), known)).split(" (")[0])
        if len(places) > 1:
            several = " and ".join(str(place) for place in places)
            raise InputError(
                f"'{shown(value)}' is the name of the outputs {several}; give a number"
            )
        found.append(places[0])
    return ClassMap(tuple(found), names)


def _number(value: Any) -> int | None:
    """Return the output that a number names; None for a text, which may be a class's name."""
    if isinstance(value, str):
        if not re.fullmatch("[0-9]+", value):
            if _is_value(value):
                raise _no_output(value)
            return None
        if len(value.lstrip("0")) >= 10:  # Python takes seconds for a million digits
            raise _no_output(value)
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MOST_CLASSES:
        raise _no_output(value)
    return value


def _is_value(text: str) -> bool:
    if text.lower() in ("true", "false", "null", "none", ""):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(value: Any) -> str:
    # Python writes no decimal numbers of thousands of digits.
    return hex(value) if isinstance(value, int) and value.bit_length() > 64 else str(value)


def _no_output(value: Any) -> InputError:
    return InputError(
        f"output {shown(_text(value)) or 'nothing'} is none of a model; give a whole number from 0 to"
        f" {MOST_CLASSES - 1:,}, or a class's name"
    )


def _imagenet() -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Return the names of ImageNet's outputs, and the outputs by WordNet id and by each name."""
    try:
        from timm import data  # late: optional, and slow to import
    except ImportError as error:
        raise InputError(
            "names of ImageNet's classes need timm's list: pip install 'saddlepoint[zoo]'"
        ) from error
    info: Any = vars(data)["ImageNetInfo"]("imagenet-1k")
    wordnet = [str(each) for each in info.label_names()]
    texts = [str(info.index_to_description(output)) for output in range(len(wordnet))]
    known = _places(texts)
    for output, name in enumerate(wordnet):
        known.setdefault(_plain(name), []).append(output)
    return tuple(text.split(",")[0] for text in texts), known


def _places(texts: Sequence[str]) -> dict[str, list[int]]:
    """Return the outputs by each of the names in their texts, such as `tabby, tabby cat`."""
    known: dict[str, list[int]] = {}
    for output, text in enumerate(texts):
        for name in {_plain(each) for each in (text, *text.split(","))}:
            known.setdefault(name, []).append(output)
    return known


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


def _some(names: Sequence[str]) -> str:
    return ", ".join(shown(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
