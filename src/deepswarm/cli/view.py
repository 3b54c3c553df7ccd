"""deepswarm view."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", metavar="[RUN]", default="output")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="To listen on; default: any free one."
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
def command(run: str, port: int, opens: bool) -> int:
    """Show a run in the browser, live: figures, charts, conversations. Ctrl-C ends it.

    RUN is a run's folder or its task file. The page is served on this machine alone, under an address with a secret;
    it changes nothing. It may be opened before, during and after the run.
    """
    import signal
    import threading

    from deepswarm.core.errors import Problem, TaskFileError
    from deepswarm.engine.filtering import has_run, no_run
    from deepswarm.engine.places import run_folder
    from deepswarm.web.server import viewing

    folder = run_folder(Path(run))
    if not has_run(folder):
        raise TaskFileError([no_run(folder, "there is no run in it")])
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    try:
        with viewing(folder, port) as access:
            click.echo(access.address)
            click.echo("whoever has this address can read the run, from this machine; Ctrl-C ends it", err=True)
            if opens:
                import webbrowser

                webbrowser.open(access.address)
            over.wait()
    except OSError as error:
        what = f"cannot listen there: {error.strerror}"
        hint = "leave --port out, and any free one is taken"
        raise TaskFileError([Problem(what, f"127.0.0.1:{port}", hint=hint)]) from error
    return 0
