"""Pages as one file of HTML that needs nothing else: no other file, no request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

_PACKAGE = "saddlepoint.reports"


@dataclass(frozen=True)
class Script:
    """A script of ours inside a page, which the page's policy allows by its digest.

    >>> Script("1;").digest
    'sha256-CImjRDTlhukYQ2AnxOi0wzgPhGQ3Mb3rVwJK24dFz1M='
    """

    text: str

    @property
    def digest(self) -> str:
        """What the policy names it by."""
        return "sha256-" + base64.b64encode(hashlib.sha256(self.text.encode()).digest()).decode()


def render(
    template: str,
    values: Mapping[str, Any],
    *,
    script: bool = False,
    filters: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
) -> str:
    """Return a page; everything in it that is not said to be safe is escaped.

    Args:
        template: its file, below `saddlepoint/reports`.
        values: what it shows.
        script: whether it has galleries that can be filtered.
        filters: of its own.

    >>> "<script" in render("page/base.html.jinja", {})
    False
    """
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_read),
    )
    environment.filters.update(filters)
    shared = {
        "css": _read("page/page.css"),
        "script": Script(_read("page/filter.js")) if script else None,
    }
    return environment.get_template(template).render({**shared, **values})


def _read(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")
