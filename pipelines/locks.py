"""Locks of folders that only one process at a time may write into."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


def lock_of(folder: Path) -> FileLock:
    """Return the lock of a folder, which a thread that holds it may take again.

    The lock ends with its process, however that ends; the file ``.lock`` may stay, and means
    nothing.
    """
    return FileLock(folder.resolve() / LOCK, is_singleton=True)


@contextmanager
def locked(folder: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be; wait as long as another process has it.

    Args:
        folder: That only one process at a time may write into.
        on_wait: Called once if another process holds the lock.

    Raises:
        OSError: If the folder can hold no file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = lock_of(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool | None:
    """Tell whether another process holds the lock of a folder; None if that cannot be known."""
    if not (folder / LOCK).exists():
        return None
    try:
        with lock_of(folder).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # such as of a folder that is another user's
        return None
