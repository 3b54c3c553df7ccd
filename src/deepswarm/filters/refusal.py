"""The filter `refusal`: the model did the task, and did not decline it or apologise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deepswarm.core.records import Drop, Keep, Record, Verdict
from deepswarm.filters.texts import missing, text_of

_OPENING: Final = 400
"""How many characters of an answer are its opening; a refusal is said at once."""
_AFTER: Final = "['\u2019]"
_SORRY: Final = (
    rf"(?:i(?:{_AFTER}m|\sam)\s(?:(?:very|so|really|truly)\s)?sorry|sorry|(?:my\s)?apologies|i\sapologi[sz]e)"
)
_UNABLE: Final = rf"""
    i (?: \s can \s? not | \s can{_AFTER}t | \s won{_AFTER}t | \s will \s not
      | (?: \s am | {_AFTER}m ) \s (?: unable | not \s (?: able | comfortable | permitted | allowed ) )
      | \s (?: must | have \s to | need \s to ) \s (?: decline | refuse )
      | \s do (?: n{_AFTER}t | \s not ) \s feel \s comfortable )
"""
_DOING: Final = r"""
    (?: \s to )? \s (?: help | assist | provid\w+ | creat\w+ | generat\w+ | writ\w+ | produc\w+ | comply\w* | fulfil\w*
      | answer\w* | complet\w+ | do | support\w* | engag\w+ | continu\w+ | shar\w+ | discuss\w* | offer\w* | giv\w+
      | translat\w+ | summari\w+ | access | brows\w+ | open | participat\w+ | process | with ) \b
"""
_REFUSALS: Final = re.compile(
    rf"""
      \b (?: {_UNABLE} ) {_DOING}
    | \b {_SORRY} \b [,.!]? \s* (?: but \s )? (?: i | this | that | your | the ) \b [^.\n]{{0,60}}
      \b (?: not | can{_AFTER}t | cannot | unable | against | violat\w* )
    | \b as \s an? \s (?: ai | artificial | large | language ) \b [^.\n]{{0,80}}
      \b (?: cannot | can{_AFTER}t | not | unable | don{_AFTER}t )
    | \b (?: against | violates? | goes \s against ) \s (?: my | our | the ) \s [^.\n]{{0,30}}
      (?: guidelines | polic\w+ | principles )
    | \b es \s tut \s mir \s leid | \b ich \s kann \s (?: ihnen | dir | das | dabei | diese ) [^.\n]{{0,60}} \s nicht
    | \b je \s suis \s d\u00e9sol\u00e9
    | \b je \s ne \s (?: peux | suis ) \s pas \b [^.\n]{{0,40}} (?: aider | fournir | capable )
    | \b lo \s siento | \b no \s puedo \s (?: ayudar | proporcionar | cumplir | generar | responder )
    | \u62b1\u6b49 | \u5bf9\u4e0d\u8d77
    | \u6211 (?: \u65e0\u6cd5 | \u4e0d\u80fd )
      (?: \u63d0\u4f9b | \u534f\u52a9 | \u5e2e\u52a9 | \u56de\u7b54 | \u5b8c\u6210 | \u751f\u6210 )
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Sorry, but I cannot ...; in the Chinese line: sorry; I cannot offer, assist, help, answer, finish, generate."""
_NOTHING: Final = rf"(?:n/?a|none|null|no (?:answer|comment)|i (?:do not|don{_AFTER}t) know)"
_EMPTY_WORDS: Final = re.compile(rf"\W*{_NOTHING}\W*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Drop answers that begin by declining the task or by apologising for not doing it.

    English is known best; German, French, Spanish and Chinese by their common phrases. Only the opening of an answer is
    looked at, so a story in which somebody refuses is kept. Answers that say nothing ("N/A") are dropped, too.

    Attributes:
        phrases: More phrases to drop, in any letter case.
        anywhere: Whether the phrases given here count anywhere, not only in the opening.
        of: The field that is read.
    """

    phrases: Sequence[str] = ()
    anywhere: bool = False
    of: str = "answer"

    def __post_init__(self) -> None:
        """Refuse phrases that are none.

        Raises:
            ValueError: If a phrase is blank.
        """
        for phrase in self.phrases:
            if not phrase.strip():
                raise ValueError("'phrases' holds a blank text, which stands anywhere")

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        text = text_of(record, self.of)
        if text is None:
            return Drop(missing(self.of))
        opening = text.lstrip()[:_OPENING]
        if _EMPTY_WORDS.match(text):
            return Drop(f"it says nothing: '{text.strip()[:40]}'")
        if found := _REFUSALS.search(opening):
            said = " ".join(found[0].split())
            return Drop(f"a refusal or an apology: '{said[:80]}'")
        place = (text if self.anywhere else opening).casefold()
        phrase = next((phrase for phrase in self.phrases if phrase.casefold() in place), None)
        return Drop(f"it says '{phrase[:80]}'") if phrase else Keep()
