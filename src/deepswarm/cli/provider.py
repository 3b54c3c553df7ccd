"""Who answers, and through what: the transport with the key from the environment, the loop, the machine's limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from deepswarm.engine.pipeline import Provider
    from deepswarm.taskfile import TaskFile

OTHER_FILES: Final = 64
"""Files that the process opens beside its connections, generously."""


def real_provider(task: TaskFile, proxy: str | None, ca_file: str | None) -> Provider:
    """The API that the task names, with the key from the environment.

    Raises:
        TaskFileError: If the key is missing: before the first call.
    """
    from deepswarm.core.address import key_env
    from deepswarm.core.errors import Problem, TaskFileError
    from deepswarm.engine.opening import dialect_of
    from deepswarm.engine.pipeline import Provider

    name = key_env(task.spec)
    secret = os.environ.get(name, "").strip() if name else None
    if name and not secret:
        what = f"the API key is missing: the environment variable {name} is not set; no call was made"
        hint = f"export {name}=…, or name another variable: api_key_env; to rehearse without a key: --simulate"
        raise TaskFileError([Problem(what, str(task.path), hint=hint)])
    certificates = ca_file or os.environ.get("SSL_CERT_FILE")
    if certificates and not os.access(certificates, os.R_OK):
        hint = "let --ca-file, or SSL_CERT_FILE, name a PEM file"
        raise TaskFileError([Problem("the certificates cannot be read", certificates, hint=hint)])
    if task.spec.worker_api_base.startswith("http:"):
        certificates = None  # nobody asks for them, and to read a system's list takes a tenth of a second

    def connect() -> Any:
        from deepswarm.transports.http import HttpTransport

        authorization = dialect_of(task.spec).authorization(secret) if secret else {}
        secrets = [secret] if secret else []
        return HttpTransport(authorization, secrets, Path(certificates) if certificates else None, proxy)

    return Provider(connect, simulated=False)


def with_orchestrator(provider: Provider, task: TaskFile, proxy: str | None, ca_file: str | None) -> Provider:
    """The provider, and who answers for the orchestrator where the task names one.

    Raises:
        TaskFileError: If its key is missing: before the first call.
    """
    from dataclasses import replace

    from deepswarm.core.tierkeys import orchestrator_of

    spec = orchestrator_of(task.spec)
    if spec is None:
        return provider
    return replace(provider, orchestrator=real_provider(replace(task, spec=spec), proxy, ca_file))


def with_account(provider: Provider, task: TaskFile, say: Callable[[str], None]) -> Provider:
    """The provider, and what this machine's runs know and share of its account."""
    import time
    from dataclasses import replace

    from deepswarm.accounts import Scope
    from deepswarm.accounts.sqlite import SqliteStore
    from deepswarm.core.address import key_env
    from deepswarm.core.tierkeys import orchestrator_of
    from deepswarm.engine.account import Account

    store = SqliteStore(state_folder(os.environ) / "accounts.sqlite", say)
    name = key_env(task.spec)
    base = task.spec.worker_api_base
    account = store.account(base, os.environ.get(name, "").strip() if name else None)
    process = f"{os.getpid()}-{time.time():.6f}"
    beside, spec = provider.orchestrator, orchestrator_of(task.spec)
    if beside is not None and spec is not None:
        name = key_env(spec)
        theirs = store.account(spec.worker_api_base, os.environ.get(name, "").strip() if name else None)
        scope = Scope(spec.worker_api_base, theirs, spec.worker_model)
        beside = replace(beside, account=Account(store, scope, process))
    mine = Account(store, Scope(base, account, task.spec.worker_model), process)
    return replace(provider, account=mine, orchestrator=beside)


def state_folder(environment: Mapping[str, str]) -> Path:
    """Where this user's programs keep what they remember: XDG_STATE_HOME, or what its specification says without it.

    Source: XDG Base Directory Specification 0.8; on macOS ~/Library/Application Support, as Apple's guide to the file
    system has it.
    """
    import sys

    named = environment.get("XDG_STATE_HOME", "")
    if Path(named).is_absolute():
        return Path(named) / "deepswarm"
    home = Path(environment.get("HOME") or "/nonexistent")
    return home / ("Library/Application Support" if sys.platform == "darwin" else ".local/state") / "deepswarm"


def connections() -> int:
    """How many connections this process may hold: as many files as the system lets it open, less what else it opens."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 1 << 20)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(1, hard - OTHER_FILES)


def loop() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Uvloop where there is one: about a third less CPU per call than the standard loop."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run
