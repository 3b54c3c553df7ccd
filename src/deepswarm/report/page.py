"""The report as one HTML file that needs no network, no server and no permission. Pure but for reading its own assets.

All that comes from a run lies in it as JSON in which no letter can end the element that holds it; the scripts, which
are ours alone and named by their hashes in the page's policy, make text of it and never markup.

Source of the policy: w3.org/TR/CSP3, sections 4.2.3 (elements' inline checks, by hash) and 6.1.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Final

from deepswarm.core.jsontext import dumps
from deepswarm.core.records import Json

STYLES: Final = ("uplot.min.css", "look.css")
SCRIPTS: Final = ("uplot.min.js", "panels.js", "charts.js")
"""What report and live page share; the drawing is uPlot 1.6.32 (MIT, github.com/leeoniya/uPlot), unchanged."""
_ENDING: Final = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a report, as `rows.row_of` makes them.

    Attributes:
        sample: Answers by chance.
        failed: Failures, with some of every class.
        unreadable: Why rows are missing; empty when none are.
    """

    sample: Sequence[Mapping[str, Json]] = ()
    failed: Sequence[Mapping[str, Json]] = ()
    unreadable: str = ""


def html(facts: Mapping[str, Json], rows: Rows, title: str) -> str:
    """The whole page.

    Args:
        facts: As `facts.facts_of` makes them.
        rows: The rows to show.
        title: Of the page.
    """
    style, script = "\n".join(map(asset, STYLES)), "\n".join(map(asset, (*SCRIPTS, "report.js")))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    shown = {"sample": list(rows.sample), "failed": list(rows.failed), "unreadable": rows.unreadable}
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        '<main id="page"></main>\n'
        "<noscript>This page draws itself with a script that it brings along. Without scripts: report.md has the same "
        "figures.</noscript>\n"
        f'<script type="application/json" id="facts">{_inert(facts)}</script>\n'
        f'<script type="application/json" id="rows">{_inert(shown)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


@cache
def asset(name: str) -> str:
    """The text of a file that the pages are made of."""
    return files("deepswarm.report").joinpath("assets", name).read_text(encoding="utf-8")


def _inert(value: object) -> str:
    """JSON text in which nothing can end a script element or begin a comment."""
    return dumps(value).decode().translate(_ENDING)


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
