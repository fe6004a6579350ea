"""Components that others bring: from a file, `FILE.py:NAME`, or from an installed package."""

from __future__ import annotations

from saddlepoint.plugins.contracts import lacks, parameter_types, returned
from saddlepoint.plugins.files import file_source, from_file, is_file_spec, why
from saddlepoint.plugins.registry import Registry

__all__ = [
    "Registry",
    "file_source",
    "from_file",
    "is_file_spec",
    "lacks",
    "parameter_types",
    "returned",
    "why",
]
