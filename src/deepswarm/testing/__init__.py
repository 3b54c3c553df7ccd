"""For tests, ours and yours: conformance suites for what stands behind a door, and builders of whole runs.

The product never imports this room.
"""
