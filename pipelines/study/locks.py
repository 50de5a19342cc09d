"""Locks of folders, for two studies with one output: the rows that they share are made once."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

LOCK = ".lock"


@contextmanager
def locked(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be; wait as long as another process has it.

    The lock ends with its process, however that ends; the file ``.lock`` stays, and means nothing.

    Args:
        folder: That only one process at a time may write into.
        on_wait: Called once if another process holds the lock.

    Raises:
        OSError: If the folder can hold no file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        held = _lock(file, on_wait)
        try:
            yield
        finally:
            if held:  # closing is not enough: a process forked meanwhile has the file open too
                fcntl.flock(file, fcntl.LOCK_UN)


def _lock(file: TextIO, on_wait: Callable[[], None]) -> bool:
    """Lock a file, and tell whether that was possible: some network file systems have no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
