"""The command line: arguments, the environment, exit codes and the terminal. One file per command.

Nothing heavy is imported before a command needs it: `deepswarm --help` must cost next to nothing.
"""
