"""Tests for pipelines.study.runs: which figures a row has, and what they depend on."""

from pathlib import Path

import pytest

from pipelines.config import Metric
from pipelines.evaluate import GroundTruthFiles, evaluate_predictions
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scoring
from pipelines.study import runs
from pipelines.study.open_images import OpenImagesSource
from pipelines.study.runs import RECALL_AT, Row
from pipelines.study.shapes import ShapesSource
from pipelines.study.tin200 import Tin200Source
from pipelines.study.variants import AE_WTN, ZSD
from pipelines.study.worlds import METRICS, World

BOXES = """ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf
a,/m/bus,0,0.4,0,0.4,0
a,/m/cat,0.5,0.7,0.5,0.7,0
a,/m/cat,0.7,0.9,0.5,0.7,0
b,/m/cat,0.1,0.4,0.1,0.4,0
"""
# A wrong bus comes before the right one; no cat is ever detected.
DETECTIONS = """ImageID,LabelName,Score,XMin,XMax,YMin,YMax
b,/m/bus,0.9,0.5,0.9,0.5,0.9
a,/m/bus,0.8,0,0.4,0,0.4
"""


def report(folder: Path, metric: Metric) -> EvaluateReport:
    """Score one of four boxes that is found, by the second detection."""
    boxes, detections = folder / "boxes.csv", folder / "detections.csv"
    boxes.write_text(BOXES)
    detections.write_text(DETECTIONS)
    scoring = Scoring(metric, protocol=Protocol(recall_at=(RECALL_AT,)))
    truth = GroundTruthFiles(boxes)
    return evaluate_predictions(detections, truth, scoring=scoring, image_sizes="100x100")


@pytest.mark.parametrize(("metric", "recall"), [("oid", 50.0), ("aewtn-release", 100.0)])
def test_figures_are_percent_over_the_classes_that_the_metric_counts(
    tmp_path: Path, metric: Metric, recall: float
) -> None:
    """AP50 is precision 1/2 of one class in two; the release's recall leaves the other class out.

    Of all boxes, a quarter is found; that is no figure of a row.
    """
    found = report(tmp_path, metric)

    figures = [runs._metric(name, found) for name in METRICS]

    assert figures == pytest.approx([25.0, 25.0, recall])


def row(world: World, folder: Path) -> Row:
    """Return a row with a checkpoint of a kind."""
    made = Row(AE_WTN, world, folder, 0)
    made.checkpoint.parent.mkdir(parents=True)
    made.checkpoint.write_bytes(b"checkpoint")
    return made


def test_only_another_metric_than_the_challenges_is_a_condition(tmp_path: Path) -> None:
    """Open Images is scored as the paper is, and its record says so; other worlds name none."""
    official = row(OpenImagesSource(tmp_path).world(tmp_path), tmp_path / "official")

    assert official.conditions()["metrics"] == dict.fromkeys(METRICS, "aewtn-release")
    for source in (ShapesSource(), Tin200Source(tmp_path)):
        plain = row(source.world(tmp_path), tmp_path / source.name)
        assert plain.conditions().keys() == {
            "settings", "neighbors", "similarity", "revision", "files",
        }  # fmt: skip


def test_the_head_of_zsd_is_no_file(tmp_path: Path) -> None:
    """It is not linear in the features; that of AE-WTN is."""
    world = ShapesSource().world(tmp_path)

    assert [Row(v, world, tmp_path, 0).has_head_file for v in (AE_WTN, ZSD)] == [True, False]
