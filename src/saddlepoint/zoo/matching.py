"""Which tensors of a file belong to which of a module: by name, else by shape and order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from saddlepoint.errors import InputError
from saddlepoint.reading import shown
from saddlepoint.threat import Statistics
from saddlepoint.zoo.alignment import COUNTER, AmbiguousError, align
from saddlepoint.zoo.nearest import near_architectures
from saddlepoint.zoo.normalisers import normalisers, statistics_of
from saddlepoint.zoo.state_file import WeightsFile

State = Mapping[str, Tensor]

NORMALISATION = ("mean", "std")

_COMPILED = ("_orig_mod",)
_WRAPPINGS = (*_COMPILED, "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What wrappers put into the middle of a key: torch.compile, DataParallel, FSDP, checkpointing."""


@dataclass(frozen=True, eq=False)
class Matched:
    """The file's tensors under the module's keys, and what was done to match them.

    Attributes:
        state: the tensors, those of the file's normalisation among them where the module has one.
        stripped: what was taken off the file's keys.
        part: where the network stands in the file.
        statistics: the file's normalisation, where the module has no place for it.
        left_out: the file's keys that are of nothing in the module.
        renamed: the module's and the file's key of each tensor, where names differ.

    >>> Matched({}, "module.").stripped
    'module.'
    """

    state: dict[str, Tensor]
    stripped: str
    part: str = ""
    statistics: Statistics | None = None
    left_out: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


def match(own: State, file: WeightsFile, part: str | None = None) -> Matched:
    """Return the file's tensors under the keys of `own`, the module's state dict.

    Keys match as they are, behind any prefix that all of the network's share in the file or in the
    module, and without the marks of wrappers in their middle; else by shape and order (`align`).
    The constants of a normalisation beside the network are told from its weights. `part` says which
    network of the file is meant: its name among the parts, or its prefix.

    Raises `InputError` where nothing fits, and where several networks fit that differ. Shapes of
    tensors whose keys match are the caller's to compare.

    >>> from pathlib import Path
    >>> layer = torch.nn.Linear(2, 2)
    >>> wrapped = {f"module.{key}": value for key, value in layer.state_dict().items()}
    >>> match(layer.state_dict(), WeightsFile(Path("weights.pt"), {"": wrapped})).stripped
    'module.'
    """
    states = list(_states(file, part))
    found = [each for where, state in states for each in _by_name(own, state, where)]
    fitting = [each for each in found if _same_shapes(own, each.state)]
    if not fitting and found:
        return found[0]  # of other shapes, which the caller names
    doubt = ""
    if not fitting:
        for where, state in states:
            try:
                fitting += _by_order(own, state, where)
            except AmbiguousError as reason:
                doubt = doubt or str(reason)
        if not fitting and doubt:
            raise InputError(
                f"{shown(file.path)} has other names than the model, and is not matched by shape and"
                f" order: {shown(doubt)};\nbring its own code as FILE.py:CALLABLE"
            )
    if part is None and fitting:
        _check_one(own, fitting, file)
        fitting = [each for each in fitting if _is_most(each, states)]
    if not fitting:
        raise _mismatch(own, [state for _, state in states], file)
    return min(fitting, key=lambda each: len(each.left_out))


def _states(file: WeightsFile, part: str | None) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the state dicts of a file, as they are and without the marks of wrappers."""
    some = False
    for where, state in file.parts.items():
        chosen: State = state
        if part is not None and part != where and not where.endswith(f".{part}"):
            prefix = part.removesuffix(".") + "."
            chosen = {key: value for key, value in state.items() if key.startswith(prefix)}
        if not chosen:
            continue
        some = True
        yield where, dict(chosen)
        seen = [set(chosen)]
        for marks in (_COMPILED, _WRAPPINGS):
            clean = {_without(key, marks): value for key, value in chosen.items()}
            if len(clean) == len(chosen) and set(clean) not in seen:
                seen.append(set(clean))
                yield where, clean
    if not some:
        named = [name or "the whole" for name in file.parts]
        raise InputError(
            f"{shown(file.path)} has no part {shown(part)}; it has {shown(', '.join(named[:8]))}"
        )


def _without(key: str, marks: Sequence[str]) -> str:
    return ".".join(name for name in key.split(".") if name not in marks)


def _by_name(own: State, state: dict[str, Tensor], where: str) -> Iterator[Matched]:
    """Yield what matches by name: all of the module, or all but its normalisation."""
    for constants in ((), *normalisers(own)):
        network = [key for key in own if key not in constants]
        for prefix in _shared(network):
            keys = {key: key.removeprefix(prefix) for key in network}
            anchor = next((keys[key] for key in network if not key.endswith(COUNTER)), None)
            if anchor is None:
                return
            for first in state:
                if first == anchor or first.endswith(f".{anchor}"):
                    before = first.removesuffix(anchor)
                    pairs = {key: before + short for key, short in keys.items()}
                    if all(k in state or key.endswith(COUNTER) for key, k in pairs.items()):
                        pairs = {key: k for key, k in pairs.items() if k in state}
                        yield from _complete(own, pairs, state, where, before)


def _by_order(own: State, state: dict[str, Tensor], where: str) -> Iterator[Matched]:
    constants = next(normalisers(own), ())
    network = {key: value for key, value in own.items() if key not in constants}
    aside = {key for pair in normalisers(state) for key in pair}
    rest = {key: value for key, value in state.items() if key not in aside}
    tried: list[set[str]] = []
    for prefix in ("", *dict.fromkeys(p for key in rest for p in _prefixes(key))):
        below = {key: value for key, value in rest.items() if key.startswith(prefix)}
        if len(_required(below)) != len(_required(network)) or set(below) in tried:
            continue
        tried.append(set(below))
        pairs = align(network, below)
        if pairs is not None:
            for found in _complete(own, pairs, state, where, prefix):
                yield replace(found, renamed=tuple(pairs.items()))


def _complete(
    own: State, pairs: Mapping[str, str], state: State, where: str, prefix: str
) -> Iterator[Matched]:
    """Yield the match of the module's keys with those of the file, where what is left of the file
    may be left: a normalisation, copies, and what stands outside the network.
    """
    matched = {key: state[k] for key, k in pairs.items()}
    taken = set(pairs.values())
    rest = {key: value for key, value in state.items() if key not in taken}
    there = list(normalisers(rest))
    constants = [statistics_of(rest[mean], rest[std]) for mean, std in there]
    if any(each != constants[0] for each in constants):
        return
    aside = {key for pair in there for key in pair}
    names = {k.removeprefix(prefix): k for k in taken}
    left = [key for key in rest if key not in aside and not _is_copy(key, names, state)]
    # Tables of indices are no weights; whatever else stands in the network is of another network.
    if any(key.startswith(prefix) and state[key].is_floating_point() for key in left):
        return
    empty = next((pair for pair in normalisers(own) if not set(pair) & set(pairs)), None)
    if there and empty is not None:
        for key, values in zip(empty, constants[0], strict=True):
            matched[key] = torch.tensor(values).reshape(_fitting_shape(own[key], len(values)))
    unplaced = constants[0] if there and empty is None else None
    yield Matched(matched, prefix, where, unplaced, tuple(left))


def _fitting_shape(place: Tensor, count: int) -> tuple[int, ...]:
    return tuple(place.shape) if place.numel() == count else (count,)


def _is_copy(key: str, names: Mapping[str, str], state: State) -> bool:
    """Whether a tensor is the network's, saved a second time with a wrapper around it."""
    parts = key.split(".")
    others = (names.get(".".join(parts[i:])) for i in range(1, len(parts)))
    return any(other is not None and _equal(state[key], state[other]) for other in others)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)


def _check_one(own: State, fitting: Sequence[Matched], file: WeightsFile) -> None:
    """Raise `InputError` where networks that fit differ in their weights."""
    first = fitting[0]
    constants = {key for pair in normalisers(own) for key in pair}
    for other in fitting[1:]:
        shared = (first.state.keys() & other.state.keys()) - constants
        if not all(_equal(first.state[key], other.state[key]) for key in shared):
            names = [each.part for each in (first, other)]
            if names[0] == names[1]:
                names = [each.stripped for each in (first, other)]
            shown_names = " and ".join(shown(name or "the whole") for name in names)
            raise InputError(
                f"{shown(file.path)} holds several networks that fit, {shown_names} among them;"
                " choose one with --weights-part NAME (in Python part=)"
            )


def _is_most(found: Matched, states: Sequence[tuple[str, State]]) -> bool:
    """Whether the network is the larger part of the state dict it stands in."""
    sizes = {key: value.numel() for where, state in states if where == found.part
             for key, value in state.items()}  # fmt: skip
    left = sum(sizes.get(key, 0) for key in found.left_out)
    return left <= sum(value.numel() for value in found.state.values())


def _same_shapes(own: State, state: State) -> bool:
    return all(
        value.shape == own[key].shape
        or (key.rpartition(".")[2] in NORMALISATION and value.numel() == own[key].numel())
        for key, value in state.items()
    )


def _mismatch(own: State, states: Sequence[State], file: WeightsFile) -> InputError:
    constants = {key for pair in normalisers(own) for key in pair}
    needed = [key for key in own if not key.endswith(COUNTER) and key not in constants]
    attempts = [
        (ours, {key.removeprefix(theirs) for key in state})
        for state in states
        for theirs in _shared(list(state))
        for ours in ([key.removeprefix(prefix) for key in needed] for prefix in _shared(needed))
    ]
    wanted, there = max(attempts, key=lambda pair: len(pair[1].intersection(pair[0])))
    missing = [key for key in wanted if key not in there]
    unexpected = sorted(key for key in there.difference(wanted) if not key.endswith(COUNTER))
    parts = [
        f"{len(keys)} {what} ({shown(', '.join(keys[:3]))}{', …' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unexpected", unexpected))
        if keys
    ]
    told = f"{shown(file.path)} does not fit the model: keys {' and '.join(parts)}"
    return InputError(f"{told};\n{near_architectures(states[0])}")


def _required(state: State) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.endswith(COUNTER)}


def _shared(keys: Sequence[str]) -> list[str]:
    """Return the prefixes that all keys share, the empty one first."""
    common = ["", *_prefixes(keys[0])] if keys else [""]
    return [prefix for prefix in common if all(key.startswith(prefix) for key in keys)]


def _prefixes(key: str) -> list[str]:
    parts = key.split(".")[:-1]
    return [".".join(parts[: i + 1]) + "." for i in range(len(parts))]
