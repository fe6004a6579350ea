"""A folder of checkpoints in the layout of RobustBench, with the numbers that were published of each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from saddlepoint.errors import InputError
from saddlepoint.reading import expanded, read_json, shown
from saddlepoint.run_folders import RUN_FILE
from saddlepoint.tables import Shown, Table
from saddlepoint.threat import format_eps, parse_eps

MODELS, INFO = "models", "model_info"
SUFFIXES = (".pt", ".pth", ".safetensors")

_MEMBER = re.compile(r"(.+)_m[0-9]{1,3}")  # of an ensemble, whose members are files of their own
_MOST = 1 << 20  # bytes of what is said of a model
_MOST_ENTRIES = 100_000
_NOTHING = ("", "null", "none", "nan", "n/a")


@dataclass(frozen=True)
class Published:
    """What was published of a model; accuracies in per cent, the budget in units of its norm.

    Attributes:
        clean: accuracy without an attack.
        autoattack: robust accuracy by AutoAttack.
        reported: robust accuracy in its paper.

    >>> Published(clean=91.1, eps=8 / 255).reported
    """

    clean: float | None = None
    autoattack: float | None = None
    reported: float | None = None
    eps: float | None = None
    architecture: str = ""
    title: str = ""
    venue: str = ""
    link: str = ""


@dataclass(frozen=True)
class Entry:
    """A model of a register.

    Attributes:
        dataset, threat, name: its place; the threat is a norm as RobustBench writes it, `Linf`.
        files: of its weights, several of an ensemble; none where they were not fetched.
        published: what is said of it; None where nothing is.
        problem: why what is said of it could not be read.

    >>> Entry("cifar10", "Linf", "Standard").files
    ()
    """

    dataset: str
    threat: str
    name: str
    files: tuple[Path, ...] = ()
    published: Published | None = None
    problem: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return its cells in the table of a register, numbers in per cent."""
        known = self.published or Published()
        return (
            *(shown(each) for each in (self.dataset, self.threat, self.name)),
            ", ".join(dict.fromkeys(file.suffix for file in self.files)) or "not there",
            shown(known.architecture),
            "–" if known.eps is None else format_eps(known.eps),
            *(_percent(each) for each in (known.clean, known.autoattack, known.reported)),
            ", ".join(shown(each) for each in (known.title, known.venue) if each),
        )


COLUMNS = (
    *("data", "threat", "model", "weights", "architecture", "eps"),
    *("clean %", "AutoAttack %", "reported %", "paper"),
)


@dataclass(frozen=True, repr=False)
class Register(Shown):
    """The models below a folder, by data set, threat and name; prints as a table.

    >>> print(Register(Path("robust"), ()))
    robust: 0 models, 0 of them with weights
    data  threat  model  weights  architecture  eps  clean %  AutoAttack %  reported %  paper
    -----------------------------------------------------------------------------------------
    """

    root: Path
    entries: Sequence[Entry]

    @property
    def title(self) -> str:
        """How many models there are."""
        there = sum(bool(each.files) for each in self.entries)
        return f"{shown(self.root)}: {len(self.entries)} models, {there} of them with weights"

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be read of which model."""
        return tuple(each.problem for each in self.entries if each.problem)

    def tables(self) -> tuple[Table, ...]:
        """Return the table that it prints as: a row for each model."""
        rows = [each.cells() for each in self.entries]
        return (Table(self.title, COLUMNS, rows, self.notes),)

    def json(self) -> list[dict[str, Any]]:
        """Return the entries as JSON values.

        >>> Register(Path("robust"), ()).json()
        []
        """
        return [
            {**asdict(each), "files": [shown(file) for file in each.files]} for each in self.entries
        ]


def read_register(root: Path | str) -> Register:
    """Return the models below a folder: `models/DATA/THREAT/NAME.pt` (or `.pth`, `.safetensors`), and
    what `model_info/DATA/THREAT/NAME.json` says of them. Nothing is fetched, no weights are read.

    `root` holds both folders, or is `models` itself. A file that cannot be read is told in the row
    of its model. Raises `InputError` where there is no such folder, or nothing in it.

    >>> read_register("no-such")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: no folder no-such; give one that holds models/DATA/THREAT/NAME.pt, as
    RobustBench writes it
    """
    path = expanded(root)
    if not path.is_dir():
        raise InputError(
            f"no folder {shown(path)}; give one that holds models/DATA/THREAT/NAME.pt, as RobustBench"
            " writes it"
        )
    inside = (path / MODELS).is_dir() or (path / INFO).is_dir()
    weights = path / MODELS if inside else path
    said = path / INFO if inside else path.parent / INFO
    infos = {_place(each, said): each for each in _files(said, (".json",))}
    files: dict[tuple[str, str, str], list[Path]] = defaultdict(list)
    for each in _files(weights, SUFFIXES):
        data, threat, name = _place(each, weights)
        member = _MEMBER.fullmatch(name)
        if member is not None and (data, threat, name) not in infos:
            name = member[1]
        files[data, threat, name].append(each)
    places = sorted({*infos, *files})
    if not places:
        raise InputError(
            f"{shown(path)} holds no models/DATA/THREAT/NAME of {', '.join(SUFFIXES)}, and no"
            " model_info/DATA/THREAT/NAME.json"
        )
    return Register(path, [_entry(each, files.get(each, []), infos.get(each)) for each in places])


def _files(folder: Path, suffixes: Sequence[str]) -> Iterator[Path]:
    """Yield the files two folders below, in order."""
    try:
        found = sorted(each for each in folder.glob("*/*/*") if each.suffix in suffixes)
        # Folders of runs of ours hold tensors that are no models.
        found = [f for f in found if not any((up / RUN_FILE).exists() for up in f.parents[:2])]
    except OSError as error:
        raise InputError(f"cannot look into {shown(folder)}: {error.strerror}") from error
    if len(found) > _MOST_ENTRIES:
        raise InputError(f"{shown(folder)} holds more than {_MOST_ENTRIES:,} models")
    yield from found


def _place(file: Path, root: Path) -> tuple[str, str, str]:
    data, threat, _ = file.relative_to(root).parts
    return data, threat, file.stem


def _entry(place: tuple[str, str, str], files: Sequence[Path], info: Path | None) -> Entry:
    published, problem = None, ""
    if info is not None:
        try:
            published = _published(info)
        except InputError as error:
            problem = str(error).replace("\n", " ")
    return Entry(*place, tuple(files), published, problem)


def _published(path: Path) -> Published:
    given = read_json(path, _MOST)
    if not isinstance(given, dict):
        raise InputError(f"{shown(path)} is no mapping of what is said of a model")
    try:
        return Published(
            clean=_share(given, "clean_acc"),
            autoattack=_share(given, "autoattack_acc"),
            reported=_share(given, "reported"),
            eps=_eps(given),
            architecture=_text(given, "architecture"),
            title=_text(given, "title", "name"),
            venue=_text(given, "venue"),
            link=_text(given, "link"),
        )
    except InputError as error:
        raise InputError(f"{shown(path)}: {error}") from error


def _value(given: Mapping[str, Any], key: str) -> Any:
    """Return a value; None where it is absent, or one of the words for that."""
    value = given.get(key)
    return None if isinstance(value, str) and value.strip().lower() in _NOTHING else value


def _share(given: Mapping[str, Any], key: str) -> float | None:
    value = _value(given, key)
    if value is None:
        return None
    try:
        share = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        share = -1.0
    if not 0 <= share <= 100:
        raise InputError(f"{key} is {shown(value)}, no share in per cent")
    return share


def _eps(given: Mapping[str, Any]) -> float | None:
    value = _value(given, "eps")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InputError(f"eps is {shown(value)}, no budget")
    try:
        return parse_eps(value)
    except (InputError, OverflowError):
        raise InputError(f"eps is {shown(value)}, no budget") from None


def _text(given: Mapping[str, Any], *keys: str) -> str:
    found = (_value(given, key) for key in keys)
    return next((shown(each) for each in found if isinstance(each, str)), "")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}"
