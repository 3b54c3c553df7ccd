"""python -m deepswarm."""

from deepswarm.cli.main import command_line

command_line()
