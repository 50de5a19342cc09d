"""Tests for pipelines.study.planning: every study in every world, and what it comes to."""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from pipelines.artifacts import DetectorCheckpoint
from pipelines.errors import ArtifactError, ConfigError
from pipelines.study.open_images import OpenImagesSource
from pipelines.study.planning import StudyPlan, plan_study
from pipelines.study.records import TRAINING_REVISION, TrainingLog, TrainingRecord
from pipelines.study.runs import Row, refuse_to_lose
from pipelines.study.scope import scope_of
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
    rows: dict[str, Any] = {"seeds": range(seeds), "methods": methods, "devices": ["cpu"]}
    return plan_study(study, ShapesSource(), folder, **rows)


def end_trainings(
    monkeypatch: pytest.MonkeyPatch,
    seconds: Mapping[int, float],
    machine: Mapping[str, str] = MappingProxyType({"cpu": "Abacus 3"}),
) -> None:
    """Let the trainings of some seeds have ended, after so many seconds; NaN if the log is lost."""
    record = TrainingRecord(TRAINING_REVISION, machine)
    monkeypatch.setattr(Row, "is_trained", lambda row: row.seed in seconds)
    monkeypatch.setattr(Row, "log", lambda row: TrainingLog(seconds[row.seed], 0.5))
    monkeypatch.setattr(Row, "training_record", lambda row: record)


def set_processors(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let there be so many processors."""
    for module in ("costs", "workers"):
        monkeypatch.setattr(f"pipelines.study.{module}.available_cpus", lambda: number)


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
    end_trainings(monkeypatch, {0: 100.0, 1: 300.0})

    found = plan(tmp_path, "table2", "wtn", "wtn+", seeds=3)

    assert expected.hours == pytest.approx(2 * 3 * 1000 * 8 * 0.026 / 3600)
    assert [(t.done, t.to_do) for t in found.trainings] == [(2, 1), (2, 1)]
    assert found.hours == pytest.approx(2 * 200 / 3600)
    assert found.time_basis == "4 finished trainings here"
    assert found.gigabytes == expected.gigabytes


@pytest.fixture
def finished(tmp_path: Path, artifacts: SimpleNamespace) -> Path:
    """Return a folder in which a training of other settings has ended in place of WTN's."""
    folder = tmp_path / "shapes/seed-0/wtn"
    folder.mkdir(parents=True)
    shutil.copy(artifacts.checkpoint, folder)
    return folder


def test_a_log_that_is_lost_tells_no_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are the measure; without any, what the world expects is."""
    expected = plan(tmp_path, "table2", "wtn", seeds=3)
    end_trainings(monkeypatch, {0: 100.0, 1: math.nan})
    one = plan(tmp_path, "table2", "wtn", seeds=3)
    end_trainings(monkeypatch, {0: math.nan, 1: math.nan})
    none = plan(tmp_path, "table2", "wtn", seeds=3)

    assert one.hours == pytest.approx(100 / 3600)
    assert one.time_basis == "1 finished training here"
    assert none.hours == pytest.approx(expected.hours / 3)
    assert none.time_basis == expected.time_basis
    assert [t.done for t in none.trainings] == [2]


@pytest.mark.parametrize(
    ("world", "machine", "device", "hours", "at_full_speed"),
    [
        ("shapes", {"cpu": "Abacus 3"}, "cpu", 100 / 3600, 2),
        ("shapes", {"cpu": "Abacus 3", "gpu": "G1"}, "cpu", None, 2),
        ("shapes", {}, "cpu", None, 2),  # nobody knows where it ran
        ("shapes", {"cpu": "Abacus 3", "gpu": "G1"}, "cuda", 100 / 3600, None),
        ("shapes", {"cpu": "Abacus 3"}, "cuda", None, None),
        ("shapes-paper", {"cpu": "Abacus 3"}, "cpu", 100 / 3600, 2),
        ("shapes-paper", {"cpu": "Abacus 3"}, "cuda", None, None),
    ],
)
def test_only_trainings_on_such_a_device_tell_hours(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    world: str,
    machine: dict[str, str],
    device: str,
    hours: float | None,
    at_full_speed: int | None,
) -> None:
    """Then they are what is divided, in place of the world's; two jobs share what there is."""
    set_processors(monkeypatch, 4)
    rows: dict[str, Any] = {"seeds": [0, 1, 2], "methods": ["wtn"], "devices": [device], "jobs": 2}
    expected = plan_study("table2", WORLDS[world](tmp_path), tmp_path, **rows)
    end_trainings(monkeypatch, {0: 100.0}, machine)

    found = plan_study("table2", WORLDS[world](tmp_path), tmp_path, **rows)

    assert found.hours == pytest.approx(2 * (hours or expected.hours / 3))
    assert found.time_basis == ("1 finished training here" if hours else expected.time_basis)
    assert found.at_full_speed == at_full_speed


def test_a_study_that_is_done_takes_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it divide by the jobs that it does not need."""
    end_trainings(monkeypatch, {0: 100.0, 1: 100.0})

    found = plan(tmp_path, "table2", seeds=2)

    assert {(t.done, t.to_do) for t in found.trainings} == {(2, 0)}
    assert (found.hours, found.hours_side_by_side, found.jobs) == (0, 0, 1)
    assert found.memory_gigabytes_side_by_side == found.memory_gigabytes


def test_a_training_that_would_be_refused_is_not_to_do(tmp_path: Path, finished: Path) -> None:
    """The plan promises what the run does, and tells why it would do no more."""
    found = plan(tmp_path, "table2", "wtn", "wtn+", seeds=2)

    wtn, other = found.trainings
    assert (wtn.done, wtn.to_do, other.to_do) == (0, 1, 2)
    (reason,) = found.refused
    assert reason.startswith(f"{finished}: the folder holds another finished training: ")
    assert wtn.hours == pytest.approx(other.hours / 2)


def test_a_training_whose_files_are_not_there_is_to_do(
    tmp_path: Path, finished: Path, artifacts: SimpleNamespace
) -> None:
    """Of these settings, as far as anybody can tell before the world is drawn."""
    row = scope_of("table2", ShapesSource(), tmp_path, [0], ["wtn"]).rows(0)[0]
    config = row.settings().model_dump(mode="json", exclude_none=True)
    found = DetectorCheckpoint.load(artifacts.checkpoint)
    replace(found, config=config, iteration=1000).save(finished / artifacts.checkpoint.name)
    with pytest.raises(ArtifactError, match="no such file"):
        refuse_to_lose(row)

    (training,) = plan(tmp_path, "table2", "wtn").trainings

    assert (training.done, training.to_do, training.refused) == (0, 1, ())


def test_a_world_that_would_be_refused_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of its trainings would fail, for one reason, also those that are finished."""
    world = tmp_path / "shapes/seed-1/world"
    world.mkdir(parents=True)
    (world / "world.json").write_text("{}")
    end_trainings(monkeypatch, {0: 100.0, 1: 100.0})

    found = plan(tmp_path, "table2", "wtn", "wtn+", seeds=2)

    assert [(t.done, t.to_do, len(t.refused)) for t in found.trainings] == [(1, 0, 1)] * 2
    reason = f"{world}: the folder holds another world: its world.json cannot be read"
    assert found.refused == found.as_dict()["refused"] == [reason]


def test_an_unfinished_training_is_to_do(
    tmp_path: Path, finished: Path, artifacts: SimpleNamespace
) -> None:
    """Nothing would be lost."""
    found = DetectorCheckpoint.load(artifacts.checkpoint)
    replace(found, iteration=1).save(finished / artifacts.checkpoint.name)

    (training,) = plan(tmp_path, "table2", "wtn").trainings

    assert (training.to_do, training.refused) == (1, ())


def test_jobs_side_by_side_share_the_hours_and_not_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are never more of them than trainings to do."""
    set_processors(monkeypatch, 2)
    rows: dict[str, Any] = {"seeds": [0], "methods": ["wtn", "wtn+"], "devices": ["cpu"]}

    one, two, many = (
        plan_study("table2", ShapesSource(), tmp_path, jobs=jobs, **rows) for jobs in (1, 2, 9)
    )

    assert one.hours_side_by_side == one.hours == 2 * two.hours_side_by_side
    assert two.memory_gigabytes_side_by_side == 2 * one.memory_gigabytes_side_by_side
    assert many == two
    assert two.as_dict()["hours_side_by_side"] == two.hours_side_by_side


@pytest.mark.parametrize(
    ("world", "devices", "given", "jobs", "at_full_speed"),
    [
        ("shapes", ["cpu"], 2, 2, 2),
        ("shapes", ["cpu"], 4, 4, 3),  # of three processors
        ("shapes", ["cuda:0", "cuda:1"], None, 2, None),  # the hours are of cores
        ("shapes-paper", ["cuda:0", "cuda:1"], None, 2, 2),
        ("shapes-paper", ["cuda"], 4, 4, None),  # slower each, nobody knows how much
        ("open-images", ["cuda", "cuda:1"], 2, 2, 2),
        ("open-images", ["cuda", "cuda:0"], None, 2, None),  # a GPU by two names
        ("open-images", ["cpu"], 4, 4, None),
        ("open-images", ["cuda", "cpu"], None, 2, None),
    ],
)
def test_hours_side_by_side_are_those_of_such_devices(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    world: str,
    devices: list[str],
    given: int | None,
    jobs: int,
    at_full_speed: int | None,
) -> None:
    """A GPU's hours say nothing of a core, and two trainings on a GPU take longer than one.

    The memory is that of all.
    """
    set_processors(monkeypatch, 3)
    source = WORLDS[world](tmp_path)

    found = plan_study("table1", source, tmp_path, seeds=[0], jobs=given, devices=devices)

    assert (found.jobs, found.at_full_speed) == (jobs, at_full_speed)
    assert found.hours_side_by_side == (at_full_speed and found.hours / at_full_speed)
    assert found.memory_gigabytes_side_by_side == jobs * found.memory_gigabytes


def test_a_device_may_be_on_another_machine(tmp_path: Path) -> None:
    """Plans are made on login nodes; what the run needs is told once, with the files."""
    found = plan_study("table2", ShapesSource(), tmp_path, seeds=[0],
                       devices=["cuda:99", "cpu", "cuda:99"])  # fmt: skip

    (missing,) = found.missing
    assert missing.startswith("device 'cuda:99' cannot be used here (")


def test_a_plan_is_refused_what_the_run_is(tmp_path: Path) -> None:
    """A device that is not there, and a file in the place of the folder; none is made."""
    with pytest.raises(ConfigError, match="device 'foo' cannot be used"):
        plan_study("table2", ShapesSource(), tmp_path / "out", seeds=[0], devices=["foo"])
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").touch()

    with pytest.raises(ConfigError, match="out: a file, not a folder"):
        plan(tmp_path / "out", "table2")
