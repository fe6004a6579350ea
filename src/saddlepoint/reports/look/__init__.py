"""The page of a look into one model: its pictures, before and after an attack."""

from __future__ import annotations

from saddlepoint.reports.look.document import look_document

__all__ = ["look_document"]
