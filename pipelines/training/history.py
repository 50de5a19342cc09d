"""What a run tells of its past: losses, evaluations and speed, from its ``.jsonl`` files."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from pipelines.errors import DatasetError
from pipelines.training import logs
from pipelines.training.records import StepRecord, Timing
from pipelines.training.run_folder import METRICS, TIMINGS

_Figure = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation during training found.

    Args:
        iteration: Steps before it.
        metrics: Fractions of 1, by name; NaN where there was nothing to find, in the file ``null``.
    """

    iteration: int
    metrics: dict[str, _Figure]

    def measures(self, name: str) -> bool:
        """Tell whether it has a number for a figure."""
        return math.isfinite(self.metrics.get(name, math.nan))


RecordT = TypeVar("RecordT", StepRecord, Timing, Evaluation)


@dataclass(frozen=True)
class History:
    """All that a run has recorded so far, by ascending iteration.

    Args:
        records: Of the windows of steps.
        evaluations: Of the detector in between.
        timings: Of the same windows; none in runs of earlier versions.
    """

    records: tuple[StepRecord, ...]
    evaluations: tuple[Evaluation, ...]
    timings: tuple[Timing, ...]

    @property
    def losses(self) -> dict[str, float]:
        """Those of the newest window that has any."""
        return next((record.losses for record in reversed(self.records) if record.losses), {})

    @property
    def metrics(self) -> list[str]:
        """The names of all figures that an evaluation has a number for."""
        names = dict.fromkeys(name for found in self.evaluations for name in found.metrics)
        return [name for name in names if self.measured(name)]

    @property
    def images_per_second(self) -> float | None:
        """Median over the windows, which a slow start or a pause does not move."""
        rates = [timing.images_per_second for timing in self.timings]
        return statistics.median(rates) if rates else None

    @property
    def seconds(self) -> float:
        """Time of all windows; what was lost when a run was killed is not among it."""
        return sum(timing.seconds for timing in self.timings)

    def measured(self, name: str) -> list[Evaluation]:
        """Return the evaluations that have a number for a figure."""
        return [found for found in self.evaluations if found.measures(name)]

    def best(self, name: str) -> Evaluation | None:
        """Return the evaluation with the highest figure of that name, the first of equal ones."""
        return max(self.measured(name), key=lambda found: found.metrics[name], default=None)


def read_history(folder: Path) -> History:
    """Read what a run has recorded, up to the first line that is not whole.

    Raises:
        DatasetError: If a line is not what a training writes.
        OSError: If a file cannot be read.
    """
    metrics = logs.read(folder / METRICS)
    return History(
        records=tuple(
            _as(StepRecord, line, folder / METRICS, row)
            for row, line in enumerate(metrics, start=1)
            if "evaluation" not in line
        ),
        evaluations=tuple(
            _as(Evaluation, {**line, "metrics": line["evaluation"]}, folder / METRICS, row)
            for row, line in enumerate(metrics, start=1)
            if "evaluation" in line
        ),
        timings=tuple(
            _as(Timing, line, folder / TIMINGS, row)
            for row, line in enumerate(logs.read(folder / TIMINGS), start=1)
        ),
    )


def _as(kind: type[RecordT], line: Mapping[str, Any], path: Path, row: int) -> RecordT:
    """Return a line as a record; what other versions wrote besides is left out."""
    try:
        return TypeAdapter(kind).validate_python(line)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DatasetError(
            f"bad value for {key}: {first['msg']}",
            where=f"{path}:{row}",
            mend="It was changed by hand, or written by a later version.",
        ) from error
