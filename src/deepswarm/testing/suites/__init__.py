"""One conformance suite per room: whatever stands behind a door passes its suite.

The suites assert; pytest is asked to explain what failed in them as it does in tests.
"""

from pathlib import Path

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{file.stem}" for file in Path(__file__).parent.glob("[a-z]*.py")))
