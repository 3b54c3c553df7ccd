"""The language that a text is written in, told offline. The only file of the room that knows the library behind it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

LEAST_LETTERS: Final = 20
"""Texts with fewer letters are not judged: a name or a number has no language."""
SURE: Final = 0.8
"""How sure a guess at another language must be to count."""
_LOOKED_AT: Final = 2000
_IDEOGRAPHS: Final = "\u2e80"
"""From here on stand the scripts of Chinese, Japanese and Korean."""
_NO_PROSE: Final = re.compile(r"(?s:```.*?(?:```|\Z))|https?://\S++|[\d\W_]++")
_RELATIVES: Final = (
    frozenset({"no", "nb", "nn", "da"}),
    frozenset({"hr", "bs", "sr"}),
    frozenset({"id", "ms"}),
    frozenset({"zh", "yue", "wuu", "gan", "lzh"}),
)
"""Languages that are too much alike to be told apart in a short text."""


def known_languages() -> frozenset[str]:
    """Codes of ISO 639-1 of the languages that can be told."""
    return frozenset(_model().labels)


def other_language(text: str, wanted: str) -> str:
    """The code of the language of a text that is surely not in the wanted one; empty when it may be."""
    prose = _NO_PROSE.sub(" ", text[: 4 * _LOOKED_AT])[:_LOOKED_AT].encode("utf-8", "ignore").decode()
    if letters_in(prose) < LEAST_LETTERS:
        return ""
    ranked = _model().rank(prose)
    code = str(ranked[0][0])
    family = next((relatives for relatives in _RELATIVES if code in relatives), {code})
    certainty = sum(share for other, share in ranked if other in family)
    return "" if wanted in family or certainty < SURE else code


def letters_in(text: str) -> int:
    """Letters of a text; one of Chinese, Japanese or Korean says as much as three."""
    return sum(3 if letter >= _IDEOGRAPHS else 1 for letter in text if letter.isalpha())


@cache
def _model() -> Any:
    """The model, read once: some 120 MB of memory and a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
