"""Names of variants and attacks as parts of the names of files."""

from __future__ import annotations

from collections.abc import Iterable


def slug(name: str) -> str:
    """Return a name as part of the name of a file: letters, digits and hyphens.

    >>> slug("quantised + adversarial")
    'quantised-adversarial'
    """
    kept = "".join(c if c.isascii() and c.isalnum() else " " for c in name)
    return "-".join(kept.split())[:80] or "unnamed"


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Return a slug for each name, no two alike, also where a disk takes A for a.

    >>> slugs(["a + b", "A b", "量化"])
    {'a + b': 'a-b', 'A b': 'A-b-2', '量化': 'unnamed'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        first = chosen = slug(name)
        count = 1
        while chosen.lower() in taken:
            count += 1
            chosen = f"{first}-{count}"
        taken.add(chosen.lower())
        found[name] = chosen
    return found
