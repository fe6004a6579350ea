"""How near each minimum-norm attack comes to the smallest distances that any of them finds.

Local optimality as AttackBench defines it (Cinà et al. 2025, arXiv:2404.19460): of each attack the
nearest image of all that it looked at counts, within 2,000 forward and backward passes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from attack_networks import Subject
from optimality_networks import PLANS, subject
from optimality_pool import LIMIT, NORMS, ours, peers

from saddlepoint.evaluation.optimality import local_optimality, smallest_distances

Row = dict[str, Any]
"""What an attack found: distances, passes, seconds."""


@dataclass(frozen=True)
class Book:
    """The distances measured so far, in a file: "norm, network": attack: what it found."""

    path: Path | None
    rows: dict[str, dict[str, Row]]

    @classmethod
    def open(cls, path: Path | None) -> Book:
        known = path is not None and path.exists()
        return cls(path, json.loads(path.read_text()) if known and path else {})

    def add(self, title: str, label: str, row: Row) -> None:
        self.rows.setdefault(title, {})[label] = row
        if self.path is not None:
            draft = self.path.with_suffix(".tmp")
            draft.write_text(json.dumps(self.rows))
            draft.replace(self.path)


def measure(
    name: str,
    net: Subject,
    count: int,
    book: Book,
    again: Sequence[str] = (),
    only: Sequence[str] = (),
    reference: int = 1,
    libraries: Mapping[str, str | None] | None = None,
) -> str:
    """Run what the book does not know yet, or has to know `again`; return the title of its rows."""
    images, labels = net.first(count, right=True)
    title = f"{name}, {net.name}"
    known = book.rows.get(title, {})
    passes = LIMIT * reference
    for label, build in (*ours(name, passes), *peers(name, net.model, images, passes)):
        library = label.split()[0]
        if only and label not in only:
            continue
        if libraries and libraries.get(library) is not None:
            continue
        shown = label if reference == 1 else f"{label} ×{reference}"
        if shown in known and not any(label.startswith(each) for each in again):
            continue
        try:
            run = build()
            began = time.process_time()
            result = run(net.model, images, labels)
        except Exception as error:  # a peer that breaks is a line, not the end
            print(f"({label} is skipped: {type(error).__name__}: {error})")
            continue
        book.add(
            title,
            shown,
            {
                "distance": [d if math.isfinite(d) else None for d in result.distance.tolist()],
                "passes": float((result.forwards + result.backwards).double().mean()),
                "seconds": time.process_time() - began,
            },
        )
    return title


def distances(rows: Mapping[str, Row]) -> dict[str, torch.Tensor]:
    """Return each attack's distances, infinity where it failed."""
    return {
        label: torch.tensor(
            [math.inf if d is None else d for d in row["distance"]], dtype=torch.float64
        )
        for label, row in rows.items()
    }


def show(title: str, rows: Mapping[str, Row]) -> None:
    """Print the local optimality of everything measured on a network in a norm."""
    found = distances(rows)
    smallest = smallest_distances(found)
    score = {label: local_optimality(each, smallest) for label, each in found.items()}
    print(f"\n{title}: {len(smallest)} images")
    print(f"  {'':28}{'optimality':>11}{'median':>10}{'failed':>8}{'passes':>8}{'seconds':>9}")
    for label in sorted(score, key=lambda each: -score[each]):
        passes, each = rows[label]["passes"], found[label]
        print(
            f"  {label:28}{score[label]:11.4f}{float(each.median()):10.4f}"
            f"{int(each.isinf().sum()):8}{passes:8.0f}{rows[label]['seconds']:9.1f}"
            + ("  over the limit" if passes > LIMIT and "×" not in label else ""),
            flush=True,
        )


def lead(
    rows: Mapping[str, Row], label: str = "portfolio"
) -> tuple[float, float, tuple[float, float], str]:
    """Return the score of `label`, its lead over the best other within the limit, the lead's 95 %
    interval under a paired bootstrap, and who that other is.
    """
    found = distances(rows)
    smallest = smallest_distances(found)
    score = {each: local_optimality(d, smallest) for each, d in found.items()}
    others = [each for each in score if each != label and "×" not in each]
    best = max(others, key=lambda each: score[each])
    random = torch.Generator().manual_seed(0)
    leads = []
    for _ in range(1000):
        draw = torch.randint(len(smallest), (len(smallest),), generator=random)
        part = smallest[draw]
        if float(part[part.isfinite()].std()) == 0:
            continue
        leads.append(
            local_optimality(found[label][draw], part) - local_optimality(found[best][draw], part)
        )
    low, high = torch.tensor(leads).quantile(torch.tensor([0.025, 0.975])).tolist()
    return score[label], score[label] - score[best], (low, high), best


def table(
    names: Sequence[str],
    half: str,
    folder: Path,
    count: int,
    path: Path | None,
    libraries: Mapping[str, str | None],
) -> None:
    """Print the rows of all networks of a half."""
    book = Book.open(path)
    for network in PLANS:
        net = subject(network, half, folder)
        for name in names:
            title = measure(name, net, count, book, libraries=libraries)
            show(title, book.rows[title])
            score, ahead, (low, high), who = lead(book.rows[title])
            print(f"  the portfolio: {score:.4f}, {ahead:+.4f} [{low:+.4f}, {high:+.4f}] to {who}")


__all__ = ["NORMS", "Book", "lead", "measure", "show", "table"]
