"""Tests for pipelines.demo, on a world too small to learn anything."""

import json
from pathlib import Path

import pytest
from PIL import Image

from pipelines.artifacts import DetectionHead
from pipelines.data.shapes import ShapesSettings
from pipelines.demo import DemoReport, run_demo

WORLD = ShapesSettings(
    num_seen=24, num_train=8, num_val_seen=4, num_val_novel=6, num_crops=1000, min_crops=1
)
ITERATIONS = 12


def demo(folder: Path) -> tuple[DemoReport, list[str]]:
    """Run a small demo; return its report and the phases that it went through."""
    phases: list[str] = []
    report = run_demo(
        folder,
        on_progress=lambda phase, done, total: phases.append(phase),
        world_settings=WORLD,
        iterations=ITERATIONS,
    )
    return report, list(dict.fromkeys(phases))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoReport, list[str], Path]:
    """Run the demo once."""
    folder = tmp_path_factory.mktemp("demo")
    return *demo(folder), folder


def test_the_report_is_what_the_command_prints(
    first: tuple[DemoReport, list[str], Path],
) -> None:
    """Two methods, each with seen and novel AP50, the time, and a picture that opens."""
    report, phases, _ = first
    printed = report.as_dict()

    assert set(printed) == {
        "ae-wtn", "faster-rcnn-nn", "seconds", "picture", "seed", "classes", "classes_with_boxes",
    }  # fmt: skip
    for method in ("ae-wtn", "faster-rcnn-nn"):
        assert set(printed[method]) == {"seen", "novel"}
        assert all(0 <= figure <= 1 for figure in printed[method].values())
    assert (report.classes, report.seen) == (960, 24)
    with Image.open(report.picture) as picture:
        assert picture.width > picture.height > 500
    assert phases[:2] == ["draw the world", "train the classifier"]
    assert any(phase.startswith("train AE-WTN") for phase in phases)


def test_both_detectors_cover_all_classes(first: tuple[DemoReport, list[str], Path]) -> None:
    """Each run folder holds a head of all 960 classes, 24 of them seen."""
    folder = first[2]
    for method in ("ae-wtn", "faster-rcnn"):
        head = DetectionHead.load(folder / method / "head.safetensors")
        assert (len(head.vocabulary), head.groups.count("seen")) == (960, 24)


def test_the_same_seed_gives_the_same_figures(
    first: tuple[DemoReport, list[str], Path], tmp_path: Path
) -> None:
    """A second run repeats every loss and every AP50."""
    report, _, folder = first
    again, _ = demo(tmp_path)

    assert again.results == report.results
    for method in ("ae-wtn", "faster-rcnn"):
        losses = [
            json.loads((place / method / "metrics.jsonl").read_text().splitlines()[-1])["losses"]
            for place in (folder, tmp_path)
        ]
        assert losses[0] == losses[1]
