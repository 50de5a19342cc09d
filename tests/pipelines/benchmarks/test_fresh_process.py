"""Tests for pipelines.benchmarks.fresh_process."""

import math
import os
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.benchmarks.fresh_process import measure
from pipelines.benchmarks.stand_ins import require_files
from pipelines.errors import ConfigError, RunError


def test_a_function_runs_in_another_process() -> None:
    """Its result and its cost come back."""
    measured = measure(os.getpid)

    assert measured.result != os.getpid()
    assert measured.seconds >= 0


def test_the_memory_of_this_process_does_not_count() -> None:
    """However much this process holds, a small function is measured small."""
    held = np.ones(60_000_000)  # 480 MB

    measured = measure(math.sqrt, 4.0)

    assert measured.result == 2.0
    assert 0 < measured.peak_rss_bytes < held.nbytes


def test_errors_for_the_user_come_through(tmp_path: Path) -> None:
    """A WTNError of the function arrives with its place and its remedy."""
    with pytest.raises(ConfigError) as caught:
        measure(require_files, tmp_path, ["setup.py"], "a/b")

    assert caught.value.where == str(tmp_path)
    assert caught.value.mend == "git clone --depth 1 https://github.com/a/b"


def test_a_process_that_dies_is_a_failed_run() -> None:
    """It is reported with the likely reason, not as a broken pool."""
    with pytest.raises(RunError, match="the measured process died before it was done"):
        measure(os._exit, 9)


def test_a_warm_up_is_not_timed() -> None:
    """The function has slept once before the clock starts."""
    measured = measure(time.sleep, 0.0, warm_up=(0.5,))

    assert measured.seconds < 0.4
