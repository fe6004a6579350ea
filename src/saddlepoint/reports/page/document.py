"""A page: a title, what stands first, sections, and what repeats it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import saddlepoint
from saddlepoint.evaluation import Evaluation, Proportion
from saddlepoint.evaluation.verdict.finding import Finding
from saddlepoint.files import write
from saddlepoint.reading import read_json
from saddlepoint.reports.page.render import render
from saddlepoint.reports.page.sections import NumberedTable, Numbering, PageSection
from saddlepoint.run_folders import RUN_FILE
from saddlepoint.run_folders import environment as here
from saddlepoint.tables import Table

PAGE = "report.html"


@dataclass(frozen=True)
class Number:
    """A share that stands first on a page.

    >>> Number.of("clean", "clean accuracy", Proportion(9, 10)).value
    '90.0 %'
    """

    key: str
    label: str
    count: int
    total: int
    value: str
    interval: str

    @classmethod
    def of(cls, key: str, label: str, share: Proportion) -> Number:
        """Return a share with its interval."""
        interval = f"95 % interval {100 * share.low:.1f} to {100 * share.high:.1f} %"
        return cls(key, label, share.count, share.total, f"{100 * share.value:.1f} %", interval)


@dataclass(frozen=True)
class Judged:
    """A verdict as a page shows it.

    >>> Judged("healthy", "Verdict: healthy").flagged
    ()
    """

    judgement: str
    sentence: str
    flagged: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, record: Evaluation, name: str = "") -> Judged:
        """Return what is said of a record, or that nothing is; `name` is the model's, where several
        are shown.
        """
        head = f"{name}: " if name else ""
        verdict = record.verdict
        if record.left and record.decision is not None:
            return cls("none", f"{head}{record.decision}; {record.told}")
        if verdict is None:
            return cls("none", head + (record.told if name else _sentence(record.told)))
        said = f"{head}verdict {verdict.sentence}" if name else f"Verdict: {verdict.sentence}"
        return cls(verdict.judgement, said, verdict.flagged)


@dataclass(frozen=True)
class Provenance:
    """What repeats a run.

    Attributes:
        command: on the command line; "" where it came from Python.
        table: hashes and versions.
        configuration: all of it, as YAML.

    >>> Provenance("", NumberedTable("a", 1, Table("A", (), [])), "seed: 0").configuration
    'seed: 0'
    """

    command: str
    table: NumberedTable
    configuration: str

    @classmethod
    def of(
        cls, config: Mapping[str, Any], out: Path | None, command: str, numbering: Numbering
    ) -> Provenance:
        """Return what repeats the run in `out`, with the environment that its folder tells."""
        known_run = out is not None and (out / RUN_FILE).exists()
        run = read_json(out / RUN_FILE) if out is not None and known_run else {}
        environment = run.get("environment") if isinstance(run, dict) else None
        data = config.get("data")
        known = {
            "weights": config.get("model"),
            "data": data.get("fingerprint") if isinstance(data, Mapping) else data,
            "seed": config.get("seed"),
            **(environment if isinstance(environment, dict) else here()),
        }
        models = config.get("models")
        for name, each in (models if isinstance(models, Mapping) else {}).items():
            known[f"weights of {name}"] = each.get("model")
        rows = [(name, str(value)) for name, value in known.items() if value is not None]
        table = numbering.table(
            "provenance", Table("What it was computed from", ("", "value"), rows)
        )
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=90)
        return cls(command, table, text)


@dataclass(frozen=True)
class Document:
    """A page.

    Attributes:
        title, subtitle: of it.
        sections: in their order.
        judged: verdicts, which stand before everything else.
        numbers: shares that stand first.
        notes: what a reader must know.
        provenance: what repeats it.

    >>> Document("a", "b", ()).numbers
    ()
    """

    title: str
    subtitle: str
    sections: tuple[PageSection, ...]
    judged: tuple[Judged, ...] = ()
    numbers: tuple[Number, ...] = ()
    notes: tuple[str, ...] = ()
    provenance: Provenance | None = None

    def html(self) -> str:
        """Return the page, which needs no other file.

        >>> "<h1>a &lt; b</h1>" in Document("a < b", "", ()).html()
        True
        """
        script = any(section.gallery is not None for section in self.sections)
        values = {"it": self, "version": saddlepoint.__version__}
        return render("page/document.html.jinja", values, script=script)

    def save(self, path: Path) -> Path:
        """Write the page; raises `OutputError` where the disk refuses."""
        return write(path, self.html())


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
