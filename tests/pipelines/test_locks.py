"""Tests for pipelines.locks, with a second process that holds the lock."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.locks import locked

HOLD = """
import sys
from pathlib import Path
from pipelines.locks import locked
with locked(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def never() -> None:
    """Fail: nobody else holds the lock."""
    pytest.fail("it waits for a lock that nobody holds")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Return a process that holds the lock of ``tmp_path`` until its standard input ends."""
    arguments = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_the_lock_waits_for_its_holder_however_that_ends(
    holder: "subprocess.Popen[str]", tmp_path: Path, ending: signal.Signals
) -> None:
    """A process that is killed leaves no lock behind."""
    waited = []

    def end_the_holder() -> None:
        waited.append(holder.poll())
        os.kill(holder.pid, ending)

    with locked(tmp_path, end_the_holder):
        assert waited == [None]
        assert holder.wait() == -ending


def test_a_free_lock_is_taken_without_waiting(tmp_path: Path) -> None:
    """Its folder is made, and an error in it frees it."""
    folder = tmp_path / "seed-0" / "wtn"

    with pytest.raises(ZeroDivisionError), locked(folder, never):
        raise ZeroDivisionError

    with locked(folder, never):
        pass
