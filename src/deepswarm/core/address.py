"""Where calls go, and which environment variable holds the key for it.

The rules:
    - an address may be written with or without /chat/completions at its end; `chat_address` is its one spelling;
    - where Anthropic's Messages API is spoken, the end is /v1/messages instead: told by the host or the path
      (`speaks_messages`), or because the task names the dialect;
    - the key's variable is the one that the task names, or else the one that the provider's own documentation uses;
    - a server on this machine or in a private network needs no key unless the task names a variable;
    - an address of which nothing of this can be said is a flaw of the task, found before any call.

The environment is not read here: only names are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from deepswarm.core.flaws import NAME_THE_VARIABLE, Flaw
from deepswarm.core.secret import masked, shown, spells_a_key

KEY_ENV: Final[Mapping[str, str]] = {
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "api.openai.com": "OPENAI_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.together.ai": "TOGETHER_API_KEY",
    "api.fireworks.ai": "FIREWORKS_API_KEY",
    "generativelanguage.googleapis.com": "GEMINI_API_KEY",
    "api.x.ai": "XAI_API_KEY",
    "api.cerebras.ai": "CEREBRAS_API_KEY",
    "api.deepinfra.com": "DEEPINFRA_API_KEY",
    "integrate.api.nvidia.com": "NVIDIA_API_KEY",
    "api.moonshot.ai": "MOONSHOT_API_KEY",
    "api.moonshot.cn": "MOONSHOT_API_KEY",
    "dashscope.aliyuncs.com": "DASHSCOPE_API_KEY",
    "dashscope-intl.aliyuncs.com": "DASHSCOPE_API_KEY",
    "router.huggingface.co": "HF_TOKEN",
    "api.novita.ai": "NOVITA_API_KEY",
    "api.tokenfactory.nebius.com": "NEBIUS_API_KEY",
    "api.siliconflow.com": "SILICONFLOW_API_KEY",
    "api.perplexity.ai": "PERPLEXITY_API_KEY",
    "inference.baseten.co": "BASETEN_API_KEY",
}
"""The environment variable that a provider's own documentation uses, by host (and the hosts below it).

Source: provider files (`env`) of github.com/anomalyco/models.dev at f3fc692, 2026-07-02; checked 2026-11-22.
"""

_CHAT: Final = "/chat/completions"
_MESSAGES: Final = "/messages"
_OTHER_KINDS: Final = ("/completions", "/responses", _MESSAGES, "/embeddings", "/models")
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_\-.]*[A-Za-z0-9_])?\.?|[0-9A-Fa-f:.]+")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Addressed(Protocol):
    """What names an API and its key, as a TaskSpec does."""

    @property
    def worker_api_base(self) -> str:
        """Address of the API."""

    @property
    def api_key_env(self) -> str | None:
        """Name of the variable that holds the key; "none" for a server without keys; None when nothing is said."""

    @property
    def worker_dialect(self) -> str:
        """Name of the dialect; "auto" is told by the address."""


def api_url(spec: Addressed) -> str:
    """The address that calls go to: with the end that its dialect wants, whether `worker_api_base` has it or not."""
    if spec.worker_dialect == "auto":
        return chat_address(spec.worker_api_base)
    return spelled(spec.worker_api_base, messages=spec.worker_dialect == "anthropic")


def key_env(spec: Addressed) -> str | None:
    """The environment variable that holds the key; None for a server that needs none.

    It is `api_key_env`, or else the usual one of the provider. Servers on this machine or in a private network
    need none unless `api_key_env` names one.

    Raises:
        ValueError: If the host is not known and `api_key_env` is not given; `check` refuses such a task.
    """
    if spec.api_key_env is not None:
        return None if spec.api_key_env.lower() == "none" else spec.api_key_env
    host = urlsplit(spec.worker_api_base).hostname or ""
    if is_private(host):
        return None
    name = _usual_key_env(host)
    if not name:
        message = f"the usual environment variable for the key of {host} is not known; api_key_env must name it"
        raise ValueError(message)
    return name


def chat_address(base: str) -> str:
    """An address in its one spelling, for whatever API is spoken there.

    Raises:
        ValueError: If it cannot be read as an address.
    """
    return spelled(base, messages=speaks_messages(base))


def spelled(base: str, *, messages: bool) -> str:
    """An address in its one spelling, for the Messages API or for chat completions.

    Raises:
        ValueError: If it cannot be read as an address.
    """
    parts = urlsplit(base.strip())
    path = parts.path.rstrip("/")
    port = "" if parts.port in {None, {"http": 80, "https": 443}.get(parts.scheme)} else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    if messages:
        path = path if path.endswith(_MESSAGES) else path.removesuffix("/v1") + "/v1" + _MESSAGES
    else:
        path = path if path.endswith(_CHAT) else path + _CHAT
    return urlunsplit((parts.scheme, f"{host}{port}", path, parts.query, ""))


def speaks_messages(base: str) -> bool:
    """Whether an address is one of Anthropic's Messages API: its own host, or the path that others keep for it.

    Source: api-docs.deepseek.com, Anthropic API (November 2026): https://api.deepseek.com/anthropic.

    Raises:
        ValueError: If it cannot be read as an address.
    """
    parts = urlsplit(base.strip())
    path = parts.path.rstrip("/")
    if path.endswith(_CHAT):
        return False
    return is_at(parts.hostname or "", "api.anthropic.com") or "anthropic" in path.split("/")


def is_at(host: str, name: str) -> bool:
    """Whether a host is the named one, or one below it."""
    host = host.rstrip(".")
    return host == name or host.endswith(f".{name}")


def _usual_key_env(host: str) -> str:
    """The table's variable for a host or the nearest of its parents; empty when there is none."""
    labels = host.rstrip(".").split(".")
    return next((KEY_ENV[name] for cut in range(len(labels)) if (name := ".".join(labels[cut:])) in KEY_ENV), "")


def is_private(host: str) -> bool:
    """Loopback, a private network, or a name that only a private network can resolve."""
    try:
        return not ip_address(host.partition("%")[0]).is_global
    except ValueError:
        return "." not in host or host.rstrip(".").endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))


# --- flaws -----------------------------------------------------------------------------------------------------------


def address_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    """Flaws of the address, of the name of the key's variable, and of the two together."""
    base = values.get("worker_api_base")
    flaw = _address_flaw(base, values.get("worker_dialect")) if isinstance(base, str) else None
    if flaw:
        yield flaw
    host = urlsplit(base.strip()).hostname if isinstance(base, str) and not flaw else ""
    usual = _usual_key_env(host or "")
    variable = values.get("api_key_env")
    if isinstance(variable, str) and (not _VARIABLE.fullmatch(variable) or masked(variable) != variable):
        what = "'api_key_env' only names the environment variable that holds the key"
        yield Flaw(
            ("api_key_env",),
            f"{what}, and this {'looks like a key itself' if masked(variable) != variable else 'is no such name'}",
            f"write api_key_env: {usual or 'DEEPSEEK_API_KEY'}, for example, and put the key there;"
            " replace a key that others have seen",
            secret=True,
        )
    if host and variable is None and not usual and not is_private(host):
        yield Flaw(
            ("worker_api_base",),
            f"which environment variable holds the key for {masked(host)} is not known",
            "add api_key_env: and the variable's name, or api_key_env: none for a server without keys",
        )


def _address_flaw(base: str, dialect: object) -> Flaw | None:
    path = ("worker_api_base",)
    text = base.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        return Flaw(
            path, "'worker_api_base' must not hold a user name, password or key", NAME_THE_VARIABLE, secret=True
        )
    if spells_a_key(text):
        return Flaw(path, "'worker_api_base' must not hold a key", NAME_THE_VARIABLE, secret=True)
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host) or port == 0 or re.search(r"[\s\\#]", text):
        what = f"'worker_api_base' must be an address that begins with https:// or http://, not {shown(base)}"
        bare = "://" not in text and re.fullmatch(r"[\w\-]+(\.[\w\-]+)*(:[0-9]+)?(/\S*)?", text)
        return Flaw(path, what, f"write https://{text}" if bare else "for example: https://api.deepseek.com/v1")
    messages = dialect == "anthropic" or ((dialect is None or dialect == "auto") and speaks_messages(text))
    return _ending_flaw(parts.path.rstrip("/"), _MESSAGES if messages else _CHAT)


def _ending_flaw(path: str, right: str) -> Flaw | None:
    """What is wrong with the end of an address that is to be completed by `right`."""
    if path.endswith(right):
        return None
    for kind in (_CHAT, *_OTHER_KINDS):
        if path.endswith(kind):
            what = f"'worker_api_base' ends in {kind}, which is another kind of API than {right}"
            return Flaw(("worker_api_base",), what, f"write the address without {kind}")
    return None
