"""Output folders: each holds one run, says which, and never mixes it with another's results."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from saddlepoint import __version__
from saddlepoint.describe import describe, differences
from saddlepoint.errors import InputError, OutputError
from saddlepoint.files import reason, write_json
from saddlepoint.reading import read_json, shown

RUN_FILE = "run.json"


def claim(out: Path, kind: str, config: Any, files: Sequence[str] = ()) -> bool:
    """Make `out` the folder of the run that `kind` and `config` identify; say whether it was so
    before.

    A run that failed before it wrote anything has no claim. Raises `InputError` where the folder
    holds another run (the differences are named) or, in no run's name, one of `files`, which this
    run would overwrite, and `OutputError` where it cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = claim(Path(folder), "train", {"seed": 0})
    ...     _ = write_json(Path(folder) / "result.json", {})
    ...     again = claim(Path(folder), "train", {"seed": 0})
    >>> first, again
    (False, True)
    """
    identity = {"kind": kind, "config": describe(config)}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {shown(out)}: {reason(error)}; choose another --out"
        ) from error
    if not (out / RUN_FILE).exists():
        mine = next((name for name in files if (out / name).exists()), None)
        if mine is not None:
            raise InputError(
                f"{shown(out)} holds {mine} of no known run, which would be lost; choose another --out"
            )
    if not any(path.is_file() and path != out / RUN_FILE for path in _below(out)):
        write_json(out / RUN_FILE, {**identity, "environment": environment()})
        return False
    before = read_json(out / RUN_FILE)
    if not isinstance(before, dict) or not isinstance(before.get("config"), dict):
        raise InputError(f"{shown(out / RUN_FILE)} is not a run's; choose another --out")
    if before.get("kind") != kind:
        raise InputError(
            f"{shown(out)} holds another run (of {shown(before.get('kind'))}, not {kind}); choose"
            " another --out"
        )
    different = differences(before["config"], identity["config"])
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise InputError(
            f"{shown(out)} holds another run: {'; '.join(different[:3])}{more}; choose another --out"
        )
    return True


def _below(out: Path) -> Iterator[Path]:
    # Whatever else lies in a folder that holds no run yet is no result of one.
    return out.rglob("*") if (out / RUN_FILE).exists() else iter(())


def environment() -> dict[str, Any]:
    """Return the versions and the machine that a result was computed with.

    >>> sorted(environment())
    ['cuda', 'machine', 'python', 'saddlepoint', 'threads', 'torch']
    """
    import torch

    return {
        "saddlepoint": __version__,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
