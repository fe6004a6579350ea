"""Suites that a user has written: a YAML file of attacks, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from saddlepoint.attacks.core.contract import Attack
from saddlepoint.attacks.registry import build_attack
from saddlepoint.attacks.wrappers.fast import Fast
from saddlepoint.attacks.wrappers.registry import wrapped
from saddlepoint.document import Document, read_document
from saddlepoint.errors import InputError, unknown
from saddlepoint.threat import ThreatModel

ENDINGS = (".yaml", ".yml")


def read_suite(path: Path, threat: ThreatModel) -> Mapping[str, Attack]:
    """Return the attacks of a suite file for a threat model.

    Each entry is a name and a mapping of the attack's options. `attack` says which attack it is where
    the name does not, `wrap` lists wrappers as `--wrap` takes them. A minimum-norm attack is counted
    at the budget.

    Raises `InputError` with line and field for what cannot be read or built.

    >>> import tempfile
    >>> from saddlepoint.threat import Linf
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "suite.yaml"
    ...     _ = file.write_text("apgd: {steps: 20}\\naimed: {attack: apgd, loss: dlr-targeted}")
    ...     suite = read_suite(file, Linf(0.1))
    >>> {name: attack.loss for name, attack in suite.items()}
    {'apgd': 'cross-entropy', 'aimed': 'dlr-targeted'}
    """
    document = read_document(path)
    entries = document.values
    if not isinstance(entries, dict) or not entries:
        raise InputError(
            f"{document.source} is no suite; write names of attacks with their options, as in"
            " apgd: {steps: 50}"
        )
    return MappingProxyType({name: _built(document, name, threat) for name in entries})


def _fast(threat: ThreatModel, options: Mapping[str, Any]) -> Attack:
    """Return `Fast` with options by name; raises `InputError` for those it has not."""
    known = [each.name for each in fields(Fast) if each.name not in ("threat", "pilot")]
    for name in options:
        if name not in known:
            raise unknown("option of fast", str(name), known)
    return Fast(threat, **options)


def _built(document: Document, name: Any, threat: ThreatModel) -> Attack:
    options = document.values[name]
    if not isinstance(name, str):
        raise document.error((name,), "a name is text")
    if options is None:
        options = {}
    if not isinstance(options, dict):
        raise document.error((name,), f"is {options!r:.40}; give options, as in {{steps: 50}}")
    options = dict(options)
    kind, wraps = options.pop("attack", name), options.pop("wrap", [])
    if not isinstance(kind, str):
        raise document.error((name, "attack"), f"is {kind!r:.40}; give an attack's name")
    if not isinstance(wraps, list) or not all(isinstance(word, str) for word in wraps):
        raise document.error((name, "wrap"), "give a list, as in [restarted=5]")
    try:
        if kind == "fast":  # a suite of one attack, which is no attack of the registry
            return wrapped(_fast(threat, options), wraps)
        attack = build_attack(kind, threat, {str(key): value for key, value in options.items()})
        return wrapped(attack, wraps)
    except InputError as error:
        wrong = next((key for key in options if str(key) in str(error)), None)
        raise document.error((name,) if wrong is None else (name, wrong), str(error)) from error
