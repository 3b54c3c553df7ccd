"""The room of orchestration: the only one that awaits, besides transports, journals and servers."""
