"""DeepSwarm: parallel work on LLM APIs that loses nothing, asks nothing twice, and ends."""

from deepswarm.version import __version__

__all__ = ["__version__"]
