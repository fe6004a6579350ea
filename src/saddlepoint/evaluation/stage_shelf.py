"""Where the stages of attacks are kept until the steps that they are of are whole."""

from __future__ import annotations

from pathlib import Path

from saddlepoint.evaluation.journal import Columns, Journal


class StageShelf:
    """The stages of the step at work, and those of first looks, from which steps to come go on.

    Args:
        folder: of the steps; None keeps them in memory alone.

    >>> StageShelf(None).holds("0, fast, 1b")
    False
    """

    def __init__(self, folder: Path | None) -> None:
        self._now = _Held(None if folder is None else folder / "stages")
        self._looks = _Held(None if folder is None else folder / "looks")

    def of(self, *, look: bool) -> ReadAndAdd:
        """Return the shelf of a call: of a first look, or of the whole, which goes on from its own."""
        return ReadAndAdd(self._looks, self._looks) if look else ReadAndAdd(self._now, self._looks)

    def holds(self, called: str) -> bool:
        """Return whether there is a stage of that call."""
        return self._now.holds(called) or self._looks.holds(called)

    def written(self, called: str) -> bool:
        """Return whether what is on the disk goes when that call is whole."""
        last = all(name.startswith(f"{called}: ") for name in self._looks.found)
        return self._now.journal.written or (self._looks.journal.written and last)

    @property
    def gained(self) -> bool:
        """Whether a stage was done in this process."""
        return self._now.gained or self._looks.gained

    def save(self) -> None:
        """Write what is not written yet."""
        self._now.journal.save()
        self._looks.journal.save()

    def forget(self, called: str) -> None:
        """Remove the stages of a call, which is whole; of the looks the files stay until none is waited
        for.
        """
        self._now.clear()
        self._looks.drop(f"{called}: ")
        if not self._looks.found:
            self._looks.clear()


class ReadAndAdd:
    """What an attack sees of the shelf: it adds to one place, and finds what lies in both.

    >>> ReadAndAdd(_Held(None), _Held(None)).found
    {}
    """

    def __init__(self, adds: _Held, reads: _Held) -> None:
        self._adds = adds
        self.found: dict[str, list[Columns]] = {**reads.found, **adds.found}

    def add(self, name: str, columns: Columns) -> None:
        """Keep an entry."""
        self._adds.add(name, columns)

    def drop(self, prefix: str) -> None:
        """Entries whose names begin so are no longer needed."""
        self._adds.drop(prefix)


class _Held:
    def __init__(self, folder: Path | None) -> None:
        self.journal = Journal(folder)
        self.found = dict(self.journal.found)
        self.gained = False

    def holds(self, called: str) -> bool:
        return any(name.startswith(f"{called}: ") for name in self.found)

    def add(self, name: str, columns: Columns) -> None:
        self.found[name], self.gained = [columns], True
        self.journal.add(name, columns)

    def drop(self, prefix: str) -> None:
        self.journal.drop(prefix)
        self.found = {k: v for k, v in self.found.items() if not k.startswith(prefix)}

    def clear(self) -> None:
        self.journal.forget()
        self.found = {}
