"""What a check found, and the verdict that all findings come to."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from saddlepoint.tables import Shown, Table

Judgement = Literal["healthy", "suspicious", "broken", "undecidable"]
"""Of a check, and of the whole: nothing found; an upper bound; a number that means nothing; and what
cannot be told, which is never robust."""

_GRAVITY: tuple[Judgement, ...] = ("healthy", "suspicious", "undecidable", "broken")
_SAYS: dict[Judgement, str] = {
    "healthy": "no check found anything against the number",
    "suspicious": "the robust accuracy is an upper bound; see what was found, and the remedies",
    "undecidable": "the robust accuracy is not known: what was run cannot attack this model",
    "broken": "the robust accuracy is not to be used: the attacks did not see the model",
}
_WIDTH = 96


NOT_EXAMINED = "not examined, so that its numbers are not to be trusted yet"
"""What is said in place of a verdict where there is none."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        judgement: healthy, suspicious, broken or undecidable.
        figure: what was measured, in words and numbers.
        threshold: where it becomes suspicious, and where broken.
        images: the number that it looked at.
        means: what it says of the robust accuracy; "" where nothing was found.
        remedy: what to do; "" where nothing is to be done.
        p: of the exact one-sided binomial test, corrected for the number of such tests (Holm); None
            where there is none.

    >>> Finding("noise", "healthy", "0 of 40 images", "2 images", 40).found
    False
    """

    check: str
    judgement: Judgement
    figure: str
    threshold: str
    images: int
    means: str = ""
    remedy: str = ""
    p: float | None = None

    @property
    def found(self) -> bool:
        """Whether anything speaks against the number."""
        return self.judgement != "healthy"

    def graver(self, other: Finding) -> Finding:
        """Return the graver of this finding and another; the other where they are alike.

        >>> one = Finding("noise", "healthy", "0 of 40 images", "2 images", 40)
        >>> Finding("noise", "broken", "9 of 40 images", "2 images", 40).graver(one).judgement
        'broken'
        """
        return max(other, self, key=lambda each: _GRAVITY.index(each.judgement))


@dataclass(frozen=True)
class Supplement:
    """What was measured beside the checks: remedies applied, a random model's three numbers, a second
    look.

    Attributes:
        name: what it is.
        table: as it is printed.
        numbers: the same as JSON values.

    >>> Supplement("second-look", Table("standard", ("fell",), [("0",)]), {"fell": 0}).name
    'second-look'
    """

    name: str
    table: Table
    numbers: dict[str, Any]

    def json(self) -> dict[str, Any]:
        """Return it as JSON values.

        >>> Supplement("x", Table("t", ("a",), [("0",)]), {"n": 0}).json()["numbers"]
        {'n': 0}
        """
        rows = [list(row) for row in self.table.rows]
        table = {
            "title": self.table.title,
            "columns": list(self.table.columns),
            "rows": rows,
            "notes": list(self.table.notes),
        }
        return {"name": self.name, "numbers": self.numbers, "table": table}

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Supplement:
        """Return what `json` described; raises `KeyError` or `TypeError` for none."""
        told = values["table"]
        rows = [tuple(map(str, row)) for row in told["rows"]]
        columns, notes = (tuple(map(str, told[name])) for name in ("columns", "notes"))
        table = Table(str(told["title"]), columns, rows, notes)
        return cls(str(values["name"]), table, dict(values["numbers"]))


@dataclass(frozen=True, repr=False)
class Verdict(Shown):
    """The findings of all checks, and what they come to; prints as a table.

    Attributes:
        findings: one per check that was run.
        passes: of the model, each way and of all images, that they cost.
        supplements: what was measured beside them.
        surrogate: the fingerprint of the model whose images were tried; "" for none.

    >>> healthy = Finding("noise", "healthy", "0 of 40", "2 images", 40)
    >>> broken = Finding("zero-gradient", "broken", "40 of 40", "10 %", 40, "masked", "use BPDA")
    >>> Verdict((healthy, broken)).judgement
    'broken'
    """

    findings: tuple[Finding, ...]
    passes: int = 0
    supplements: tuple[Supplement, ...] = ()
    surrogate: str = ""

    @property
    def judgement(self) -> Judgement:
        """The gravest of the findings; where no image is right there is nothing to examine."""
        each = (finding.judgement for finding in self.findings)
        return max(each, key=_GRAVITY.index, default="healthy")

    @property
    def flagged(self) -> tuple[Finding, ...]:
        """The findings that speak against the number, the gravest first."""
        some = [finding for finding in self.findings if finding.found]
        return tuple(sorted(some, key=lambda each: -_GRAVITY.index(each.judgement)))

    def of(self, check: str) -> Finding | None:
        """Return the finding of a check; None where it was not run."""
        return next((each for each in self.findings if each.check == check), None)

    def with_earlier(self, earlier: Verdict, names: Sequence[str]) -> Verdict:
        """Return the verdict with an earlier one's findings of these checks, where they are graver or
        missing here.

        >>> old = Verdict((Finding("certificate", "broken", "1 of 9", "one image", 9),))
        >>> Verdict(()).with_earlier(old, ["certificate"]).judgement
        'broken'
        """
        found = {each.check: each for each in self.findings}
        for each in earlier.findings:
            if each.check in names:
                now = found.get(each.check)
                found[each.check] = each if now is None else each.graver(now)
        return replace(self, findings=tuple(found.values()))

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        named = ", ".join(each.check for each in self.flagged)
        return f"{self.judgement}: {_SAYS[self.judgement]}{f' ({named})' if named else ''}"

    def tables(self) -> Sequence[Table]:
        """Return the verdict with what was found against the number; all checks are in `table`."""
        rows = [(each.check, each.judgement, each.figure) for each in self.flagged]
        rows = rows or [(f"all {len(self.findings)}", self.judgement, "nothing")]
        notes = [f"{each.check}: {each.means} {each.remedy}" for each in self.flagged]
        title = f"verdict: {self.sentence}"
        verdict = Table(title, ("check", "verdict", "found"), rows, tuple(notes))
        return [verdict, *(each.table for each in self.supplements)]

    def table(self) -> Table:
        """Return a row per check, with its figure and threshold."""
        rows = [
            (each.check, each.judgement, each.figure, each.threshold, f"{each.images:,}")
            for each in self.findings
        ]
        columns = ("check", "verdict", "found", "threshold", "images")
        return Table(f"verdict: {self.sentence}", columns, rows)

    def prose(self) -> str:
        """Return what was found against the number in paragraphs.

        >>> print(Verdict((Finding("noise", "broken", "9 of 40", "2", 40, "It falls.", "Stop."),)).prose())
        noise (broken): 9 of 40
            It falls. Stop.
        """
        parts = [
            f"{each.check} ({each.judgement}): {each.figure}\n"
            + textwrap.indent(textwrap.fill(f"{each.means} {each.remedy}".strip(), _WIDTH), "    ")
            for each in self.flagged
        ]
        return "\n".join(parts)

    def json(self) -> dict[str, Any]:
        """Return the verdict as JSON values.

        >>> Verdict(()).json()["verdict"]
        'healthy'
        """
        return {
            "verdict": self.judgement,
            "sentence": self.sentence,
            "passes": self.passes,
            **({"surrogate": self.surrogate} if self.surrogate else {}),
            "checks": [asdict(finding) for finding in self.findings],
            **({"supplements": [s.json() for s in self.supplements]} if self.supplements else {}),
        }

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> Verdict:
        """Return the verdict that `json` described; raises `ValueError` or `KeyError` for none.

        >>> one = Verdict((Finding("noise", "healthy", "0 of 40", "2 images", 40),), 7)
        >>> Verdict.of_json(one.json()) == one
        True
        """
        findings = tuple(Finding(**each) for each in values["checks"])
        for each in findings:
            if each.judgement not in get_args(Judgement):
                raise ValueError(f"{each.judgement!r} is no judgement")
        supplements = map(Supplement.of_json, values.get("supplements", ()))
        surrogate = str(values.get("surrogate", ""))
        return cls(findings, int(values["passes"]), tuple(supplements), surrogate)
