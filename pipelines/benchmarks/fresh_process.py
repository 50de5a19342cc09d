"""Run a function in a process of its own, so that what it costs is its own."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipelines.errors import RunError
from pipelines.memory import peak_rss_bytes

Result = TypeVar("Result")


@dataclass(frozen=True)
class Measured(Generic[Result]):
    """What a function returned, and what it cost.

    Args:
        result: What it returned.
        seconds: Wall clock, without starting the process, its imports and the warm-up.
        peak_rss_bytes: The most memory that the process ever held, imports included.
    """

    result: Result
    seconds: float
    peak_rss_bytes: int


def measure(
    function: Callable[..., Result],
    *arguments: object,
    warm_up: tuple[object, ...] | None = None,
) -> Measured[Result]:
    """Call a function of a module in a new process.

    Args:
        function: What to call.
        arguments: What with.
        warm_up: Call it with these arguments first; what it imports is not timed then.

    Raises:
        RunError: If the process ends before the function does.
        WTNError: What the function raises.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as fresh_process:
        try:
            return fresh_process.submit(_measure_here, function, arguments, warm_up).result()
        except BrokenProcessPool as error:
            raise RunError(
                "the measured process died before it was done",
                mend="Most likely it ran out of memory; measure a smaller size.",
            ) from error


def _measure_here(
    function: Callable[..., Result],
    arguments: tuple[object, ...],
    warm_up: tuple[object, ...] | None,
) -> Measured[Result]:
    if warm_up is not None:
        function(*warm_up)
    started = time.perf_counter()
    result = function(*arguments)
    return Measured(result, time.perf_counter() - started, peak_rss_bytes())
