"""Matching a file's layers to a module's by shape and order, where their names differ.

A wrong match is a wrong model that nobody sees. So the order of a file counts only where its keys
are in the order of their modules, and two layers of the same shapes are told apart only by what the
order does not have to be trusted for: the numbers in their names, or what stands beside them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

COUNTER = "num_batches_tracked"
"""Absent from files of old versions, and of no effect on logits."""

_LEAVES = ("weight", "bias", "running_mean", "running_var", COUNTER)
_NUMBERS = re.compile(r"\d+")

Signature = tuple[tuple[str, tuple[int, ...], bool], ...]


class AmbiguousError(Exception):
    """Why the layers cannot be matched for certain, in words."""


@dataclass(frozen=True, eq=False)
class Layers:
    """The modules of a state dict that have tensors of their own, in its order."""

    state: Mapping[str, Tensor]

    @cached_property
    def leaves(self) -> dict[str, list[str]]:
        """The names of the tensors of each module."""
        found: dict[str, list[str]] = defaultdict(list)
        for key in self.state:
            path, _, leaf = key.rpartition(".")
            found[path].append(leaf)
        return dict(found)

    @cached_property
    def paths(self) -> list[str]:
        """The modules' paths."""
        return list(self.leaves)

    @cached_property
    def signatures(self) -> list[Signature]:
        """Of each module the names, shapes and kinds of its tensors, without counters."""
        return [
            tuple(
                sorted(
                    (leaf, tuple(tensor.shape), tensor.is_floating_point())
                    for leaf in leaves
                    if leaf != COUNTER
                    for tensor in [self.state[_key(path, leaf)]]
                )
            )
            for path, leaves in self.leaves.items()
        ]

    @cached_property
    def below(self) -> dict[str, frozenset[int]]:
        """Of each path the numbers of the modules at it and below."""
        found: dict[str, set[int]] = defaultdict(set)
        for i, path in enumerate(self.paths):
            for above in _prefixes(path):
                found[above].add(i)
        return {path: frozenset(numbers) for path, numbers in found.items()}


def align(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, str] | None:
    """Return the key in `state` of each key of `own`, by shape and order; None where the shapes are
    those of another architecture.

    Raises `AmbiguousError` where they fit, but not in one way alone.

    >>> import torch
    >>> own = {"conv.weight": torch.ones(4, 1, 3, 3), "head.weight": torch.ones(2, 4)}
    >>> align(own, {"0.weight": torch.ones(4, 1, 3, 3), "2.weight": torch.ones(2, 4)})
    {'conv.weight': '0.weight', 'head.weight': '2.weight'}
    """
    mine, theirs = Layers(own), Layers(state)
    if sorted(mine.signatures) != sorted(theirs.signatures):
        return None
    if len(set(mine.signatures)) == len(mine.signatures):  # the shapes alone say which is which
        places = {signature: i for i, signature in enumerate(theirs.signatures)}
        order = [places[signature] for signature in mine.signatures]
    else:
        _check_order(theirs)
        if mine.signatures != theirs.signatures:
            raise AmbiguousError("its layers have the model's shapes, but stand in another order")
        _check_twins(mine, theirs)
        order = list(range(len(mine.paths)))
    found = {}
    for path, place in zip(mine.paths, order, strict=True):
        other = theirs.paths[place]
        for leaf in mine.leaves[path]:
            if leaf in theirs.leaves[other]:
                found[_key(path, leaf)] = _key(other, leaf)
    _check_values(found, state)
    return found


def _check_order(layers: Layers) -> None:
    """Raise `AmbiguousError` where the keys are certainly not in the order of their modules."""
    for path, leaves in layers.leaves.items():
        known = [_LEAVES.index(leaf) for leaf in leaves if leaf in _LEAVES]
        if known != sorted(known):
            raise AmbiguousError(
                f"its keys are sorted ({_key(path, leaves[0])} stands before"
                f" {_key(path, _LEAVES[min(known)])}), so that the order of its layers is lost"
            )
    last = ""
    done: set[str] = set()
    for path in layers.paths:
        around = set(_prefixes(path))
        done |= set(_prefixes(last)) - around
        if done & around:
            raise AmbiguousError(f"its keys are mixed: {path} stands apart from its neighbours")
        last = path
    newest: dict[tuple[str, str], tuple[int, ...]] = {}
    for path in layers.paths:
        for above in _prefixes(path):
            parent, _, name = above.rpartition(".")
            kind, numbers = _NUMBERS.sub("#", name), _numbers(name)
            if numbers < newest.get((parent, kind), numbers):
                raise AmbiguousError(f"{above} stands behind a layer of a larger number")
            newest[parent, kind] = numbers


def _check_twins(mine: Layers, theirs: Layers) -> None:
    """Raise `AmbiguousError` where two layers of equal shapes could as well be each other."""
    twins: dict[Signature, list[int]] = defaultdict(list)
    for i, signature in enumerate(mine.signatures):
        twins[signature].append(i)
    for group in twins.values():
        for n, i in enumerate(group):
            for j in group[n + 1 :]:
                _check_pair(mine, theirs, i, j)


def _check_pair(mine: Layers, theirs: Layers, i: int, j: int) -> None:
    branches = [_branches(layers.paths[i], layers.paths[j]) for layers in (mine, theirs)]
    (own, other) = branches
    same_names = [each.rpartition(".")[2] for each in own] == [
        each.rpartition(".")[2] for each in other
    ]
    if same_names or all(_numbered(each) for each in branches):
        return
    # Two branches of unlike content, which both sides have, cannot be exchanged.
    if [mine.below[each] for each in own] == [theirs.below[each] for each in other]:
        contents = [sorted(mine.signatures[k] for k in mine.below[each]) for each in own]
        if contents[0] != contents[1]:
            return
    raise AmbiguousError(
        f"{theirs.paths[i]} and {theirs.paths[j]} have the same shapes, and nothing but their"
        f" order says which is {mine.paths[i]} and which {mine.paths[j]}"
    )


def _branches(first: str, second: str) -> tuple[str, str]:
    """Return the paths at which two modules part."""
    for a, b in zip(_prefixes(first), _prefixes(second), strict=False):
        if a != b:
            return a, b
    return first, second


def _numbered(branches: Sequence[str]) -> bool:
    """Whether two names differ in their numbers alone, the second of which is the larger."""
    first, second = (each.rpartition(".")[2] for each in branches)
    return _NUMBERS.sub("#", first) == _NUMBERS.sub("#", second) and _numbers(first) < _numbers(
        second
    )


def _check_values(found: Mapping[str, str], state: Mapping[str, Tensor]) -> None:
    for key, other in found.items():
        leaf = key.rpartition(".")[2]
        if leaf == "running_var" and bool((state[other] < 0).any()):
            raise AmbiguousError(f"{other} is no variance, since it has negative values")
        if leaf == COUNTER and (state[other].is_floating_point() or state[other].numel() != 1):
            raise AmbiguousError(f"{other} is no counter of batches")


def _numbers(name: str) -> tuple[int, ...]:
    # Numbers of more digits than Python reads are of no layer.
    return tuple(int(digits[:18]) for digits in _NUMBERS.findall(name))


def _prefixes(path: str) -> list[str]:
    """Return the paths of the modules on the way to `path`, the root left out."""
    parts = path.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _key(path: str, leaf: str) -> str:
    return f"{path}.{leaf}" if path else leaf
