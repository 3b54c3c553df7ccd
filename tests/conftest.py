import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_state_folder(tmp_path_factory):
    """What commands remember of limits stays within the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
