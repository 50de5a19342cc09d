"""Tests for pipelines.figures."""

import sys

import pytest

from pipelines.errors import ConfigError
from pipelines.figures import require_matplotlib


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib the message tells how to get it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(ConfigError, match="pip install matplotlib"):
        require_matplotlib()
