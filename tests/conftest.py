"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data, or skip the test where it is not at hand."""
    folder = os.environ.get("WTN_REAL_DATA")
    if not folder:
        pytest.skip("WTN_REAL_DATA is not set")
    return Path(folder)
