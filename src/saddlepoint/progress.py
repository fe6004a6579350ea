"""Progress: what long work tells its caller; nothing here prints."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with (done, in all, what is being done)."""
