"""CorruptionAccuracy: the accuracy of a model under every corruption, and what it comes to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saddlepoint.errors import InputError
from saddlepoint.evaluation.mean_share import MeanShare
from saddlepoint.evaluation.record import proportion_of
from saddlepoint.evaluation.statistics import Proportion
from saddlepoint.files import write_json
from saddlepoint.reading import decoding, read_json, shown
from saddlepoint.tables import Shown, Table

RECORD_FILE = "corruptions.json"
_SAME = {
    "data": "other images",
    "seed": "another seed",
    "constants": "other constants",
    "version": "corruptions of another version",
}
"""What two records must agree on to be of the same corrupted images."""


@dataclass(frozen=True)
class CorruptedShare:
    """The accuracy under one corruption at one severity.

    >>> str(CorruptedShare("fog", 3, Proportion(55, 100)))
    'fog 3: 55.0 % [45.2, 64.4]'
    """

    corruption: str
    severity: int
    accuracy: Proportion

    def __str__(self) -> str:
        return f"{self.corruption} {self.severity}: {self.accuracy}"

    def json(self) -> dict[str, Any]:
        """Return the numbers for a record.

        >>> list(CorruptedShare("fog", 3, Proportion(1, 2)).json())
        ['corruption', 'severity', 'accuracy']
        """
        return {
            "corruption": self.corruption,
            "severity": self.severity,
            "accuracy": self.accuracy.json(),
        }

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> CorruptedShare:
        """Return what `json` described; raises `KeyError` or `ValueError` for none.

        >>> one = CorruptedShare("fog", 3, Proportion(1, 2))
        >>> CorruptedShare.of_json(one.json()) == one
        True
        """
        accuracy = proportion_of(values["accuracy"])
        return cls(str(values["corruption"]), int(values["severity"]), accuracy)


@dataclass(frozen=True, repr=False)
class CorruptionAccuracy(Shown):
    """The accuracy of a model on clean images, and on the same images under common corruptions.

    Attributes:
        clean: the accuracy on the images as they are.
        rows: one for each corruption and severity, in the paper's order.
        mean: over corruptions, of the mean over the severities of each; its interval is over other
            images, and takes the corruptions of one image for what they are, one image.
        config: what determined it, as JSON values.
        seconds: of corrupting and of passes, over all resumptions.
        notes: what a reader must know to trust the numbers.

    >>> rows = (CorruptedShare("snow", 3, Proportion(8, 10)), CorruptedShare("fog", 3, Proportion(6, 10)))
    >>> found = CorruptionAccuracy(Proportion(9, 10), rows, MeanShare(0.7, 0.4, 0.9, 10))
    >>> found.means
    {'snow': 0.8, 'fog': 0.6}
    >>> CorruptionAccuracy.of_json(found.json()) == found
    True
    """

    clean: Proportion
    rows: tuple[CorruptedShare, ...]
    mean: MeanShare
    config: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def severities(self) -> tuple[int, ...]:
        """The severities that were measured, ascending."""
        return tuple(sorted({row.severity for row in self.rows}))

    @property
    def means(self) -> dict[str, float]:
        """The accuracy of each corruption, the mean over its severities."""
        return {
            name: math.fsum(shares.values()) / len(shares)
            for name, shares in self._by_corruption().items()
        }

    def mean_corruption_error(self, reference: CorruptionAccuracy | Mapping[str, float]) -> float:
        """Return the mean corruption error, mCE: the errors of each corruption, summed over
        severities, as a share of a reference model's, and the mean of that over corruptions.

        As published the reference is AlexNet and the images are ImageNet-C; another reference, and
        other images, give numbers that are no one else's.

        Args:
            reference: the record of another model on the same corrupted images, or the mean error of
                each corruption by its name, 0 … 1.

        Raises `InputError` where the reference lacks a corruption, is of other images or severities,
        or makes no errors to divide by.

        Reference: Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4.

        >>> rows = (CorruptedShare("fog", 3, Proportion(6, 10)),)
        >>> found = CorruptionAccuracy(Proportion(9, 10), rows, MeanShare(0.6, 0.3, 0.8, 10))
        >>> round(found.mean_corruption_error({"fog": 0.8}), 6)
        0.5
        """
        own = {name: 1 - share for name, share in self.means.items()}
        if isinstance(reference, CorruptionAccuracy):
            self._check_same(reference)
            errors: Mapping[str, float] = {name: 1 - a for name, a in reference.means.items()}
        else:
            errors = reference
        lacking = [name for name in own if name not in errors]
        if lacking:
            raise InputError(
                f"the reference has no error of {', '.join(lacking)}; give one of each"
            )
        for name in own:
            if not 0 < errors[name] <= 1:
                raise InputError(
                    f"the reference's error of {name} is {errors[name]:g}; give a share above 0, of"
                    " a model that makes mistakes"
                )
        return math.fsum(own[name] / errors[name] for name in own) / len(own)

    def tables(self) -> tuple[Table, ...]:
        """Return a table of all rows, and one of the means."""
        rows = [
            (row.corruption, str(row.severity), f"{row.accuracy.count:,}", str(row.accuracy))
            for row in self.rows
        ]
        every = Table(
            f"accuracy under corruption, {self.clean.total:,} images{self._of()}",
            ("corruption", "severity", "right", "accuracy"),
            [("none", "–", f"{self.clean.count:,}", str(self.clean)), *rows],
        )
        by_name = self._by_corruption()
        columns = ("corruption", *(str(each) for each in self.severities), "mean")
        means = [
            (
                name,
                *(_percent(shares.get(severity)) for severity in self.severities),
                _percent(self.means[name]),
            )
            for name, shares in by_name.items()
        ]
        title = (
            f"mean accuracy over {len(by_name)} of 15 corruptions {self.mean}; clean {self.clean}"
        )
        return every, Table(title, columns, means, self.notes)

    def json(self) -> dict[str, Any]:
        """Return the record as JSON values.

        >>> CorruptionAccuracy(Proportion(1, 2), (), MeanShare(math.nan, 0.0, 1.0, 0)).json()["rows"]
        []
        """
        return {
            "config": dict(self.config),
            "clean_accuracy": self.clean.json(),
            "mean_accuracy": self.mean.json(),
            "by_corruption": self.means,
            "rows": [row.json() for row in self.rows],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> CorruptionAccuracy:
        """Return the record that `json` described; raises `KeyError` or `ValueError` for none.

        >>> one = CorruptionAccuracy(Proportion(1, 2), (), MeanShare(0.5, 0.0, 1.0, 2))
        >>> CorruptionAccuracy.of_json(one.json()) == one
        True
        """
        mean = values["mean_accuracy"]
        value = math.nan if mean["value"] is None else float(mean["value"])
        return cls(
            proportion_of(values["clean_accuracy"]),
            tuple(CorruptedShare.of_json(each) for each in values["rows"]),
            MeanShare(value, float(mean["low"]), float(mean["high"]), int(mean["images"])),
            dict(values["config"]),
            float(values["seconds"]),
            tuple(str(line) for line in values["notes"]),
        )

    def save(self, out: Path | str) -> Path:
        """Write the record into a folder; raises `OutputError` where the disk refuses.

        >>> import tempfile
        >>> one = CorruptionAccuracy(Proportion(1, 2), (), MeanShare(0.5, 0.0, 1.0, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = one.save(folder)
        ...     CorruptionAccuracy.load(folder) == one
        True
        """
        return write_json(Path(out) / RECORD_FILE, self.json())

    @classmethod
    def load(cls, out: Path | str) -> CorruptionAccuracy:
        """Read what `save` wrote; raises `InputError` where it is missing or damaged.

        >>> CorruptionAccuracy.load("no-such-folder")
        Traceback (most recent call last):
            ...
        saddlepoint.errors.InputError: no-such-folder holds no accuracies under corruptions; give a
        folder of `saddlepoint corrupt`
        """
        path = Path(out) / RECORD_FILE
        if not path.exists():
            raise InputError(
                f"{shown(Path(out))} holds no accuracies under corruptions; give a folder of"
                " `saddlepoint corrupt`"
            )
        values = read_json(path)
        with decoding(path, "a record of corruptions"):
            return cls.of_json(values)

    def _by_corruption(self) -> dict[str, dict[int, float]]:
        found: dict[str, dict[int, float]] = {}
        for row in self.rows:
            share = row.accuracy.count / row.accuracy.total
            found.setdefault(row.corruption, {})[row.severity] = share
        return found

    def _of(self) -> str:
        name = self.config.get("data", {}).get("name")
        return f" of {name}" if name else ""

    def _check_same(self, reference: CorruptionAccuracy) -> None:
        for key, what in _SAME.items():
            if self.config.get(key) != reference.config.get(key):
                raise InputError(
                    f"the reference has {what}; give a record of the same corrupted images"
                )
        theirs = {(row.corruption, row.severity) for row in reference.rows}
        wanted = {row.corruption for row in self.rows}
        mine_rows = {(row.corruption, row.severity) for row in self.rows}
        lacking = mine_rows ^ {each for each in theirs if each[0] in wanted}
        if lacking:
            name, severity = min(lacking)
            raise InputError(
                f"only one of the two records has {name} {severity}; measure the same severities"
            )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
