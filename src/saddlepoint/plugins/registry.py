"""Components by name: this package's own, those of installed packages, and files of the user."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points, packages_distributions
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from saddlepoint.configuration import sourced
from saddlepoint.errors import InputError, unknown
from saddlepoint.plugins.files import from_file, is_file_spec, why
from saddlepoint.reading import shown

Entry = TypeVar("Entry")
_NO_ALIASES: Mapping[str, str] = MappingProxyType({})


class Registry(Mapping[str, Entry], Generic[Entry]):
    """What there is of one kind, by name.

    Iteration gives our own names, then those of installed packages, without loading any of these.

    Args:
        kind: what an entry is called in messages.
        own: this package's.
        read: makes an entry of a name and the object that a plug-in has under it; raises
            `InputError` where the object is none of that kind, and says what it lacks.
        group: the group of entry points in which other packages name theirs; "" for none.
        aliases: earlier names of our own, which work and are not listed.

    >>> sizes = Registry("size", {"small": 1}, lambda name, found: int(found), aliases={"tiny": "small"})
    >>> list(sizes), sizes.find("tiny")
    (['small'], 1)
    >>> sizes.find("smal")
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: unknown size 'smal'; did you mean 'small'? (known: small)
    """

    def __init__(
        self,
        kind: str,
        own: Mapping[str, Entry],
        read: Callable[[str, Any], Entry],
        *,
        group: str = "",
        aliases: Mapping[str, str] = _NO_ALIASES,
    ) -> None:
        self.kind = kind
        self.own = MappingProxyType(dict(own))
        self._read = read
        self._group = group
        self._aliases = aliases

    def find(self, name: str) -> Entry:
        """Return the entry of that name, an earlier one too, or of `FILE.py:NAME`, whose code is
        run.

        Raises `InputError` for a name that is unknown or claimed twice, and for a plug-in that
        cannot be loaded or is not of this kind.
        """
        self._check_claims(name)
        known = self._aliases.get(name, name)
        if known in self.own:
            return self.own[known]
        if is_file_spec(name):
            return self._read(name, from_file(name))
        for point in _points(self._group):
            if point.name == name:
                return self._loaded(point)
        raise unknown(self.kind, shown(name), self, self._aliases)

    def listed(self) -> Iterator[Entry]:
        """Return every entry; a plug-in that cannot be loaded is left out with a warning.

        Raises `InputError` where two claim one name.
        """
        for name in self:
            self._check_claims(name)
        yield from self.own.values()
        for point in _points(self._group):
            try:
                yield self._loaded(point)
            except InputError as error:
                warnings.warn(str(error), stacklevel=2)

    def __getitem__(self, name: str) -> Entry:
        if name not in self:
            raise KeyError(name)
        return self.find(name)

    def __contains__(self, name: object) -> bool:
        return name in self.own or any(name == point.name for point in _points(self._group))

    def __iter__(self) -> Iterator[str]:
        names = [*self.own, *(point.name for point in _points(self._group))]
        return iter(dict.fromkeys(names))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _check_claims(self, name: str) -> None:
        claims = [_distribution(each) for each in _points(self._group) if each.name == name]
        if name in self.own or name in self._aliases:
            claims.insert(0, "saddlepoint")
        if len(claims) > 1:
            raise InputError(
                f"the {self.kind} '{shown(name)}' is both {' and '.join(claims)}'s; uninstall one,"
                " or have its author rename it"
            )

    def _loaded(self, point: EntryPoint) -> Entry:
        try:
            found = point.load()
        except (Exception, SystemExit) as error:
            raise InputError(
                f"the {self.kind} '{shown(point.name)}' of {_distribution(point)} cannot be loaded:"
                f" {why(error)}"
            ) from error
        _mark(point)
        try:
            return self._read(point.name, found)
        except InputError as error:
            raise InputError(f"{error} (of {_distribution(point)})") from error


@functools.cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, as they were when this process first asked."""
    if not group:
        return ()
    found = {
        (each.name, each.value, _distribution(each)): each for each in entry_points(group=group)
    }
    return tuple(found[key] for key in sorted(found))


def _mark(point: EntryPoint) -> None:
    """Mark the package of a plug-in at its root, so that all it is made of is told apart."""
    root = point.module.partition(".")[0]
    owners = packages_distributions().get(root)  # an editable installation is not listed
    name = getattr(getattr(point, "dist", None), "name", "")
    if root == "saddlepoint" or (owners is not None and name not in owners):
        return  # it names something of another package
    whole = getattr(sys.modules[root], "__file__", None) is not None  # no namespace of several
    sourced(sys.modules[root if whole else point.module], _distribution(point))


def _distribution(point: EntryPoint) -> str:
    distribution = getattr(point, "dist", None)
    return "a package" if distribution is None else f"{distribution.name} {distribution.version}"
