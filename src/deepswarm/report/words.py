"""Numbers as people read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

_OBEYED: Final = (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_VISIBLE: Final[Mapping[int, str]] = {code: chr(0x2400 + code) if code < 0x20 else f"\\u{code:04x}" for code in _OBEYED}


def duration(seconds: float) -> str:
    """Seconds for people: 42 s, 3 min, 2.5 h."""
    if seconds < 0.95:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def money(amount: Decimal) -> str:
    """US dollars for people: $12.34; below a dollar with two digits that are not 0."""
    if amount >= 1 or not amount:
        return f"${amount:,.2f}"
    return f"${amount:.{min(9, 1 - amount.adjusted())}f}"


def plain(text: str) -> str:
    """The text without anything that a terminal would obey: control characters become visible, line ends stay.

    Answers, ids and errors come from outside; an escape sequence in them could rewrite what a person sees.
    Source: ECMA-48: C0 (U+0000 to U+001F), DEL and C1 (U+0080 to U+009F); UAX 9 for what turns the writing direction.
    """
    if text.isascii() and text.isprintable():
        return text
    return text.translate(_VISIBLE)
