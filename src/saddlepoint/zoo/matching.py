"""Which keys of a file belong to which tensors of a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from saddlepoint.errors import InputError
from saddlepoint.reading import shown

State = Mapping[str, Tensor]

NORMALISATION = frozenset({"mean", "std"})

_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_COMPILED = "_orig_mod."
_COUNTER = "num_batches_tracked"  # absent from files of old versions, and of no effect on logits


@dataclass(frozen=True)
class Matched:
    """The file's tensors under the module's keys, and the prefix that was taken off.

    >>> Matched({}, "module.").stripped
    'module.'
    """

    state: dict[str, Tensor]
    stripped: str


def bare(module: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`, whose keys have no prefix.

    >>> layer = nn.Linear(2, 2)
    >>> bare(layer) is layer
    True
    """
    while isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
        module = inner
    return module


def match(own: State, state: State, path: Path) -> Matched:
    """Return the file's `state` under the keys of `own`, the module's state dict.

    Tries the keys as they are, then without the prefixes that all of them share, then, for a
    module with a normalisation layer, as those of its network `net`. Raises `InputError` with the
    missing and unexpected keys of the closest attempt.

    >>> layer = nn.Linear(2, 2)
    >>> wrapped = {f"module.{key}": value for key, value in layer.state_dict().items()}
    >>> match(layer.state_dict(), wrapped, Path("weights.pt")).stripped
    'module.'
    """
    wraps = _is_wrapper(own)
    attempts: list[Matched] = []
    for variant in _variants(state):
        attempts.append(variant)
        if wraps:
            inner = {f"net.{key}": value for key, value in variant.state.items()}
            attempts.append(Matched(inner, variant.stripped))
    for attempt in attempts:
        if _fits(own, attempt.state):
            return attempt
    bare = not wraps and not any(_is_wrapper(inner.state) for inner in _variants(own))
    if bare and any(_is_wrapper(attempt.state) for attempt in attempts):
        raise InputError(
            f"{shown(path)} holds a model with its normalisation (mean, std); loading it into a bare "
            "network would lose it: load it into the normalised model"
        )
    closest = max(attempts, key=lambda attempt: len(set(own) & set(attempt.state)))
    raise _mismatch(own, closest.state, path)


def _variants(state: State) -> Iterator[Matched]:
    # A compiled network inside a wrapper has its mark in the middle of the key.
    clean = {key.replace(_COMPILED, ""): value for key, value in state.items()}
    starts = [(dict(state), "")]
    if clean.keys() != state.keys() and len(clean) == len(state):
        starts.append((clean, _COMPILED))
    for current, stripped in starts:
        yield Matched(current, stripped)
        while prefix := next((p for p in _PREFIXES if all(k.startswith(p) for k in current)), None):
            current = {key.removeprefix(prefix): value for key, value in current.items()}
            stripped += prefix
            yield Matched(current, stripped)


def _is_wrapper(state: State) -> bool:
    others = set(state) - NORMALISATION
    return (
        set(state) >= NORMALISATION and all(k.startswith("net.") for k in others) and bool(others)
    )


def _fits(own: State, state: State) -> bool:
    missing = set(own) - set(state)
    return set(state) <= set(own) and all(_optional(own, key) for key in missing)


def _optional(own: State, key: str) -> bool:
    """Whether a file may leave a key out: counters, and the wrapper's own mean and std."""
    return key.endswith(_COUNTER) or (key in NORMALISATION and _is_wrapper(own))


def _mismatch(own: State, state: State, path: Path) -> InputError:
    missing = [key for key in own if key not in state and not _optional(own, key)]
    unexpected = [key for key in state if key not in own]
    parts = [
        f"{len(keys)} {what} ({shown(', '.join(keys[:3]))}{', …' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unexpected", unexpected))
        if keys
    ]
    return InputError(f"{shown(path)} does not fit the model: keys {' and '.join(parts)}")
