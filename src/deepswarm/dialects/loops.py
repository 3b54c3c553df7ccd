"""Texts that go round in circles: nothing but whitespace, or the same characters over and over.

A text counts as repeating itself when its last LOOPED characters have a period of at most LONGEST characters: that is
about 2,000 tokens of the very same, far beyond what tables, rulers, poems and padded data hold.
"""

from __future__ import annotations

from typing import Final

LOOPED: Final = 7600
"""Characters of pure repetition. Looked for every STEP characters, it is found before the 8,000th."""
LONGEST: Final = 200
"""The longest period that is looked for."""
BLANKS: Final = 2000
"""Characters of whitespace in a row, of which more are too many."""
STEP: Final = 400


class Repeating(Exception):
    """A text under way has begun to repeat itself; says how."""


class Text:
    """A text that comes in pieces, and is watched for repetition: cheaply, every STEP characters.

    Attributes:
        pieces: What came, in order.
        size: Characters so far.
    """

    __slots__ = ("_looked", "_next", "_tail", "pieces", "size")

    def __init__(self) -> None:
        """Nothing came yet."""
        self.pieces: list[str] = []
        self.size = 0
        self._next = BLANKS
        self._looked = 0
        self._tail = ""

    def __repr__(self) -> str:
        return f"Text({self.size} characters in {len(self.pieces)} pieces)"

    def add(self, piece: str) -> None:
        """Take the next piece.

        Raises:
            Repeating: The text repeats itself; the piece was taken.
        """
        self.pieces.append(piece)
        self.size += len(piece)
        if self.size > self._next:
            self._look()

    def whole(self) -> str:
        """All of it."""
        return "".join(self.pieces)

    def _look(self) -> None:
        self._tail = (self._tail + "".join(self.pieces[self._looked :]))[-LOOPED:]
        self._looked = len(self.pieces)
        self._next = self.size + STEP
        if found := repetition(self._tail):
            raise Repeating(found)


def repetition(text: str) -> str:
    """How the end of a text repeats itself, in a sentence; empty when it does not."""
    if len(text) > BLANKS and text[-BLANKS - 1 :].isspace():
        return f"more than {BLANKS:,} characters of whitespace in a row"
    if len(text) < LOOPED:
        return ""
    found = period(text[-LOOPED:])
    return f"the last {LOOPED:,} characters repeat the same {found}" if found else ""


def period(text: str) -> int:
    """The shortest period of a text, of at most LONGEST characters; 0 when it has none.

    A period p means that every character equals the one p places before it. If the text has one, its last LONGEST
    characters come again that many places earlier, so that the nearest such place is the only one worth trying: by the
    theorem of Fine and Wilf (1965) it is then a period of the whole text as well.

    Args:
        text: At least 2 * LONGEST characters.
    """
    size = len(text)
    again = text.rfind(text[-LONGEST:], size - 2 * LONGEST, size - 1)
    if again < 0:
        return 0
    found = size - LONGEST - again
    return found if text.startswith(text[found:]) else 0
