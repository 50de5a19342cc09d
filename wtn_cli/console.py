"""All that reaches the terminal: results on stdout, everything else on stderr."""

import json
import math
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.columns import Columns
from rich.console import Console, JustifyMethod, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from pipelines.errors import WTNError

_of_bar: Console | None = None  # of the progress bar, while there is one
_muted = False


def mute() -> None:
    """Print nothing from here on: another process speaks for all."""
    global _muted
    _muted = True


def unmute() -> None:
    """Print again."""
    global _muted
    _muted = False


def out() -> Console:
    """Return the console for results."""
    return Console(highlight=False, quiet=_muted)


def err() -> Console:
    """Return the console for progress and errors."""
    return Console(stderr=True, highlight=False, quiet=_muted)


def fail(error: WTNError) -> None:
    """Show an error: what is wrong and where on the first line, then how to mend it."""
    where = f"{error.where}: " if error.where else ""
    message = Text.assemble(("Error: ", "bold red"), _printable(where + error.what))
    err().print(message, soft_wrap=True)
    if error.mend:
        err().print(Text(_printable(error.mend)), soft_wrap=True)


def note(message: str) -> None:
    """Print one line to stderr, as it is; above the progress bar, or the bar would erase it."""
    (_of_bar or err()).print(_printable(message), markup=False, soft_wrap=True)


def say(message: str) -> None:
    """Print one line to stdout, as it is."""
    emit_line(_printable(message))


def emit_json(value: object) -> None:
    """Print one JSON object on stdout; what is not a number in JSON becomes null."""
    if not _muted:
        sys.stdout.write(json.dumps(_plain(value), indent=2) + "\n")


def emit_line(line: str) -> None:
    """Print one line on stdout at once, for a program that reads along.

    While a progress bar is shown on the same terminal, the line goes above it, or the bar would
    erase it.
    """
    if _muted:
        return
    if _of_bar is not None and sys.stdout.isatty():
        _of_bar.print(line, markup=False, highlight=False, soft_wrap=True)
        return
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def show_facts(title: str, facts: Mapping[str, object]) -> None:
    """Print names and values under a title."""
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(Text(name, style="dim"), Text(str(value), overflow="fold"))
    out().print(Text(title, style="bold"))
    out().print(grid)


def show_table(
    columns: Iterable[str],
    rows: Iterable[Iterable[str]],
    *,
    text: Collection[int] = (0,),
    folded: Collection[int] | None = None,
) -> None:
    """Print a table.

    Args:
        columns: Their titles.
        rows: Of cells.
        text: Places of the columns that hold text; the others hold numbers.
        folded: Places of the columns that give way where the terminal is narrow, of a table with
            so many columns that it does without lines between them; None lets all give way.
    """
    table = Table(header_style="bold")
    if folded is not None:
        table.box, table.padding, table.pad_edge = None, (0, 2, 0, 0), False
    for position, column in enumerate(columns):
        justify: JustifyMethod = "left" if position in text else "right"
        whole = folded is not None and position not in folded
        table.add_column(column, justify=justify, overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out().print(table)


def percent(fraction: float) -> str:
    """Return ``0.1234`` as ``12.34``, and NaN as a dash."""
    return "-" if math.isnan(fraction) else f"{100 * fraction:.2f}"


def duration(seconds: float) -> str:
    """Return ``90061`` seconds as ``1d 1:01:01``."""
    return str(timedelta(seconds=round(seconds))).replace(" days, ", "d ").replace(" day, ", "d ")


def gigabytes(count: float) -> str:
    """Return ``2100000000`` bytes as ``2.1 GB``."""
    return f"{count / 1e9:.1f} GB"


class ProgressLine:
    """A progress bar on a terminal; plain lines, at most one in twenty of the way, elsewhere.

    Args:
        progress: The bar, or None where there is no terminal.
        label: What is going on.
    """

    def __init__(self, progress: Progress | None, label: str) -> None:
        self._progress, self._label, self._said = progress, label, -1
        self._started = time.monotonic()
        self._task: TaskID | None = None
        if progress is not None:
            self._task = progress.add_task(label, total=None, detail=(), eta="-")

    def update(
        self,
        done: int,
        total: int,
        detail: str | Sequence[str] = "",
        *,
        seconds_left: float | None = None,
        every: bool = False,
    ) -> None:
        """Show how far it is; with ``every``, each call becomes a plain line.

        A detail in several parts is broken only between them where the terminal is narrow.
        Without ``seconds_left`` the time left is judged by the time taken so far.
        """
        elapsed = time.monotonic() - self._started
        if seconds_left is None and done and (elapsed > 1 or done == total):
            seconds_left = elapsed / max(done, 1) * (total - done)
        parts = [detail] if isinstance(detail, str) else detail
        eta = "-" if seconds_left is None else duration(seconds_left)
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, detail=parts, eta=eta)
            return
        twentieth = 20 * done // max(total, 1)
        if every or twentieth != self._said:
            self._said = twentieth
            note(f"{self._label} {done}/{total} eta {eta} {' '.join(parts)}".rstrip())

    def phase(self, name: str, done: int, total: int) -> None:
        """Show how far a part of the work is; the parts follow each other.

        A part of a single step is one plain line where there is no terminal, when it begins.
        """
        if name != self._label:
            self._label, self._said, self._started = name, -1, time.monotonic()
            if self._progress is not None and self._task is not None:
                self._progress.reset(self._task, description=name)
        if self._progress is not None or total != 1:
            self.update(done, total)
        elif done == 0:
            note(name)


class _BarAboveDetail(Progress):
    """A bar with its details below, which take as many lines as the terminal is narrow."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            yield Columns(map(Text, task.fields["detail"]), padding=(0, 2))


@contextmanager
def progress(label: str) -> Iterator[ProgressLine]:
    """Yield a progress display on stderr that disappears when done."""
    console = err()
    if _muted or not console.is_terminal:
        yield ProgressLine(None, label)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta {task.fields[eta]}"),
    )
    global _of_bar
    bar = _BarAboveDetail(*columns, console=console, transient=True, redirect_stdout=False)
    with bar:
        _of_bar = console
        try:
            yield ProgressLine(bar, label)
        finally:
            _of_bar = None


def _printable(text: str) -> str:
    """Return text that any terminal takes: the bytes of a file name that are not UTF-8 escaped."""
    return text.encode(errors="backslashreplace").decode()


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
