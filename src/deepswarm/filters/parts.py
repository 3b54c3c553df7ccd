"""The filter `parts`: the answer has the parts that it must have, and every tag that opens is closed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from deepswarm.core.records import Drop, Json, Keep, Record, Verdict
from deepswarm.filters.texts import missing, text_of

_TAG_NAME: Final = re.compile(r"[A-Za-z_][\w.:-]*\Z")


@dataclass(frozen=True, slots=True)
class Parts:
    """Drop answers without a required part, with a forbidden one, or with tags that do not balance.

    Attributes:
        required: Texts that must all be there, exactly as written, such as "## Steps".
        in_order: Whether they must follow one another in this order.
        forbidden: Texts that must not be there.
        tags: Names of tags, such as think, that must be there and balance: each opened once closed, none inside itself,
            and well nested within one another.
        optional_tags: Names of tags that must balance where they are used.
        of: The field that is read, such as answer, reasoning or seed.text.
    """

    required: Sequence[str] = ()
    in_order: bool = False
    forbidden: Sequence[str] = ()
    tags: Sequence[str] = ()
    optional_tags: Sequence[str] = ()
    of: str = "answer"
    _tag: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse options that ask for nothing.

        Raises:
            ValueError: If a list holds something else than text, or no part is named.
        """
        for name in ("required", "forbidden", "tags", "optional_tags"):
            for each in getattr(self, name):
                if not isinstance(each, str) or not each:
                    raise ValueError(f"'{name}' must be a list of texts, not {each!r}")
        names = [*self.tags, *self.optional_tags]
        for each in names:
            if not _TAG_NAME.match(each):
                raise ValueError(f"'{each}' is not the name of a tag; write it without angle brackets")
        if not (self.required or self.forbidden or names):
            raise ValueError("nothing is asked for; give 'required', 'forbidden', 'tags' or 'optional_tags'")
        pattern = re.compile(rf"<(/?)({'|'.join(map(re.escape, names))})(?:\s[^<>]*)?>") if names else None
        object.__setattr__(self, "_tag", pattern)

    def judge(self, record: Record) -> Verdict:
        """See `Filter.judge`."""
        text = text_of(record, self.of)
        if text is None:
            return Drop(missing(self.of))
        reason = self._lacking(text) or self._unbalanced(text)
        return Drop(reason) if reason else Keep()

    def _lacking(self, text: str) -> str:
        end = 0
        for part in self.required:
            at = text.find(part, end if self.in_order else 0)
            if at < 0:
                where = " behind the parts before it" if self.in_order and part in text else ""
                return f"the part {_quoted(part)} is missing{where}"
            end = at + len(part)
        found = next((part for part in self.forbidden if part in text), None)
        return "" if found is None else f"it holds {_quoted(found)}"

    def _unbalanced(self, text: str) -> str:
        if self._tag is None:
            return ""
        opened: list[str] = []
        seen: set[str] = set()
        for closes, name in self._tag.findall(text):
            if not closes:
                if name in opened:
                    return f"<{name}> stands within <{name}>"
                opened.append(name)
                seen.add(name)
            elif not opened or opened.pop() != name:
                return f"</{name}> closes what is not open"
        if opened:
            return f"<{opened[-1]}> is never closed"
        absent = next((name for name in self.tags if name not in seen), None)
        return "" if absent is None else f"there is no <{absent}>"


def _quoted(part: Json) -> str:
    return f"'{str(part)[:60]}'"
