"""Who answers, and through what: the transport with the key from the environment, the loop, the machine's limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

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
