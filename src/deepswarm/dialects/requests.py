"""The bytes of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.records import HttpRequest

JSON_HEADERS: Final = {"content-type": "application/json", "accept": "application/json"}
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def json_request(url: str, body: dict[str, Any], headers: Mapping[str, str] = JSON_HEADERS) -> HttpRequest:
    """A request with a JSON body. Lone surrogates, which no provider reads, become U+FFFD."""
    text = jsontext.dumps(body)
    if b"\\ud" in text:
        text = jsontext.dumps(_without_surrogates(body))
    return HttpRequest(url, headers, text)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(inner) for key, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list) else value
