"""A folder of evaluations, found again by the content of everything that determines them."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import torch
from filelock import FileLock
from torch import nn

from saddlepoint import __version__
from saddlepoint.data import DataLike, ImageData, as_data, data_identity
from saddlepoint.errors import InputError
from saddlepoint.evaluation import Evaluation, Suite, build_suite, evaluate
from saddlepoint.files import fingerprint, write_json
from saddlepoint.model.anchor import device_of
from saddlepoint.numerics import NUMERICS
from saddlepoint.testing.contents import ContentsError, contents
from saddlepoint.testing.options import EvaluationOptions
from saddlepoint.threat import Normed, ThreatModel, norm_ball, parse_eps
from saddlepoint.zoo import weights_fingerprint


@dataclass(frozen=True)
class RobustnessCache:
    """Evaluations that are measured once and read until something changes that determines them.

    What determines one: weights, buffers, other attributes and the compiled code of the model (its
    classes, and what their code names, as far as it is no installed package's), images and labels,
    threat model, attacks of the suite, every option, and the versions of saddlepoint, torch and
    Python. See `contents`.

    Args:
        folder: where they are kept; it may be removed at any time.

    >>> import tempfile
    >>> from saddlepoint.data import load_data
    >>> from saddlepoint.zoo import build_model
    >>> data = load_data("digits", limit=10)
    >>> net = build_model("simple-cnn", classes=10, shape=data.shape)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = RobustnessCache(Path(folder))
    ...     first = cache.evaluate(net, data, "Linf", suite="quick", eps=0.1)
    ...     again = cache.evaluate(net, data, "Linf", suite="quick", eps=0.1)
    >>> first.seconds == again.seconds
    True
    """

    folder: Path

    def evaluate(
        self,
        model: nn.Module,
        data: DataLike,
        threat: ThreatModel | str,
        *,
        suite: str | Suite = "fast",
        **options: Unpack[EvaluationOptions],
    ) -> Evaluation:
        """Return the evaluation, read where it was finished before, without a pass of the model.

        Of several processes that ask for the same one, the others wait for the first. A model that
        cannot be told from another by its content is evaluated each time, and a warning says why.

        Raises `InputError` as `saddlepoint.evaluation.evaluate` does.
        """
        images = as_data(data)
        try:
            key = _key(model, images, threat, suite, options)
        except ContentsError as error:
            warnings.warn(f"{error}, so that nothing of it is kept", stacklevel=2)
            return evaluate(model, images, threat, suite=suite, **options)
        name = fingerprint(key)
        place, finished = self.folder / name, self.folder / f"{name}.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{name}.lock"):
            # Written last: whatever is in the folder without it goes on where it was interrupted.
            if finished.exists():
                return _read(place, self.folder)
            found = evaluate(model, images, threat, suite=suite, out=place, **options)
            write_json(finished, key)
            return found


def _read(place: Path, folder: Path) -> Evaluation:
    try:
        return Evaluation.load(place)
    except InputError as error:
        raise InputError(f"{error}\nremove {folder}, or run pytest --cache-clear") from error


def _key(
    model: nn.Module,
    data: ImageData,
    threat: ThreatModel | str,
    suite: str | Suite,
    options: EvaluationOptions,
) -> dict[str, Any]:
    """Return everything that determines an evaluation, as JSON values; what is large as digests."""
    ball = norm_ball(threat) if isinstance(threat, str) else threat
    eps: Any = options.get("eps")
    if eps is not None and isinstance(ball, Normed):
        # Of several budgets one is enough to build the suite: all are among the options.
        several = [eps] if isinstance(eps, str) or not isinstance(eps, Iterable) else list(eps)
        ball = ball.with_eps(parse_eps(several[0])) if several else ball
    # A file of attacks is what it holds, not what it is called.
    attacks = build_suite(suite, ball) if isinstance(suite, str) else suite
    rest = {name: value for name, value in options.items() if name != "progress"}
    return {
        "weights": weights_fingerprint(model),
        "model": contents(model),
        "device": device_of(model).type,
        "data": {**data_identity(data), "classes": list(data.classes)},
        "threat": f"{ball} {contents(ball)}",
        "attacks": {name: contents(attack) for name, attack in attacks.items()},
        "options": {name: contents(value) for name, value in sorted(rest.items())},
        "versions": {
            "saddlepoint": __version__,
            "numerics": dict(NUMERICS),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
