"""Tests for pipelines.metrics.report. Boxes are in pixels of a 1000 x 1000 image."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.groups import EvaluatedClasses
from pipelines.metrics.open_images import OpenImagesRules
from pipelines.metrics.report import Conditions, EvaluateReport, JointFigures, write_per_class
from pipelines.vocabulary import Vocabulary

Build = Callable[..., Any]  # the fixture of conftest.py

A, B = (0, 0, 100, 100), (500, 500, 700, 700)
CONDITIONS = Conditions("oid", 1, 0.0, verified_labels=False, expanded=False)
IDS, GROUPS = ("s", "n", "t"), ("seen", "novel", "novel")


@pytest.fixture
def report(tables: Build) -> EvaluateReport:
    """Return a joint evaluation with one place an image, of which a novel class loses one."""
    world = tables(
        [("i", "s", A, False), ("i", "n", B, False), ("j", "n", B, True), ("j", "n", A, False)],
        [("i", "s", A, 0.9), ("i", "n", B, 0.8), ("j", "n", A, 0.7)],
    )
    protocol = Protocol(1, joint=True, recall_at=(1,), bootstrap=3)
    evaluated = world.evaluate(OpenImagesRules(0.0), IDS, protocol, GROUPS)
    classes = EvaluatedClasses(Vocabulary(IDS, ("S", "N", "T")), GROUPS)
    return EvaluateReport(evaluated, classes, 2, protocol, CONDITIONS)


def test_joint_figures_stand_beside_those_of_each_group_alone(report: EvaluateReport) -> None:
    """The harmonic mean of 1 and 1/2 is 2/3."""
    rows = {row.group: row for row in report.joint()}

    assert list(rows) == ["seen", "novel", "harmonic_mean"]
    assert JointFigures(joint=1.0, alone=1.0) == rows["seen"].AP50
    assert JointFigures(joint=0.5, alone=1.0) == rows["novel"].AP50
    assert rows["harmonic_mean"].AP50.joint == pytest.approx(2 / 3, abs=1e-15)
    assert rows["harmonic_mean"].mean_recall.alone == 1.0


def test_groups_have_every_figure_that_was_asked_for(report: EvaluateReport) -> None:
    """Means over classes with boxes, AR@k, and intervals that hold the extremes."""
    seen, novel, everything = report.by_group()

    assert (novel.group, novel.classes, novel.with_ground_truth) == ("novel", 2, 1)
    assert (seen.AP50, novel.AP50, everything.AP50) == (1.0, 0.5, 0.75)
    assert novel.recall_at[1].micro == 1 / 2
    assert 0 <= novel.AP50_interval.low <= novel.AP50_interval.high <= 1
    assert set(novel.recall_at[1].intervals) == {"macro_released", "macro_strict", "micro"}


def test_per_class_rows_hold_the_counts(report: EvaluateReport, tmp_path: Path) -> None:
    """What was annotated, what was judged, and what of it was right; no figure is no text."""
    path = tmp_path / "per-class.csv"

    write_per_class(report, path)

    with path.open(newline="") as file:
        rows = {row["LabelName"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(IDS)
    assert list(rows["n"].values()) == [
        "n", "N", "novel", "0.5", "0.5", "2.0", "1", "1", "2", "3", "1",
    ]  # fmt: skip
    assert (rows["t"]["AP50"], rows["t"]["Recall"], rows["t"]["Boxes"]) == ("", "", "0")
    assert list(rows["t"])[-6:] == [
        "GroundTruth", "Detections", "TruePositives", "Images", "Boxes", "GroupOf",
    ]  # fmt: skip


def test_without_a_request_there_is_nothing_more(tables: Build) -> None:
    """No joint rows, no recalls at k and no intervals."""
    world = tables([("i", "s", A, False)], [])
    classes = EvaluatedClasses(Vocabulary(("s",), ("S",)), ("seen",))
    protocol = Protocol()

    report = EvaluateReport(
        world.evaluate(OpenImagesRules(), ["s"], protocol), classes, 1, protocol, CONDITIONS
    )

    assert report.joint() == []
    assert report.by_group()[0].recall_at == {}
    assert report.by_group()[0].AP50_interval is None
