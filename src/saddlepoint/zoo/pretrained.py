"""Where the pretrained weights of timm and torchvision lie, and whether they can be had at all."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from saddlepoint.errors import InputError
from saddlepoint.reading import shown

_SECONDS = 5.0  # for an answer of the server


@dataclass(frozen=True)
class Offered:
    """A file of weights that a library fetches: where from, and where it keeps it.

    >>> Offered("https://example.org/a.pth", Path("no-such-folder"), ("a.pth",)).kept()
    """

    url: str
    folder: Path
    names: tuple[str, ...]

    def kept(self) -> Path | None:
        """Return the file, where it was fetched before."""
        for name in self.names:
            # A folder of the hub has one below it for each revision.
            places = [self.folder / name, *sorted(self.folder.glob(f"snapshots/*/{name}"))]
            found = next((each for each in places if each.is_file()), None)
            if found is not None:
                return found
        return None

    def check(self, spec: str, seconds: float = _SECONDS) -> None:
        """Raise `InputError` where the file is neither there nor can be fetched: within seconds,
        since the libraries try for minutes.
        """
        if self.kept() is not None:
            return
        why = _unreachable(self.url, seconds)
        if why is not None:
            raise InputError(
                f"{spec}: the pretrained weights have to be fetched, and"
                f" {urlsplit(self.url).hostname} cannot be reached ({shown(why)});\nthey are not in"
                f" {shown(self.folder)}; fetch them elsewhere, and add --weights FILE"
            )


def offered_by_timm(config: Any) -> Offered | None:
    """Return the file that a configuration of timm's names; None where it names none."""
    hub, url = getattr(config, "hf_hub_id", None), getattr(config, "url", None)
    if hub:
        try:
            from huggingface_hub import constants
        except ImportError:
            hub = None
        else:
            repository = str(hub).partition("@")[0]
            folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
            own = getattr(config, "hf_hub_filename", None)
            names: Sequence[str] = ("model.safetensors", "pytorch_model.bin")
            return Offered(
                f"{constants.ENDPOINT}/{repository}", folder, (own,) if own else tuple(names)
            )
    return offered_by_url(str(url)) if url else None


def offered_by_url(url: str) -> Offered:
    """Return the file behind an address, which torch keeps in its folder of checkpoints.

    >>> offered_by_url("https://example.org/a.pth").names
    ('a.pth',)
    """
    from torch import hub

    return Offered(url, Path(hub.get_dir()) / "checkpoints", (Path(urlsplit(url).path).name,))


def _unreachable(url: str, seconds: float) -> str | None:
    """Return why nothing answers at an address; None where something does."""
    why = [f"no answer in {seconds:.0f} s"]

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=seconds):
                why.clear()
        except HTTPError:  # an answer, too
            why.clear()
        except (OSError, ValueError) as error:
            why[0] = str(getattr(error, "reason", error)) or type(error).__name__

    # Names are looked up without a time limit, so that the thread may outlive the question.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds + 1)
    return why[0] if why else None
