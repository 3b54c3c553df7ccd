"""Translation: in the target language, whole, with the placeholders, tags and numbers of the source, and no echo of it.

placeholders   {name} {{name}} %s %(name)d ${name}      must be there as often as in the source
tags           <b> </b> <br/>                           the same
numbers        1,234.5 and 1.234,5 and 1 234,5          the same digits; small ones may have become words
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from deepswarm.core.records import Json, Message, Reply
from deepswarm.core.spec import TaskSpec
from deepswarm.core.turns import Answer, Conversation, Reject, Step
from deepswarm.tasks.language import LEAST_LETTERS, known_languages, letters_in, other_language
from deepswarm.tasks.prompts import Prompts, asked_in, source_name, source_text, text_field
from deepswarm.tasks.refusals import refusal

_PLACEHOLDER: Final = re.compile(
    r"\{\{\s*[\w.]+\s*\}\}|\$\{[\w.]+\}|\{[\w.]*\}|%\(\w+\)[#0\- +]*[\d.]*[diouxXeEfFgGcrs]|%\d*\$?[sd@]"
)
_TAG: Final = re.compile(r"</?[A-Za-z][\w:.-]*(?:\s[^<>]*)?/?>")
_TAG_NAME: Final = re.compile(r"</?[A-Za-z][\w:.-]*")
_NUMBER: Final = re.compile(r"\d+(?:[.,\u00a0\u202f']\d+)*")
_MOST_WORDED: Final = 2
"""Digits of a number that a translation may write as a word."""

_SAMPLES: Final[Mapping[str, str]] = {
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "en": "All human beings are born free and equal in dignity and rights.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
    "ru": "Все люди рождаются свободными и равными в своём достоинстве и правах.",  # noqa: RUF001 - Cyrillic
    "sv": "Alla människor är födda fria och lika i värde och rättigheter.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",  # noqa: RUF001 - Turkish
    "ja": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "zh": "人人生而自由,在尊严和权利上一律平等。",
}
"""What rehearsals answer: article 1 of the Universal Declaration of Human Rights (1948)."""


class Translation:
    """See the module. Neighbouring segments and the glossary go into the system message, as context."""

    schema: Mapping[str, Json] | None = None

    def __init__(self, spec: TaskSpec) -> None:
        """Read the templates, and the model that tells languages apart.

        Raises:
            TemplateProblem: If a template cannot be read.
            ValueError: If the task has no target language, or one that cannot be told.
        """
        section = spec.translation
        if section is None:
            raise ValueError("task_type: translation needs the key 'translation.target_language'")
        known = known_languages()
        if section.target_language not in known:
            codes = ", ".join(sorted(known))
            raise ValueError(f"translation.target_language: '{section.target_language}' is none of {codes}")
        self._section = section
        source = f"from '{section.source_language}' " if section.source_language else ""
        rules = (
            f"Translate the user's text {source}into the language with the code '{section.target_language}'. Keep "
            "placeholders, tags and numbers as they are. Answer with the translation and nothing else."
        )
        self._prompts = Prompts(spec, "You are a translator.", rules)
        self._source = source_name(self._prompts.fields, section.source)
        extra = {name for name in (section.source, section.before, section.after) if name}
        self.names = self._prompts.names | extra

    def open(self, fields: Mapping[str, Json]) -> Conversation:
        """See `TaskType.open`."""
        opened = self._prompts.open(fields)
        return opened._replace(messages=self._prompts.messages(fields, self._context(opened)))

    def step(self, conversation: Conversation, reply: Reply) -> Step:
        """See `TaskType.step`."""
        source, text = source_text(conversation, self._source), reply.text
        wrong = refusal(text) or _echo(source, text) or lost(source, text) or self._other_language(source, text)
        return wrong or Answer(text)

    def extract(self, text: str) -> str:
        """See `TaskType.extract`."""
        return text

    def rehearse(self, messages: Sequence[Message], mark: str) -> str:
        """See `TaskType.rehearse`: a sentence in the target language, and what the message has to keep."""
        said = asked_in(messages)
        sample = _SAMPLES.get(self._section.target_language, "")
        kept = [*_PLACEHOLDER.findall(said), *(match[0] for match in _TAG.finditer(said))]
        kept += _NUMBER.findall(_TAG.sub(" ", _PLACEHOLDER.sub(" ", said)))
        return " ".join([mark, sample, *kept])

    def _context(self, opened: Conversation) -> str:
        """The neighbours of the text, and the terms that occur in it."""
        section, parts = self._section, []
        for name, where in ((section.before, "before"), (section.after, "after")):
            if name and (said := text_field(opened.fields, name).strip()):
                parts.append(f"What stands {where} the text (context, not to be translated):\n{said}")
        source = source_text(opened, self._source).casefold()
        terms = [f"{term} = {to}" for term, to in section.glossary.items() if term.casefold() in source]
        if terms:
            parts.append("Translate these terms like this:\n" + "\n".join(terms))
        return "\n\n".join(parts)

    def _other_language(self, source: str, text: str) -> Reject | None:
        if letters_in(source) < LEAST_LETTERS:
            return None
        found = other_language(text, self._section.target_language)
        if not found:
            return None
        wanted = self._section.target_language
        return Reject("wrong_language", f"the answer is written in '{found}', and must be in '{wanted}'")


def _echo(source: str, text: str) -> Reject | None:
    """Why a text is rejected as the source itself; short ones (names, numbers) may stay what they are."""
    if letters_in(source) >= LEAST_LETTERS and _plain(source) == _plain(text):
        return Reject("echo", "the answer is the source text, not translated")
    return None


def lost(source: str, text: str) -> Reject | None:
    """What of a source's placeholders, tags and numbers a translation does not have; None when all are there."""
    for what, found in (("placeholder", _PLACEHOLDER.findall), ("tag", _tags)):
        missing = Counter(found(source)) - Counter(found(text))
        if missing:
            return Reject(f"lost_{what}", f"the {what} {next(iter(missing))} of the source is missing")
    left = Counter(map(_digits, _numbers(source))) - Counter(map(_digits, _numbers(text)))
    missing_numbers = [number for number in left if len(number) > _MOST_WORDED]
    if missing_numbers:
        return Reject("lost_number", f"the number {missing_numbers[0]} of the source is missing")
    return None


def _tags(text: str) -> list[str]:
    """The tags without their attributes, whose texts may be translated."""
    return [tag[0] for match in _TAG.finditer(text) if (tag := _TAG_NAME.match(match[0]))]


def _numbers(text: str) -> list[str]:
    return _NUMBER.findall(_TAG.sub(" ", _PLACEHOLDER.sub(" ", text)))


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
