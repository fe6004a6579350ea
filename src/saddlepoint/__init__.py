"""saddlepoint: attacks, defences, evaluation and studies of adversarial robustness under one
contract.

Submodules are imported when they are first named, so that `import saddlepoint` does not import
torch:

>>> import saddlepoint
>>> saddlepoint.threat.Linf(8 / 255).eps * 255
8.0
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "attacks",
    "data",
    "defences",
    "evaluation",
    "lab",
    "model",
    "reports",
    "testing",
    "text",
    "threat",
    "training",
    "zoo",
)


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"saddlepoint.{name}")
    raise AttributeError(f"module 'saddlepoint' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*_ROOMS, "__version__"]
