"""Output folders: each holds one run, says which, and never mixes it with another's results."""

from __future__ import annotations

import contextlib
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from saddlepoint import __version__
from saddlepoint.configuration import configuration, differences
from saddlepoint.errors import InputError, OutputError
from saddlepoint.files import fingerprint, is_temporary, reason, sweep, temporary_name, write_json
from saddlepoint.locks import locked
from saddlepoint.reading import read_json, shown

RUN_FILE, LOCK_FILE, NEXT = "run.json", ".lock", ".next"
_EXTENDED = ".extended-"
LATER = ("model_source",)  # what runs of earlier versions do not say
Kin = Literal["part", "extends"]
"""A run that asks for a part of the finished one in a folder, or for more than it."""
Found = Literal["new", "begun", "finished"] | Kin
"""Of the run that a folder is claimed for: as it is found there."""


@contextlib.contextmanager
def claimed(
    out: Path | None,
    kind: str,
    config: Any,
    files: Sequence[str] = (),
    finished: Callable[[], bool] = lambda: False,
    kinship: Callable[[dict[str, Any]], Kin | None] = lambda before: None,
) -> Iterator[Found]:
    """Hold `out`, the folder of the run that `kind` and `config` identify, while the block runs;
    yield how far the run is.

    A run that failed before it wrote anything has no claim, and leaves no trace. A folder in use is
    locked; one whose run is `finished` is not, since it is only read. What a killed process left
    half-written in it is removed.

    Args:
        out: the folder; None is a run that keeps nothing.
        kind, config: which run it is.
        files: what the run writes besides `run.json`.
        finished: says whether the run in the folder is.
        kinship: says of the configuration of another finished run whether this one is a "part" of
            it, which is read, or "extends" it, to `supersede` it in the end.

    Raises `InputError` where the folder is another process's at present, holds another run (the
    differences are named) or, in no run's name, one of `files`, which this run would overwrite;
    `OutputError` where it cannot be made or written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out, states = Path(folder), []
    ...     for _ in range(2):
    ...         with claimed(out, "train", {"seed": 0}) as state:
    ...             _ = write_json(out / "result.json", {})
    ...             states.append(state)
    >>> states
    ['new', 'begun']
    """
    if out is None:
        yield "new"
        return
    identity = {"kind": kind, "config": configuration(config)}
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {shown(out)}: {reason(error)}; choose another folder"
        ) from error
    # While one record takes another's place, neither can be read without the lock.
    if finished() and not (out / NEXT).exists():
        known = _known(out, identity, files, kinship)
        if known in ("finished", "part"):
            yield known
            return
    with _gone_if_empty(out, made), locked(out / LOCK_FILE) as mine:
        if not mine:
            raise InputError(
                f"another process is writing to {out}; wait for it, or choose another folder"
            )
        for folder in (out, *(out / name for name in files)):
            sweep(folder)
        _settle(out)
        # It may have become another's in between.
        known = _known(out, identity, files, kinship if finished() else lambda before: None)
        if known == "finished" and not finished():
            known = "begun"
        if known == "new":
            write_json(out / RUN_FILE, {**identity, "environment": environment()})
        try:
            yield known
        except BaseException:
            if known == "new" and {each.name for each in out.iterdir()} <= {RUN_FILE, LOCK_FILE}:
                (out / RUN_FILE).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _gone_if_empty(out: Path, made: bool) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if made:
            with contextlib.suppress(OSError):  # there is something in it
                out.rmdir()
        raise


def check_free(
    out: Path, kind: str, files: Sequence[str] = (), known: Mapping[str, Any] | None = None
) -> None:
    """Raise `InputError` where `out` is certainly no folder for a run of this kind, as far as is
    `known` of its configuration; `claimed` compares all of it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with claimed(Path(folder) / "a", "train", {"seed": 0}):
    ...         _ = write_json(Path(folder) / "a" / "result.json", {})
    ...     check_free(Path(folder) / "a", "train", known={"seed": 1})
    Traceback (most recent call last):
        ...
    saddlepoint.errors.InputError: ... holds another run: seed was 0, is now 1; choose another folder
    """
    if not out.is_dir():
        return
    config = None
    if (out / RUN_FILE).exists():
        found = read_json(out / RUN_FILE)
        config = found.get("config") if isinstance(found, dict) else None
    wanted = configuration(known or {})
    if isinstance(config, dict):
        # What is not known yet is taken to be the same.
        wanted = _filled(wanted, config)
    _known(out, {"kind": kind, "config": wanted}, files, lambda before: None)


def _filled(wanted: Any, config: Any) -> Any:
    if not isinstance(wanted, dict) or not isinstance(config, dict):
        return wanted
    return {**config, **{key: _filled(each, config.get(key)) for key, each in wanted.items()}}


def supersede(out: Path, kind: str, config: Any, save: Callable[[Path], None]) -> None:
    """Put another run in the place of the finished one in `out`, which its process holds: all of
    its files or none, whenever the process ends.

    Args:
        kind, config: which run it is.
        save: writes the files of the run into a folder.

    Raises `OutputError` where the disk refuses; the run before is then unchanged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = Path(folder)
    ...     supersede(out, "train", {"seed": 1}, lambda to: write_json(to / "result.json", {}))
    ...     sorted(path.name for path in out.iterdir())
    ['result.json', 'run.json']
    """
    staged = temporary_name(out / NEXT)
    try:
        save(staged)
        about = {"kind": kind, "config": configuration(config), "environment": environment()}
        write_json(staged / RUN_FILE, about)
        staged.replace(out / NEXT)  # from here on the new run is the folder's
        _settle(out)
    except OSError as error:
        raise OutputError(f"cannot write {shown(out)}: {reason(error)}") from error


def _settle(out: Path) -> None:
    """Move the files of a run that `supersede` has staged to their places."""
    staged = out / NEXT
    if not staged.exists():
        return
    for path in sorted(staged.iterdir(), key=lambda path: path.name == RUN_FILE):
        target = out / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    for path in out.glob(f"{_EXTENDED}*"):
        shutil.rmtree(path)
    staged.rmdir()


def extension_folder(out: Path, config: Any) -> Path:
    """Return where a run that extends the one in `out` keeps what is done so far of it; whatever
    `supersede` puts in its place removes it.

    >>> extension_folder(Path("runs"), {"seed": 1}).parent
    PosixPath('runs')
    """
    return out / f"{_EXTENDED}{fingerprint(configuration(config))}"


def _known(
    out: Path,
    identity: dict[str, Any],
    files: Sequence[str],
    kinship: Callable[[dict[str, Any]], Kin | None],
) -> Found:
    """Return whether the folder holds nothing of a run ("new"), of this run, which may be finished,
    or of one of its kin; raise where it is another's.
    """
    if not (out / RUN_FILE).exists():
        mine = next((name for name in files if (out / name).exists()), None)
        if mine is not None:
            raise InputError(
                f"{shown(out)} holds {mine} of no known run, which would be lost; choose another folder"
            )
    if not any(_is_result(path, out) for path in _below(out)):
        return "new"
    before = read_json(out / RUN_FILE)
    if not isinstance(before, dict) or not isinstance(before.get("config"), dict):
        raise InputError(f"{shown(out / RUN_FILE)} is not a run's; choose another folder")
    if before.get("kind") != identity["kind"]:
        raise InputError(
            f"{shown(out)} holds another run (of {shown(before.get('kind'))}, not"
            f" {identity['kind']}); choose another folder"
        )
    different = differences(before["config"], identity["config"], later=LATER)
    kin = kinship(before["config"]) if different else None
    if kin is not None:
        return kin
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise InputError(
            f"{shown(out)} holds another run: {'; '.join(different[:3])}{more}; choose another folder"
        )
    return "finished"


def _below(out: Path) -> Iterator[Path]:
    # Whatever else lies in a folder that holds no run yet is no result of one.
    return out.rglob("*") if (out / RUN_FILE).exists() else iter(())


def _is_result(path: Path, out: Path) -> bool:
    if path in (out / RUN_FILE, out / LOCK_FILE):
        return False
    unfinished = (path, *path.parents)[: len(path.relative_to(out).parts)]
    return path.is_file() and not any(is_temporary(each) for each in unfinished)


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
