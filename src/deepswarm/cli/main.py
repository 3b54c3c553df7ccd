"""deepswarm: the list of commands, and how errors become messages and exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Final, NoReturn

import click

from deepswarm.version import VERSION

COMMANDS: Final = {
    "run": "Ask an API about every seed; the same command again resumes.",
    "validate": "Check a task file, without a call.",
    "doctor": "Look whether a run could begin; costs one tiny call.",
    "calibrate": "Find what an endpoint allows, with a bounded number of calls.",
    "seed": "Make the seeds that a task file describes.",
    "filter": "Keep the good answers, say why the others were dropped; without a call.",
    "plan": "Say what a run would ask and cost, without a call.",
    "report": "Write a run's report: HTML, Markdown and JSON; at any time, without a call.",
    "view": "Show a run in the browser, live: figures, charts, conversations.",
    "bill": "Say what a run has cost, by model and cause.",
    "export": "Write the results as JSONL, JSON, Parquet or for training.",
    "status": "Say how a run stands, at once, also while another process is at work on it.",
    "wait": "Wait until a run has ended, or pauses.",
    "pause": "Let a run at work start nothing new.",
    "resume": "Let a paused run go on.",
    "stop": "End a run at work, resumable.",
    "set": "Change the workers of a run at work.",
    "cancel": "Ask no more about one seed.",
    "retry": "Ask seeds that failed again, at once or at the next start.",
    "show": "Show one seed as a conversation, with all attempts and raw replies.",
    "sample": "Show some records by chance: answered, kept, dropped or failed ones.",
    "simulate": "Serve the simulated provider on loopback.",
    "schema": "Print the task file's JSON Schema, for editors.",
}

EXIT_CODES: Final = """\
Exit codes: 0 every seed was answered; 1 finished, but some seeds failed; 2 wrong usage, task file or seeds, or key,
model or address refused at the start; 65 the journal is damaged; 70 a fault of ours; 75 paused or held by another
process, resumable; 130 interrupted, resumable."""


class _Commands(click.Group):
    """Commands by name; their files are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"deepswarm.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(COMMANDS)}"
            raise click.UsageError(f"there is no command '{args[0]}'; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(VERSION, message="%(version)s")
def cli() -> None:
    """Put as many parallel workers on an LLM API as it allows: seeds in, a clean data set out, nothing paid twice."""


def command_line() -> NoReturn:
    """Run a command as the whole of a process.

    When it ends everything is written and closed; to take the interpreter apart would cost up to a tenth of a second.
    """
    try:
        main()
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 0)


def main() -> NoReturn:
    """Run a command; every error on purpose is a message on stderr and an exit code, never a traceback."""
    from deepswarm.core.errors import DeepSwarmError

    _open_all_three()
    try:
        code = cli(prog_name="deepswarm", standalone_mode=False)
    except DeepSwarmError as error:
        _complain(str(error))
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        # Whoever read our output has left; that is not our failure. Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:  # noqa: BLE001 - whatever is left is a fault of ours, or a full disk
        code = _unforeseen(error)
    _let_go_of_streams()
    sys.exit(code if isinstance(code, int) else 0)


def _let_go_of_streams() -> None:
    """Write out what waits; a reader or terminal that has left must not change the exit code (Python makes it 120)."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_all_three() -> None:
    """Open what of stdin, stdout and stderr is closed: else a file of the run gets that number, and our lines."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _unforeseen(error: Exception) -> int:
    """Say what happened, and what it means for the user; gives the exit code."""
    from deepswarm.core.errors import DeepSwarmError

    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:  # out of a group of tasks
        error = error.exceptions[0]
    if isinstance(error, DeepSwarmError):
        _complain(str(error))
        return error.exit_code
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        _complain(f"{error}\n    hint: free some space and give the same command again; what was answered is kept")
        return 75
    import traceback

    _complain("".join(traceback.format_exception(error)))
    _complain(
        "deepswarm: this is a fault of ours, not of yours. What was answered is kept, and the same command goes on "
        "from there.\n    hint: please report the lines above; they may show parts of your data"
    )
    return 70


def _complain(text: str) -> None:
    print(text, file=sys.stderr)
