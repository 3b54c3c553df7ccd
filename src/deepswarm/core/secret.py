"""What looks like a secret, and how a value is shown without one.

A task file only names the environment variable that holds a key; keys get into it all the same, by mistake. The rules:
    - a secret is known by its name (`api_key: …`) or by its looks: spelt like the keys of a known provider, a long run
      of letters and digits mixed as no word is, what stands before the @ of an address or behind `key=` in its query;
    - whatever a message repeats of a task goes through `masked`, `shown` or `plainly`;
    - a false alarm costs a few stars in a message, a key that is shown is lost: so doubtful cases are hidden.
"""

from __future__ import annotations

import re
from typing import Final

_SECRET_NAME: Final = re.compile(
    r"(?:.*[-_.])?(?:api[-_]?key|secret|password|passwd|authorization|bearer)", re.IGNORECASE
)
_SECRET_NAME_AT_TOP: Final = re.compile(r"(?:[a-z]+[-_])?(?:key|token|auth)", re.IGNORECASE)
_KNOWN_KEYS: Final = re.compile(
    r"\b(?:sk-[\w\-.]{6,}|AIza[\w\-]{10,}|A[KS]IA[A-Z0-9]{12,}|eyJ[\w\-]{8,}[\w\-.]*"
    r"|(?:sk|pk|rk|gsk|csk|dsk|xai|hf|r8|ghp|gho|ghu|ghs|glpat|github_pat|pplx|nvapi|fw|tgp)[-_](?=[\w\-.]{0,64}\d)[\w\-.]{6,})"
)
_LONG_RUN: Final = re.compile(r"[A-Za-z0-9+]{20,}={0,2}")
_IN_ADDRESS: Final = re.compile(r"(?<=://)[^/?#\s@]*(?=@)")
_IN_QUERY: Final = re.compile(
    r"(?<=[?&])((?:[\w\-]*[-_])?(?:key|apikey|token|secret|password|sig|signature)=)[^&#\s]+", re.IGNORECASE
)


def masked(text: str) -> str:
    """The text with everything that looks like a secret replaced by as many stars, so that columns stay."""
    text = _KNOWN_KEYS.sub(_stars, text)
    text = _LONG_RUN.sub(lambda found: _stars(found) if _is_random(found[0]) else found[0], text)
    text = _IN_ADDRESS.sub(_stars, text)
    return _IN_QUERY.sub(lambda found: found[1] + "*" * (len(found[0]) - len(found[1])), text)


def _stars(found: re.Match[str]) -> str:
    return "*" * len(found[0])


def _is_random(run: str) -> bool:
    """Letters and digits mixed as no word is."""
    digits = sum(letter.isdigit() for letter in run)
    return 3 <= digits < len(run)  # a word with a version's number at its end has fewer


def spells_a_key(text: str) -> bool:
    """Whether a text holds what is spelt like the keys of a known provider, or a key in an address's query."""
    return bool(_IN_QUERY.search(text) or _KNOWN_KEYS.search(text))


def names_a_secret(key: str, value: object, *, top: bool = False) -> bool:
    """Whether a key, by its name, is there to hold a secret; a number is none (`max_token: 5` is only misspelt).

    At the top of the file more names do: within `worker_params`, a `stop_token` is a parameter like others.
    """
    named = _SECRET_NAME.fullmatch(key) or (top and _SECRET_NAME_AT_TOP.fullmatch(key))
    return bool(named) and not isinstance(value, (int, float))


def holds_a_secret(value: object) -> bool:
    """Whether a text in a value, however deep, is spelt like the keys of a known provider."""
    if isinstance(value, dict):
        return any(names_a_secret(key, item) or holds_a_secret(item) for key, item in value.items())
    if isinstance(value, list):
        return any(holds_a_secret(item) for item in value)
    return isinstance(value, str) and bool(_KNOWN_KEYS.fullmatch(value.strip()))


def shown(value: object) -> str:
    """A value as a message may repeat it: short, in the task file's spelling, without anything that may be a key."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value) if abs(value) < 10**18 or isinstance(value, float) else "a very large number"
    if isinstance(value, str):
        text = masked(" ".join(value.split()))
        return (f"'{text[:39]}…'" if len(text) > 40 else f"'{text}'") if text else "empty text"
    return "a list" if isinstance(value, list) else "a section"


def plainly(value: object) -> str:
    """A value as the task file spells it: like `shown`, but text without quotation marks and at full length."""
    return masked(value) if isinstance(value, str) else shown(value)
