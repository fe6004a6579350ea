"""Mending of text: what a wrong character set left behind."""

from __future__ import annotations

import re

_C1 = re.compile("[\x80-\x9f]")
_AFTER = re.compile(r"\s+([.,;:!?»)\]])")
_BEFORE = re.compile(r"([¿¡«(\[])\s+")


def mended(text: str) -> str:
    """Return a text whose C1 control characters are those that Windows-1252 has in their place; the
    five that it has not are left out.

    >>> mended("a film\x85 or\x97not\x81")
    'a film… or—not'
    """
    return _C1.sub(lambda found: _of_windows(found[0]), text)


def joined(text: str) -> str:
    """Return a text, put together of words and marks, with each mark at the word that it belongs to.

    >>> joined("¿ qué es ( eso ) ?")
    '¿qué es (eso)?'
    """
    return _BEFORE.sub(r"\1", _AFTER.sub(r"\1", text))


def _of_windows(character: str) -> str:
    return character.encode("latin-1").decode("cp1252", "ignore")
