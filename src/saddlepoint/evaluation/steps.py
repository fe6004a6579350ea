"""A step of work: one attack at one budget on one batch of images, done once, whatever interrupts.

Images are worked on in parts of a fixed size, survivors are batched within their part, and a batch
that is done is not done again. So which images share a batch depends on counts alone, and an
evaluation that was interrupted ends as one that was not, to the bit. When a batch is *saved* depends
on time: see `Journal`. While it is at work, its attack's stages are saved in the same way.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor

from saddlepoint.attacks import Stages
from saddlepoint.errors import InputError
from saddlepoint.evaluation.journal import Columns, Journal
from saddlepoint.evaluation.stage_shelf import StageShelf
from saddlepoint.files import fingerprint

FOLDER = "parts"
SIZE = 512  # images of a part
_PART = re.compile(r", from \d+$")
Work = Callable[[Tensor, Stages | None], Columns]
"""From the ids of a batch, and what remembers the stages of its attack, to a row per id."""


class Steps:
    """The steps of an evaluation; those that were done in `out` before are read.

    Args:
        out: the folder of the run; None keeps nothing.
        batch_size: images of a step; a run may go on with another.
        earlier: steps that another run has done, by their names.
        remembers: whether `known` tells what this process did too, which holds it in memory.

    >>> with Steps(None, batch_size=2) as steps:
    ...     steps.run("squares", torch.arange(3), lambda ids, _: {"square": ids**2})["square"]
    tensor([0, 1, 4])
    """

    def __init__(
        self,
        out: Path | None,
        batch_size: int,
        earlier: Mapping[str, Sequence[Columns]] = MappingProxyType({}),
        *,
        remembers: bool = False,
    ) -> None:
        self.size, self._remembers = batch_size, remembers
        folder = None if out is None else out / FOLDER
        self._done = Journal(folder)
        self._done.found = _of_all_parts(self._done.found)
        for name, entries in earlier.items():
            self._done.found.setdefault(name, []).extend(entries)
        self._stages = StageShelf(folder)
        self._keeps, self._gained = folder is not None, False
        self._known: dict[str, list[Columns]] = {}  # since the last release

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        # Whatever stops the work, what is done stays, unless the disk refuses; and what could not
        # be begun leaves nothing.
        if kind is not None and not issubclass(kind, InputError):
            self._done.save()

    def parts(self, ids: Tensor) -> tuple[Tensor, ...]:
        """Return the ids of each part; survivors are batched within it."""
        return torch.split(ids, SIZE)

    def missing(self, name: str, ids: Tensor, needs: str = "id") -> int:
        """Return for how many of the ids the work `name` was not done before."""
        found = [rows["id"] for rows in self._before(name, needs)]
        return int((~torch.isin(ids, torch.cat(found))).sum()) if found else len(ids)

    def known(self, name: str, ids: Tensor, needs: str = "id") -> Columns:
        """Return the rows of those ids for which the work `name` is done; what this process did is known
        until `release`.
        """
        rows = [*self._before(name, needs), *self._known.get(name, [])]
        found = [_at(each, torch.isin(each["id"], ids)) for each in rows]
        found = [each for each in found if len(each["id"])]
        return _ascending(joined(found)) if found else {}

    def _before(self, name: str, needs: str) -> list[Columns]:
        return [rows for rows in self._done.found.get(name, []) if needs in rows]

    def release(self) -> None:
        """Forget what this process did: its results are taken."""
        self._known.clear()

    def run(
        self,
        name: str,
        ids: Tensor,
        work: Work,
        waits: bool = False,
        needs: str = "id",
        look_of: str | None = None,
    ) -> Columns:
        """Do `work` for all ids but those that were done before, in batches; return a row per id,
        ascending, with a column `seconds` of the time per image.

        Args:
            name: what is done with the images; no two works of a run share one.
            ids: (m,) the images.
            work: called for a batch at a time.
            waits: cheap to repeat, it is saved only along with later work that is not.
            needs: a column without which what was done before is done again.
            look_of: this is the first look of the work of that name, whose stages go on from it.
        """
        found = [_at(each, torch.isin(each["id"], ids)) for each in self._before(name, needs)]
        rows = [each for each in found if len(each["id"])]
        before = torch.cat([each["id"] for each in rows]) if rows else ids[:0]
        rest = ids[~torch.isin(ids, before)]
        batches = torch.split(rest, self.size) if len(rest) else ()
        rows += [self._step(name, batch, work, waits, look_of) for batch in batches]
        if not rows:
            return {}
        return _ascending(joined(rows))

    @property
    def gained(self) -> bool:
        """Whether this process has done a step, or a stage of one, that is not cheap to repeat."""
        return self._gained or self._stages.gained

    def keep(self) -> None:
        """Write what is done and not written yet, stages of the work at hand too."""
        self._done.save()
        self._stages.save()

    def forget(self) -> None:
        """Remove what was kept, once the whole is written."""
        self._done.forget()

    def _step(
        self, name: str, ids: Tensor, work: Work, waits: bool, look_of: str | None
    ) -> Columns:
        began = time.perf_counter()
        called = f"{look_of or name}, {fingerprint(ids.numpy().tobytes())}"
        stages = None
        if self._keeps or look_of is not None or self._stages.holds(called):
            stages = Stages(self._stages.of(look=look_of is not None), called)
        columns = {key: value.detach().cpu() for key, value in work(ids, stages).items()}
        spent = stages.seconds if stages is not None else 0.0
        each = (time.perf_counter() - began + spent) / len(ids)
        seconds = torch.full((len(ids),), each, dtype=torch.float64)
        columns = {"id": ids, **columns, "seconds": seconds}
        self._done.add(name, columns, waits)
        self._gained |= not waits
        if self._remembers:
            self._known.setdefault(name, []).append(columns)
        if look_of is not None:
            return columns
        if self._stages.written(called):  # what is on the disk of it gives way to the whole
            self._done.save()
        self._stages.forget(called)
        return columns


def joined(results: Sequence[Columns]) -> Columns:
    """Return columns one below the other, those that all have.

    >>> joined([{"id": torch.tensor([1])}, {"id": torch.tensor([2])}])
    {'id': tensor([1, 2])}
    """
    names = [name for name in results[0] if all(name in result for result in results)]
    return {name: torch.cat([result[name] for result in results]) for name in names}


def _at(columns: Columns, rows: Tensor) -> Columns:
    return {name: value[rows] for name, value in columns.items()}


def _ascending(columns: Columns) -> Columns:
    order = columns["id"].argsort()
    return columns if bool((order[1:] > order[:-1]).all()) else _at(columns, order)


def _of_all_parts(found: dict[str, list[Columns]]) -> dict[str, list[Columns]]:
    """Return steps by names without the part that earlier versions had in them, ", from 512"."""
    whole: dict[str, list[Columns]] = {}
    for name, entries in found.items():
        whole.setdefault(_PART.sub("", name), []).extend(entries)
    return whole
