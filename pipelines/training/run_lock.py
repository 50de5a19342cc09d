"""The lock of a run folder: two trainings in it would destroy each other's files."""

from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import Timeout

from pipelines.errors import RunError
from pipelines.locks import lock_of

_PATIENCE = 10.0  # seconds; workers of a process that was killed hold on for 5 (PyTorch's watchdog)


class RunLock:
    """Held from the first look at a run folder that is there, or else from the first step on.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock, self._is_taken = folder, lock_of(folder), False

    def take(self) -> None:
        """Take it, unless it is taken; the folder must be there.

        Raises:
            RunError: If another process has it.
            OSError: If the folder can hold no file.
        """
        if self._is_taken:
            return
        try:
            self._lock.acquire(timeout=_PATIENCE)
        except Timeout as error:
            raise RunError(
                "another process is training in this folder",
                where=self._folder,
                mend="Wait until it has ended, or stop it, which saves; or name another folder "
                "with --output.",
            ) from error
        self._is_taken = True

    def __enter__(self) -> Self:
        """Take it if there is a folder: what is not there yet is nobody's."""
        if self._folder.is_dir():
            self.take()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let it go."""
        if self._is_taken:
            self._lock.release()
            self._is_taken = False
