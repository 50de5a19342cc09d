"""Tests for pipelines.study.outputs: what a reader is told beside the table, and where."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.study.outputs import StudyReport, report_files
from pipelines.study.records import FailedRow
from pipelines.study.scope import scope_of
from pipelines.study.shapes import ShapesSource
from pipelines.study.tables import Metric, Table, TableRow
from pipelines.study.tin200 import Tin200Source

LAPTOP, SERVER = {"cpu": "small", "threads": 2}, {"cpu": "large", "threads": 1, "gpu": "H100"}


def seeds(machines: Sequence[dict[str, Any]], seconds: float) -> list[dict[str, Any]]:
    """Return the figures of seeds that were made on these machines."""
    return [
        {"seed": seed, "seconds": seconds, "machine": on, "figure": math.nan}
        for seed, on in enumerate(machines)
    ]


@pytest.fixture
def report() -> StudyReport:
    """Return a report of two rows, made on several machines."""
    metric = Metric("seen", "seen AP50")
    rows = (
        TableRow("wtn", "WTN", {"seen": (50.0, 52.0)}, {}),
        TableRow("wtn+", "WTN+", {"seen": (60.0,)}, {}),
    )
    return StudyReport(
        title="Methods",
        unit="AP50 in percent",
        world="shapes",
        table=Table("table1", (metric,), rows),
        details={
            "wtn": {"seeds": seeds([LAPTOP, SERVER], 90)},
            "wtn+": {"seeds": seeds([LAPTOP], 600)},
        },
        failed=(),
        left_out={},
        record={"command": "", "seconds": 1.0, "machine": {"cpu": "another"}},
        files=(Path("table1.json"),),
        note=None,
    )


def test_the_markdown_tells_the_machines_that_made_the_rows(report: StudyReport) -> None:
    """Not the one that wrote the table; each with how many rows and seeds it made."""
    lines = report.markdown().splitlines()

    assert "On cpu small, threads 2 (2 of 3 rows and seeds)." in lines
    assert "On cpu large, threads 1, gpu H100 (1 of 3 rows and seeds)." in lines
    assert "another" not in report.markdown()


def test_a_machine_that_nobody_wrote_down_is_not_made_up(report: StudyReport) -> None:
    """Such as that of a training that an earlier version made."""
    details = {**report.details, "wtn+": {"seeds": seeds([{}], 600)}}

    markdown = replace(report, details=details).markdown()

    assert "On a machine that is not recorded (1 of 3 rows and seeds)." in markdown


def test_each_row_tells_its_seeds_and_minutes(report: StudyReport) -> None:
    """A mean over seeds means little without their number."""
    rows = [line.split("|") for line in report.markdown().splitlines() if "WTN" in line]

    told = [[cell.strip() for cell in row[-3:-1]] for row in rows]
    assert told == [["2", "1.5 ± 0.0"], ["1", "10.0"]]


def test_what_is_not_in_the_table_is_named_with_the_reason(report: StudyReport) -> None:
    """An error of several lines is one paragraph; without a command there is no word of it."""
    failed = (FailedRow("zsd", 2, "x.csv: bad\nMend it."),)

    markdown = replace(report, failed=failed, left_out={"lsda": "it needs words"}).markdown()

    assert "\nFailed: zsd with seed 2: x.csv: bad Mend it.\n" in markdown
    assert "\nLeft out: lsda, since it needs words.\n" in markdown
    assert "Made by" not in markdown
    made = replace(report, record={"command": "wtn study table1"}).markdown()
    assert "\nMade by `wtn study table1`.\n" in made


def test_json_has_null_for_what_is_undefined(report: StudyReport) -> None:
    """NaN is no JSON, at whatever depth it lies."""
    tree = json.loads(json.dumps(report.as_dict(), allow_nan=False))

    assert tree["rows"]["wtn"]["seeds"][1]["figure"] is None
    assert tree["rows"]["wtn"]["seeds"][1]["machine"] == SERVER
    assert tree["files"] == ["table1.json"]


@pytest.mark.parametrize(
    ("methods", "stem"),
    [
        ([], "table2"),
        (["wtn+", "wtn-group-norm", "wtn-input-norm", "wtn"], "table2"),
        (["wtn+", "wtn"], "table2-wtn,wtn+"),
    ],
)
def test_chosen_rows_have_files_of_their_own(tmp_path: Path, methods: list[str], stem: str) -> None:
    """In the order of the study; all rows by name are the whole study."""
    scope = scope_of("table2", ShapesSource(), tmp_path, [0], methods)

    assert report_files(scope) == {
        end: tmp_path / f"shapes/{stem}.{end}" for end in ("json", "md", "png")
    }


def test_a_world_that_lacks_rows_has_the_whole_study_all_the_same(tmp_path: Path) -> None:
    """What counts is what was asked for, not what the world can serve."""
    source = Tin200Source(tmp_path)

    everything = scope_of("table1", source, tmp_path, [0], [])
    chosen = scope_of("table1", source, tmp_path, [0], ["zsd", "zsd-words"])

    assert report_files(everything)["md"].name == "table1.md"
    assert report_files(chosen)["md"].name == "table1-zsd,zsd-words.md"
