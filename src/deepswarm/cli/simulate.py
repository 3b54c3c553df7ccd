"""`deepswarm simulate`: the simulated provider as a server, for rehearsals and for trying any client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from deepswarm.simulator.provider import SimulatedProvider
    from deepswarm.simulator.server import SimulatorServer


@click.command("simulate")
@click.option(
    "--law",
    default="unlimited",
    metavar="PRESET|FILE",
    show_default=True,
    help="How it behaves: name of a preset (see --list), or a TOML file.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=8100, show_default=True, help="On 127.0.0.1; 0 for any.")
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Chooses another of the fates that the law allows."
)
@click.option(
    "--keep-rows",
    type=click.IntRange(0),
    default=100_000,
    show_default=True,
    metavar="N",
    help="Rows of finished requests that the ledger keeps; its sums count all.",
)
@click.option("--list", "list_presets", is_flag=True, help="Show the presets and end.")
def command(law: str, port: int, seed: int, keep_rows: int, *, list_presets: bool) -> None:
    """Serve a simulated OpenAI-compatible provider on this machine.

    The first line of stdout is its address, to be used as worker_api_base. Its account is at /_counts and /_ledger, and
    a law's text sent to /_law replaces its law while it runs. Ctrl-C ends it and prints the counts.
    """
    if list_presets:
        click.echo(_presets())
        return
    import asyncio
    import time

    from deepswarm.simulator.law import load_law
    from deepswarm.simulator.provider import SimulatedProvider

    epoch = time.time() - time.monotonic()
    provider = SimulatedProvider(load_law(law), seed, keep_rows=keep_rows, epoch=epoch)
    try:
        asyncio.run(_serve_until_stopped(provider, port))
    except OSError as error:
        raise click.UsageError(f"cannot listen on 127.0.0.1:{port}: {error}; give another --port, or 0") from error
    click.echo(_counted(provider))


def _presets() -> str:
    from deepswarm.simulator.law import description, presets

    width = max(len(name) for name in presets())
    return "\n".join(f"{name:<{width}}  {description(name)}" for name in presets())


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
    click.echo(_notice(server), err=True)
    await stopped.wait()
    await server.close()


def _notice(server: SimulatorServer) -> str:
    root = server.address.removesuffix("/v1")
    return (
        f"SIMULATED PROVIDER, law '{server.provider.law.name}': every answer is invented and starts with [simulated]; "
        "nothing is billed.\n"
        f"Use it:       worker_api_base: {server.address}    (any key, any model)\n"
        f"Its account:  curl {root}/_counts    curl {root}/_ledger\n"
        f"Another law:  curl --data-binary @law.toml {root}/_law\n"
        "Do not train on what it says. Ctrl-C ends it."
    )


def _counted(provider: SimulatedProvider) -> str:
    from dataclasses import asdict

    sums = asdict(provider.counts())
    cost_usd = sums.pop("cost_usd")
    lines = [f"{name:<15}{count:>12,}" for name, count in sums.items()]
    return "\n".join([*lines, f"{'cost_usd':<15}{cost_usd:>12.6f}"])
