"""One conformance suite per room: whatever stands behind a door passes its suite."""
