"""The record of a study: JSON of every seed, a Markdown table, and a picture."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError
from pipelines.storage import atomic_path
from pipelines.study.findings import Findings
from pipelines.study.records import FailedRow
from pipelines.study.scope import Scope
from pipelines.study.tables import Summary, Table
from pipelines.study.wording import counted


@dataclass(frozen=True)
class StudyReport:
    """What a study came to.

    Args:
        title: Of the table.
        unit: What its figures are.
        world: Its name.
        table: Ours beside the paper's.
        details: Of each row by name.
        failed: Rows that have no result; the same command takes them up again.
        left_out: Why the world cannot serve other rows, by name.
        record: The command, its seconds, the jobs and the machine.
        files: What was written.
        note: What could not be written, and why.
        comparison: What to know about its figures beside the paper's.
    """

    title: str
    unit: str
    world: str
    table: Table
    details: Mapping[str, Any]
    failed: tuple[FailedRow, ...]
    left_out: Mapping[str, str]
    record: Mapping[str, Any]
    files: tuple[Path, ...]
    note: str | None
    comparison: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; what is undefined is null."""
        return {
            "study": self.table.name,
            "title": self.title,
            "unit": self.unit,
            "world": self.world,
            **self.record,
            "table": self.table.as_dict(),
            "rows": _finite(self.details),
            "failed": [asdict(row) for row in self.failed],
            "left_out": dict(self.left_out),
            "files": [str(path) for path in self.files],
            "note": self.note,
            "comparison": self.comparison,
        }

    def markdown(self) -> str:
        """Return the table under its title, with all that a reader must know beside it."""
        notes = [self.comparison] if self.comparison else []
        notes += [f"Left out: {name}, since {reason}." for name, reason in self.left_out.items()]
        notes += [f"Failed: {f.row} with seed {f.seed}: {_line(f.error)}" for f in self.failed]
        notes += [f"Made by `{self.record['command']}`."] if self.record["command"] else []
        notes += self._hardware()
        scope = f"The world {self.world}; mean ± sample standard deviation over seeds."
        head = f"# {self.title}\n\n{self.unit}. {scope}"
        return "\n\n".join([head, self.table.markdown(self._times()).rstrip(), *notes]) + "\n"

    def _times(self) -> list[list[str]]:
        """Return how many trainings each row has and how long they took, as columns."""
        seeds = [self.details[row.name]["seeds"] for row in self.table.rows]
        minutes = [Summary.of(seed["seconds"] / 60 for seed in found) for found in seeds]
        return [
            ["seeds", *(str(len(found)) for found in seeds)],
            ["minutes to train", *(time.text(decimals=1) for time in minutes)],
        ]

    def _hardware(self) -> list[str]:
        """Return a line for each machine that rows were made on, and for how many."""
        machines = Counter(
            ", ".join(f"{key} {value}" for key, value in seed["machine"].items())
            for row in self.details.values()
            for seed in row["seeds"]
        )
        return [
            f"On {machine or 'a machine that is not recorded'} ({count} of "
            f"{machines.total()} rows and seeds)."
            for machine, count in machines.items()
        ]


def report_files(scope: Scope) -> dict[str, Path]:
    """Return where the report of a study goes, by ending.

    If only some rows were asked for, the files are named after them, so that a table of all rows
    stays as it is.
    """
    served = {variant.name for variant in scope.variants}
    rows = [v.name for v in scope.study.variants if v.name in served | scope.left_out.keys()]
    chosen = [",".join(rows)] if len(rows) < len(scope.study.variants) else []
    stem = "-".join([scope.study.name, *chosen])
    return {end: scope.folder / f"{stem}.{end}" for end in ("json", "md", "png")}


def _heading(scope: Scope) -> str:
    seeds = counted(len(scope.seeds), "seed")
    return f"{scope.study.title}: {scope.source.name}, {seeds}"


def write_outputs(
    scope: Scope, findings: Findings, failed: tuple[FailedRow, ...], record: Mapping[str, Any]
) -> StudyReport:
    """Write the three files of a study into the folder of its world, and return the report."""
    paths = report_files(scope)
    note = None
    try:
        findings.draw(paths["png"], heading=_heading(scope))
    except ConfigError as error:  # matplotlib is an extra
        note = f"no picture: {error.what}; {error.mend}"
        del paths["png"]
    report = StudyReport(
        title=scope.study.title,
        unit=scope.unit,
        world=scope.source.name,
        table=findings.table,
        details=findings.details,
        failed=(*failed, *findings.failed),
        left_out=scope.left_out,
        record=record,
        files=tuple(paths.values()),
        note=note,
        comparison=" ".join(filter(None, [findings.note, *scope.notes])) or None,
    )
    for end, text in (("json", json.dumps(report.as_dict(), indent=1)), ("md", report.markdown())):
        with atomic_path(paths[end]) as temporary:
            temporary.write_text(text)
    return report


def _line(text: str) -> str:
    return " ".join(text.split())


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
