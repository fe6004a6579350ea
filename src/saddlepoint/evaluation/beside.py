"""What evaluations found of the checkpoints of a register, beside what was published."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saddlepoint.errors import InputError
from saddlepoint.evaluation.evaluation_folders import read_evaluations
from saddlepoint.evaluation.left import attacks_left
from saddlepoint.evaluation.record import RECORD_FILE, Evaluation
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.evaluation.tables import norm_text
from saddlepoint.reading import file_digest, shown
from saddlepoint.tables import Shown, Table
from saddlepoint.threat import format_eps
from saddlepoint.zoo.register import COLUMNS, Entry, Register

_MOST = 10_000  # evaluations


@dataclass(frozen=True)
class Ours:
    """What one evaluation found of a checkpoint at one budget.

    Attributes:
        evaluation: the shortest ending of its folder that tells it from the others.
        norm, eps: the adversary, in the units of the norm; none where no budget was evaluated.
        verdict: whether the number can be trusted, in a word.

    >>> Ours("quick", "Linf", 8 / 255, Proportion(9, 10), Proportion(3, 10), "sound").clean.count
    9
    """

    evaluation: str
    norm: str
    eps: float | None
    clean: Proportion
    robust: Proportion | None
    verdict: str

    def cells(self) -> tuple[str, ...]:
        """Return its cells beside those of its model."""
        budget = "–" if self.eps is None else f"{self.norm} {format_eps(self.eps)}"
        robust = "–" if self.robust is None else str(self.robust)
        return budget, str(self.clean), robust, f"{self.clean.total:,}", self.verdict

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **{key: getattr(self, key) for key in ("evaluation", "norm", "eps", "verdict")},
            "clean_accuracy": self.clean.json(),
            "robust_accuracy": None if self.robust is None else self.robust.json(),
        }


_OURS = ("our budget", "our clean", "our robust", "images", "verdict")


@dataclass(frozen=True, repr=False)
class Beside(Shown):
    """A register with what evaluations found of its checkpoints; prints as a table.

    Attributes:
        register: the models, and what was published of them.
        found: what was found, by the place of the model in the register.
        unmatched: evaluations of other weights.

    >>> Beside(Register(Path("robust"), ()), {}).json()
    []
    """

    register: Register
    found: Mapping[int, Sequence[Ours]]
    unmatched: tuple[str, ...] = ()

    def tables(self) -> tuple[Table, ...]:
        """Return the table that it prints as: a row for each model and evaluation of it."""
        rows = []
        for number, entry in enumerate(self.register.entries):
            *told, paper = entry.cells()
            for ours in self.found.get(number, ()) or (None,):
                beside = ("–",) * len(_OURS) if ours is None else ours.cells()
                rows.append((*told, *beside, paper))
        notes = list(self.register.notes)
        if self.unmatched:
            names = ", ".join(shown(each) for each in self.unmatched[:5])
            more = ", …" if len(self.unmatched) > 5 else ""
            notes.append(f"of no checkpoint here, by the fingerprint of the weights: {names}{more}")
        *columns, last = COLUMNS
        return (Table(self.register.title, (*columns, *_OURS, last), rows, tuple(notes)),)

    def json(self) -> list[dict[str, Any]]:
        """Return the entries as JSON values, each with what was found of it."""
        return [
            {**each, "ours": [ours.json() for ours in self.found.get(number, ())]}
            for number, each in enumerate(self.register.json())
        ]


def beside(register: Register, folders: Sequence[Path | str]) -> Beside:
    """Return a register with what evaluations in `folders`, or anywhere below them, found of the same
    weights: those of which the file has the fingerprint that the evaluation recorded.

    Of each evaluation it is the published budget in the published norm, where that was evaluated, and
    else its largest. Raises `InputError` for a folder without a finished evaluation, and for a damaged
    one.

    >>> beside(Register(Path("robust"), ()), ["runs/none"])
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: runs/none holds no finished evaluation, nor does a folder below it;
    give those that `saddlepoint evaluate` has finished
    """
    paths = dict.fromkeys(each for folder in folders for each in _below(Path(folder)))
    records = read_evaluations([*paths])
    by_weights: dict[str, list[str]] = defaultdict(list)
    for name, record in records.items():
        if (digest := _weights(record)) is not None:
            by_weights[digest].append(name)
    found: dict[int, list[Ours]] = {}
    taken: set[str] = set()
    for number, entry in enumerate(register.entries if by_weights else ()):
        digests = [file_digest(file) for file in entry.files]
        names = [name for digest in digests for name in by_weights.get(digest, ())]
        if names:
            found[number] = [_ours(name, records[name], entry) for name in names]
            taken.update(names)
    return Beside(register, found, tuple(name for name in records if name not in taken))


def _below(folder: Path) -> Iterator[Path]:
    if (folder / RECORD_FILE).exists():
        yield folder
        return
    found = sorted(each.parent for each in folder.rglob(RECORD_FILE)) if folder.is_dir() else []
    if not found:
        raise InputError(
            f"{shown(folder)} holds no finished evaluation, nor does a folder below it; give those that"
            " `saddlepoint evaluate` has finished"
        )
    if len(found) > _MOST:
        raise InputError(f"{shown(folder)} holds more than {_MOST:,} evaluations; give fewer")
    yield from found


def _weights(record: Evaluation) -> str | None:
    """Return the fingerprint of the file of weights; None where the evaluation knows of none."""
    identity = record.config.get("identity")
    weights = identity.get("weights") if isinstance(identity, dict) else None
    digest = weights.get("fingerprint") if isinstance(weights, dict) else None
    return digest if isinstance(digest, str) else None


def _ours(name: str, record: Evaluation, entry: Entry) -> Ours:
    norm, verdict = norm_text(record.config), record.verdict
    chosen = max(record.budgets, key=lambda each: each.eps, default=None)
    wanted = None if entry.published is None else entry.published.eps
    if wanted is not None and norm.lower() == entry.threat.lower():
        same = [b for b in record.budgets if math.isclose(b.eps, wanted, rel_tol=1e-6)]
        chosen = same[0] if same else chosen
    told = "not examined" if verdict is None else verdict.judgement
    return Ours(
        name,
        norm,
        None if chosen is None else chosen.eps,
        record.clean,
        None if chosen is None else chosen.robust_accuracy,
        "not finished: robust is at most that" if attacks_left(record.left) else told,
    )
