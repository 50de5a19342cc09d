"""Locks of folders, for two studies with one output: the rows that they share are made once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


@contextmanager
def locked(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be; wait as long as another process has it.

    The lock ends with its process, however that ends; the file ``.lock`` may stay, and means
    nothing.

    Args:
        folder: That only one process at a time may write into.
        on_wait: Called once if another process holds the lock.

    Raises:
        OSError: If the folder can hold no file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
