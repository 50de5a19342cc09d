"""Stops that wait for the end of a step: signals, and a limit of time."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ONE_PRESS = 1.0  # seconds; torchrun hands on the Ctrl-C that the terminal has sent already


class StopRequest:
    """Whether somebody wants the training to stop after this step."""

    def __init__(self) -> None:
        self._asked_at: float | None = None

    @property
    def is_made(self) -> bool:
        """Whether it has been asked to stop."""
        return self._asked_at is not None

    def make(self) -> None:
        """Ask it to stop.

        Raises:
            KeyboardInterrupt: If it was asked before: who asks twice does not want to wait.
        """
        now = time.monotonic()
        if self._asked_at is not None and now - self._asked_at > _ONE_PRESS:
            raise KeyboardInterrupt
        self._asked_at = self._asked_at or now

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.make()

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Let the signals that would raise KeyboardInterrupt here make the request instead."""
        in_main = threading.current_thread() is threading.main_thread()
        taken = [
            number
            for number in (signal.SIGINT, signal.SIGTERM)
            if in_main and signal.getsignal(number) is signal.default_int_handler
        ]
        for number in taken:
            signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number in taken:
                signal.signal(number, signal.default_int_handler)
