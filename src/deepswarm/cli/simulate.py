"""`deepswarm simulate`: the simulated provider as a server, for rehearsals and for trying any client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from deepswarm.simulator.provider import SimulatedProvider


@click.command("simulate")
@click.option(
    "--law",
    default="unlimited",
    metavar="NAME|FILE",
    show_default=True,
    help="How it behaves: name of a preset, or a TOML file.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8100, show_default=True, help="On 127.0.0.1; 0 for any.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Chooses another of the fates that the law allows."
)
def command(law: str, port: int, seed: int) -> None:
    """Serve a simulated OpenAI-compatible provider on this machine.

    The first line of stdout is its address, to be used as worker_api_base. Its account is at /_counts and /_ledger.
    Ctrl-C ends it and prints the counts.
    """
    import asyncio

    from deepswarm.simulator.law import load_law
    from deepswarm.simulator.provider import SimulatedProvider

    provider = SimulatedProvider(load_law(law), seed)
    try:
        asyncio.run(_serve_until_stopped(provider, port))
    except OSError as error:
        raise click.UsageError(f"cannot listen on 127.0.0.1:{port}: {error}; give another --port, or 0") from error
    click.echo(_counted(provider))


async def _serve_until_stopped(provider: SimulatedProvider, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    import asyncio
    import signal

    from deepswarm.simulator.server import serve

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await serve(provider, port)
    click.echo(server.address)
    click.echo(_notice(provider.law.name), err=True)
    await stopped.wait()
    await server.close()


def _notice(law: str) -> str:
    return (
        f"SIMULATED PROVIDER, law '{law}': every answer is invented and starts with [simulated]; nothing is billed.\n"
        "Do not train on what it says. Ctrl-C ends it."
    )


def _counted(provider: SimulatedProvider) -> str:
    from dataclasses import asdict

    return "\n".join(f"{name:<15}{count:>12,}" for name, count in asdict(provider.counts()).items())
