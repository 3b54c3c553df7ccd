"""python -m deepswarm."""

from deepswarm.cli.main import main

main()
