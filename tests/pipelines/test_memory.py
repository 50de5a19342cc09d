"""Tests for pipelines.memory."""

import subprocess
import sys


def test_the_peak_is_remembered_in_bytes() -> None:
    """What was held once counts, although it was let go."""
    program = (
        "from pipelines.memory import peak_rss_bytes as peak\n"
        "before = peak(); held = bytearray(b'x') * 200_000_000; del held\n"
        "assert 150_000_000 < peak() - before < 400_000_000, peak() - before"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
