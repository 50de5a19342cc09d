"""Tests for pipelines.study.planning: every study in every world, and what it comes to."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.study.open_images import OpenImagesSource
from pipelines.study.planning import StudyPlan, plan_study
from pipelines.study.records import TrainingLog
from pipelines.study.runs import Row
from pipelines.study.shapes import ShapesSource
from pipelines.study.shapes_presets import PAPER
from pipelines.study.studies import STUDIES
from pipelines.study.tin200 import Tin200Source
from pipelines.study.worlds import WorldSource

WORLDS: dict[str, Callable[[Path], WorldSource]] = {
    "shapes": lambda data: ShapesSource(),
    "shapes-paper": lambda data: ShapesSource(PAPER.iterations, PAPER.sizes, PAPER),
    "tin200": Tin200Source,
    "open-images": OpenImagesSource,
}
HEAD = 960 * 256 * 4 / 1e9  # of the drawn world: C classes, R features, in gigabytes


def plan(folder: Path, study: str, *methods: str, seeds: int = 1) -> StudyPlan:
    """Plan rows of a study in the small drawn world."""
    return plan_study(study, ShapesSource(), folder, seeds=range(seeds), methods=methods)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_a_plan_in_every_world(tmp_path: Path, study: str, world: str) -> None:
    """Each row that the world serves is part of a training, which takes time and disk."""
    source = WORLDS[world](tmp_path)

    found = plan_study(study, source, tmp_path / "out", seeds=[0])

    assert found.world == world
    planned = {row for training in found.trainings for row in training.rows}
    assert planned | found.left_out.keys() == {v.name for v in STUDIES[study].variants}
    assert all(training.hours > 0 for training in found.trainings)
    assert all(training.gigabytes > 0 for training in found.trainings)
    assert found.evaluation_images == STUDIES[study].evaluates * source.cost.evaluation_images


def test_only_heads_that_are_written_count(tmp_path: Path) -> None:
    """Figure 4 writes none, and neither does ZSD, whose head is no plain matrix."""
    (evaluated,) = plan(tmp_path, "table1", "wtn").trainings
    (trained,) = plan(tmp_path, "fig4", "wtn").trainings
    (zsd,) = plan(tmp_path, "table1", "zsd").trainings
    (faster_rcnn,) = plan(tmp_path, "table1", "faster-rcnn-nn").trainings

    assert evaluated.gigabytes - trained.gigabytes == pytest.approx(HEAD)
    assert faster_rcnn.gigabytes - zsd.gigabytes > HEAD / 2  # and ZSD has a projection


def test_a_training_is_counted_once_for_all_its_rows(tmp_path: Path) -> None:
    """Each of them adds its head only."""
    (one,) = plan(tmp_path, "table1", "lsda").trainings
    (two,) = plan(tmp_path, "table1", "lsda", "lsda-visual-weights").trainings

    assert two.rows == ("lsda", "lsda-visual-weights")
    assert two.hours == one.hours
    assert two.gigabytes - one.gigabytes == pytest.approx(HEAD)


def test_finished_trainings_tell_the_hours_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they took in place of what was expected scales the rest; the mean over them counts."""
    expected = plan(tmp_path, "table2", "wtn", "wtn+", seeds=3)
    seconds = {0: 100.0, 1: 300.0}
    monkeypatch.setattr(Row, "is_trained", lambda row: row.seed in seconds)
    monkeypatch.setattr(Row, "log", lambda row: TrainingLog(seconds[row.seed], 0.5))

    found = plan(tmp_path, "table2", "wtn", "wtn+", seeds=3)

    assert expected.hours == pytest.approx(2 * 3 * 1000 * 8 * 0.026 / 3600)
    assert [(t.done, t.to_do) for t in found.trainings] == [(2, 1), (2, 1)]
    assert found.hours == pytest.approx(2 * 200 / 3600)
    assert found.time_basis == "4 finished trainings here"
    assert found.gigabytes == expected.gigabytes
