"""Tests for pipelines.study.study, in a world too small to learn anything."""

import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.data.shapes import ShapesSettings
from pipelines.errors import ConfigError, DatasetError, Interrupted, RunError
from pipelines.locks import LOCK
from pipelines.study import runs
from pipelines.study.open_images import MADE_BY, OpenImagesSource
from pipelines.study.outputs import StudyReport
from pipelines.study.records import RESULT_REVISION, TRAINING_REVISION
from pipelines.study.scope import scope_of
from pipelines.study.shapes import ShapesSource
from pipelines.study.study import WAITS, StudyProgress, run_study
from pipelines.study.tin200 import Tin200Source

SIZES = ShapesSettings(
    num_seen=24, num_train=8, num_val_seen=2, num_val_novel=2, num_crops=960, min_crops=1
)
SOURCE = ShapesSource(4, SIZES)
ROWS = ("lsda", "lsda-visual-weights", "zsd-words")
IMAGES = "lsda-visual-images"
REPORT = f"table1-{','.join(ROWS)}"


def study(folder: Path, name: str = "table1", **options: Any) -> StudyReport:  # noqa: ANN401
    """Run a small study on one seed, in this process."""
    given = {"seeds": [0], "jobs": 1, "devices": ("cpu",)} | options
    return run_study(name, given.pop("source", SOURCE), folder, **given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which some rows of Table 1 are finished."""
    with pytest.MonkeyPatch.context() as context:
        context.chdir(tmp_path_factory.mktemp("study"))
        report = study(Path("study"), methods=ROWS, command="wtn study table1")
        folder = Path("study").absolute()
    assert not report.failed
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that folder, whose checkpoints know its paths."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(folder, "study"))


def stamps(folder: Path, pattern: str) -> dict[str, int]:
    """Return when each file was written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob(pattern)}


def test_every_row_has_its_figures_beside_the_papers(folder: Path) -> None:
    """The JSON holds every seed, what sets its row apart and where it ran, the Markdown a table."""
    written = json.loads((folder / f"shapes/{REPORT}.json").read_text())
    markdown = (folder / f"shapes/{REPORT}.md").read_text()

    assert list(written["rows"]) == list(ROWS)
    row = written["rows"]["zsd-words"]
    assert row["changes"] == {"head.method": "zsd", "words": True}
    assert row["seeds"][0]["seed"] == 0
    assert 0 <= row["seeds"][0]["metrics"]["seen_AP50"] <= 100
    assert row["seeds"][0]["seconds"] > 0
    assert row["seeds"][0]["machine"]["threads"] > 0
    assert (written["command"], written["failed"]) == ("wtn study table1", [])
    assert "| ZSD with word vectors" in markdown
    assert "58.39" in markdown
    assert "| seeds | minutes to train |" in markdown
    assert re.search(r"^On cpu .*, threads \d+, .* \(3 of 3 rows and seeds\)\.$", markdown, re.M)
    assert "averaged over all classes with boxes; the official release leaves out" in markdown
    assert "ZSD with word vectors: the vectors of this world are random" in markdown
    assert (folder / f"shapes/{REPORT}.png").read_bytes().startswith(b"\x89PNG")


def test_rows_of_one_training_share_its_checkpoint(folder: Path) -> None:
    """LSDA is trained once, and each of its transfers has a head and a result of its own."""
    seed = folder / "shapes/seed-0"

    assert {p.parent.name for p in seed.rglob("checkpoint.safetensors")} == {"lsda", "zsd-words"}
    heads = [(seed / row / "head.safetensors").read_bytes() for row in ROWS[:2]]
    assert heads[0] != heads[1]


def test_the_second_run_does_nothing_again(copy: Path) -> None:
    """No world is drawn, nothing is trained and nothing is evaluated twice."""
    patterns = ("checkpoint.safetensors", "result.json", "network.safetensors", "words.*")
    before = [stamps(copy, pattern) for pattern in patterns]

    report = study(copy, methods=ROWS)

    assert [stamps(copy, pattern) for pattern in patterns] == before
    assert [row.name for row in report.table.rows] == list(ROWS)


def test_a_checkpoint_serves_its_own_settings_and_classifier_only(copy: Path) -> None:
    """Neither another length of training nor other classifier rows are taken for the same."""
    row, longer = (
        scope_of("table1", source, copy, [0], ["lsda"]).rows(0)[0]
        for source in (SOURCE, ShapesSource(5, SIZES))
    )
    assert (row.is_trained(), longer.is_trained()) == (True, False)
    assert longer.result() is None
    classifier = copy / "shapes/seed-0/world/classifier.safetensors"
    rows = ClassifierWeights.load(classifier)

    replace(rows, weight=2 * rows.weight).save(classifier)

    assert not row.is_trained()


def test_a_finished_training_is_not_replaced(copy: Path) -> None:
    """Hours of work are not lost to another length of training in the same folder."""
    before = stamps(copy, "checkpoint.safetensors")

    with pytest.raises(RunError, match="holds another finished training: ") as raised:
        study(copy, methods=ROWS, source=ShapesSource(5, SIZES))

    assert "schedule.iterations is 4 there, 5 now" in raised.value.what
    assert stamps(copy, "checkpoint.safetensors") == before


def test_the_folder_may_be_named_in_another_way(copy: Path) -> None:
    """A relative and an absolute path to the same files are the same settings."""
    before = stamps(copy, "*.*")

    report = study(copy.absolute(), methods=ROWS)

    assert not report.failed
    after = stamps(copy, "*.*")
    assert {path for path in before if after[path] != before[path]} == {
        f"{copy}/shapes/{REPORT}.{end}" for end in ("json", "md", "png")
    }


def test_a_folder_may_be_moved(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy under another name, used from another working directory, is as good."""
    monkeypatch.chdir(tmp_path)
    moved = Path(shutil.copytree(folder, "elsewhere/moved"))
    before = stamps(moved, "*.safetensors") | stamps(moved, "result.json")

    report = study(moved, methods=ROWS)

    assert not report.failed
    assert stamps(moved, "*.safetensors") | stamps(moved, "result.json") == before


@pytest.mark.parametrize(
    "name", ["train-annotations-bbox.csv", "seen-classes.csv", "hierarchy.json"]
)
def test_a_checkpoint_of_other_files_is_stale(copy: Path, name: str) -> None:
    """What a world's files hold counts, not only where they are."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]
    file = copy / "shapes/seed-0/world" / name
    text = file.read_text()

    file.write_text(text + "\n")
    changed = row.is_trained(), row.result()
    file.write_text(text)

    assert changed == (False, None)
    assert row.result() is not None


@pytest.mark.parametrize("name", ["val-novel.zip", "val-seen-annotations-bbox.csv"])
def test_a_result_on_other_files_is_stale(copy: Path, name: str) -> None:
    """The detector is evaluated again, not trained again."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]
    file = copy / "shapes/seed-0/world" / name

    file.write_bytes(file.read_bytes() + b"\n")

    assert row.is_trained()
    assert row.result() is None


def test_a_file_that_is_called_like_a_group_is_not_read(copy: Path) -> None:
    """The classes of this world are groups of the head, whatever lies in the working folder."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]

    Path("novel").write_text("x")

    assert row.result() is not None


def test_a_result_that_is_broken_is_measured_again(copy: Path) -> None:
    """Its figures come back; the detector is not trained again."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]
    file = copy / "shapes/seed-0/zsd-words/result.json"
    whole = json.loads(file.read_text())
    file.write_text(json.dumps(whole | {"metrics": {}}))
    trained = stamps(copy, "checkpoint.safetensors")

    assert row.result() is None
    assert not study(copy, methods=["zsd-words"]).failed

    assert stamps(copy, "checkpoint.safetensors") == trained
    assert json.loads(file.read_text())["metrics"] == whole["metrics"]


def test_a_training_whose_logs_are_cut_is_measured(copy: Path) -> None:
    """Its checkpoint is whole, so nothing is trained again; time and loss are not known."""
    folder = copy / "shapes/seed-0/zsd-words"
    whole = json.loads((folder / "result.json").read_text())
    (folder / "result.json").unlink()
    for log in (folder / "metrics.jsonl", folder / "timings.jsonl"):
        log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    trained = stamps(copy, "checkpoint.safetensors")

    report = study(copy, methods=["zsd-words"])

    assert not report.failed
    assert stamps(copy, "checkpoint.safetensors") == trained
    assert json.loads((folder / "result.json").read_text())["metrics"] == whole["metrics"]
    written = json.loads((copy / "shapes/table1-zsd-words.json").read_text())
    (seed,) = written["rows"]["zsd-words"]["seeds"]
    assert (seed["seconds"], seed["loss_classifier"]) == (None, None)
    assert "| ZSD with word vectors" in report.markdown()


def test_the_settings_of_a_result_are_a_record_alone(copy: Path) -> None:
    """They are the checkpoint's, which counts by its contents."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]
    file = copy / "shapes/seed-0/zsd-words/result.json"
    told = json.loads(file.read_text())

    file.write_text(json.dumps(told | {"conditions": told["conditions"] | {"settings": None}}))

    assert row.result() is not None


def test_a_result_of_another_checkpoint_is_stale(copy: Path) -> None:
    """Two rows share a training: once one has it done again, the other's figures are old."""
    first, second = scope_of("table1", SOURCE, copy, [0], ROWS[:2]).rows(0)
    found = DetectorCheckpoint.load(first.checkpoint)

    replace(found, provenance=found.provenance | {"again": True}).save(first.checkpoint)

    assert second.is_trained()
    assert second.result() is None


def test_a_revision_makes_what_was_before_stale(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A higher one of results has rows evaluated again, one of trainings also trained again."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]

    monkeypatch.setattr(runs, "RESULT_REVISION", RESULT_REVISION + 1)
    assert (row.is_trained(), row.result()) == (True, None)
    monkeypatch.setattr(runs, "TRAINING_REVISION", TRAINING_REVISION + 1)
    before = stamps(copy, "checkpoint.safetensors")
    assert not row.is_trained()
    assert not study(copy, methods=["zsd-words"]).failed
    after = stamps(copy, "checkpoint.safetensors")
    assert [path for path in before if after[path] != before[path]] == [str(row.checkpoint)]


def test_a_training_that_nobody_recorded_is_not_replaced(copy: Path) -> None:
    """Without its record it is of no known version, and may be the user's own."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]
    (row.checkpoint.parent / "training.json").unlink()
    before = stamps(copy, "checkpoint.safetensors")

    assert not row.is_trained()
    with pytest.raises(RunError, match="holds a finished training that no study recorded"):
        study(copy, methods=["zsd-words"])

    assert stamps(copy, "checkpoint.safetensors") == before


def test_a_training_of_a_later_version_is_not_replaced(copy: Path) -> None:
    """It is recorded, so the message does not say that it is not."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]
    record = row.checkpoint.parent / "training.json"
    record.write_text(json.dumps({"revision": TRAINING_REVISION + 1, "machine": {}}))

    with pytest.raises(RunError, match="holds a finished training that a later version trained"):
        study(copy, methods=["zsd-words"])


def test_a_stop_in_the_last_save_loses_nothing(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The save is finished before the study stops, and the same command does the rest."""
    shutil.rmtree(copy / "shapes/seed-0/zsd-words")
    fsync, phases = os.fsync, [""]

    def stop_once(file: int) -> None:
        if phases[-1] == "train 4/4":
            phases.append("stopped")
            signal.raise_signal(signal.SIGINT)
        fsync(file)

    def listen(progress: StudyProgress) -> None:
        phases.extend(str(phase) for phase in progress.running.values())

    monkeypatch.setattr("pipelines.storage.os.fsync", stop_once)
    with pytest.raises(Interrupted, match="the study was stopped"):
        study(copy, methods=["zsd-words"], on_progress=listen)
    assert "stopped" in phases
    trained = stamps(copy, "checkpoint.safetensors")

    report = study(copy, methods=["zsd-words"])

    assert not report.failed
    assert stamps(copy, "checkpoint.safetensors") == trained


def test_what_an_earlier_version_trained_does_not_pass_for_this_ones(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if its replacement is stopped at the first step; it is set aside."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]

    def stop(progress: StudyProgress) -> None:
        if any(phase.name == "train" for phase in progress.running.values()):
            raise KeyboardInterrupt

    monkeypatch.setattr(runs, "TRAINING_REVISION", TRAINING_REVISION + 1)
    with pytest.raises(Interrupted):
        study(copy, methods=["zsd-words"], on_progress=stop)

    assert row.training_record().revision == TRAINING_REVISION + 1
    assert not row.is_trained()
    assert row.checkpoint.with_name("previous-checkpoint.safetensors").exists()


def test_a_training_that_fails_at_once_leaves_the_earlier_one(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its checkpoint nor its record is touched; here the images are lost."""
    row = scope_of("table1", SOURCE, copy, [0], ["zsd-words"]).rows(0)[0]
    before = stamps(row.checkpoint.parent, "*.*")
    (copy / "shapes/seed-0/world/train.zip").unlink()

    with monkeypatch.context() as later:
        later.setattr(runs, "TRAINING_REVISION", TRAINING_REVISION + 1)
        with pytest.raises(RunError, match=r"train\.zip"):
            study(copy, methods=["zsd-words"])

    assert stamps(row.checkpoint.parent, "*.*") == before
    assert row.is_trained()


def test_a_world_of_other_sizes_is_refused(folder: Path) -> None:
    """What was trained in one world is not taken for what another would give."""
    other = ShapesSource(4, ShapesSettings(num_seen=25))

    with pytest.raises(RunError, match="holds another world"):
        study(folder, methods=ROWS, source=other)


def test_chosen_rows_leave_the_table_of_all_rows(copy: Path) -> None:
    """Nor is the picture replaced; the report names its own files."""
    table = copy / "shapes/table1.md"
    table.write_text("all rows with three seeds")

    report = study(copy, methods=["zsd-words"])

    assert table.read_text() == "all rows with three seeds"
    assert table.with_stem("table1-zsd-words") in report.files


def test_a_training_that_another_study_is_making_is_used(copy: Path, tmp_path: Path) -> None:
    """It is waited for, and not made once more: two writers would spoil each other's files."""
    folder, elsewhere = copy / "shapes/seed-0/zsd-words", tmp_path / "elsewhere"
    (folder / "result.json").unlink()
    (folder / "checkpoint.safetensors").rename(elsewhere)
    made = elsewhere.stat().st_mtime_ns
    waited = []

    def finish(progress: StudyProgress) -> None:
        if WAITS in map(str, progress.running.values()) and not waited:
            waited.append(list(progress.running))
            elsewhere.rename(folder / "checkpoint.safetensors")
            other.close()

    with ExitStack() as other:
        other.enter_context(FileLock(folder / LOCK))
        report = study(copy, methods=["zsd-words"], on_progress=finish)

    assert waited == [["zsd-words, seed 0"]]
    assert not report.failed
    assert (folder / "checkpoint.safetensors").stat().st_mtime_ns == made
    assert (folder / "result.json").exists()


def test_a_world_that_another_study_is_drawing_is_waited_for(copy: Path) -> None:
    """Two studies that begin together draw one world."""
    waited = []

    def finish(progress: StudyProgress) -> None:
        if WAITS in map(str, progress.running.values()):
            waited.append(list(progress.running))
            other.close()

    with ExitStack() as other:
        other.enter_context(FileLock(copy / "shapes/seed-0/world" / LOCK))
        study(copy, methods=["zsd-words"], on_progress=finish)

    assert waited == [["world of seed 0"]]


def test_a_row_that_fails_stops_no_other(copy: Path) -> None:
    """The report names it and says why, and the same call takes it up again."""
    similarity, rows = copy / "shapes/seed-0/world/similarity.safetensors", (ROWS[0], IMAGES)
    similarity.write_bytes(b"broken")

    report = study(copy, methods=rows)

    assert [(row.row, row.seed) for row in report.failed] == [(IMAGES, 0)]
    assert str(similarity) in report.failed[0].error
    assert [row.name for row in report.table.rows] == ["lsda"]
    assert f"Failed: {IMAGES} with seed 0" in report.markdown()
    similarity.unlink()
    assert study(copy, methods=rows).failed == ()


def test_each_task_tells_how_far_it_is(copy: Path) -> None:
    """In this process too: every picture of a world, and every part of a row."""
    shutil.rmtree(copy)
    told: dict[str, list[str]] = {}

    def listen(progress: StudyProgress) -> None:
        for label, phase in progress.running.items():
            told.setdefault(label, []).append(str(phase))

    study(copy, methods=["zsd-words"], on_progress=listen)

    world, row = told["world of seed 0"], told["zsd-words, seed 0"]
    assert sum(phase.startswith("draw the world ") for phase in world) > SIZES.num_train
    assert "look at the crops" in world
    assert any(phase.startswith("train the classifier ") for phase in world)
    assert "train 4/4" in row
    for metric in ("seen_AP50", "novel_AP50"):
        assert any(phase.startswith(f"evaluate zsd-words for {metric} ") for phase in row)


def test_rows_that_a_world_cannot_serve_are_left_out(tmp_path: Path) -> None:
    """They are listed with the reason; a study of nothing else is refused."""
    source = Tin200Source(tmp_path)

    scope = scope_of("table1", source, tmp_path, [0], [])

    assert set(scope.left_out) == {"zsd-words", IMAGES}
    assert "--words" in scope.left_out["zsd-words"]
    assert not {v.name for v in scope.variants} & set(scope.left_out)
    with pytest.raises(ConfigError, match="serves none of these rows: zsd-words: it needs word"):
        scope_of("table1", source, tmp_path, [0], ["zsd-words"])


def test_missing_files_are_one_error(tmp_path: Path) -> None:
    """Before anything is done, all files that the user has yet to bring are listed."""
    with pytest.raises(DatasetError) as raised:
        study(tmp_path / "out", source=OpenImagesSource(tmp_path))

    assert raised.value.what == "5 of the files of the world open-images are missing"
    for name, command in MADE_BY.items():
        assert f"{tmp_path / name}: {command.format(data=tmp_path)}" in str(raised.value.mend)
    assert not (tmp_path / "out").exists()


def test_an_output_that_can_hold_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """Not after the trainings: here a file is in the way."""
    (tmp_path / "out").touch()

    with pytest.raises(ConfigError, match="out: a file, not a folder"):
        study(tmp_path / "out")


def test_trainings_run_side_by_side_and_one_may_be_lost(copy: Path) -> None:
    """A process that is killed costs its own training only, which is then taken up again."""
    killed: list[int] = []

    def kill_one(progress: StudyProgress) -> None:
        if not killed and any("wtn" in label for label in progress.running):
            child = multiprocessing.active_children()[0]
            killed.append(child.pid or 0)
            child.kill()

    first = study(copy, "fig4", methods=["wtn", "wtn+"], jobs=2, on_progress=kill_one)
    second = study(copy, "fig4", methods=["wtn", "wtn+"])

    assert ["exit code -9" in row.error for row in first.failed] == [True]
    assert not second.failed
    assert [row.name for row in second.table.rows] == ["wtn", "wtn+"]
    found = second.details["wtn"]["seeds"][0]
    assert found["neighbors"][0] == 10
    assert found["seconds"] > 0
    assert found["machine"]["threads"] > 0
    assert "Of 960 classes, unrelated rows would keep 10.4 of 100" in second.markdown()


def test_ctrl_c_ends_all_processes(copy: Path) -> None:
    """Nothing goes on behind the user's back, and the message says how to go on."""

    def interrupt(progress: StudyProgress) -> None:
        if any(phase.name == "train" for phase in progress.running.values()):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="the study was stopped") as raised:
        study(copy, "table3", jobs=2, on_progress=interrupt)

    assert "a training that had not ended starts again" in str(raised.value.mend)
    assert multiprocessing.active_children() == []
    assert not list((copy / "shapes").glob("table3.*"))


def test_without_matplotlib_there_is_no_picture(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report says so, and the other files are written."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    report = study(copy, methods=ROWS)

    assert {path.suffix for path in report.files} == {".json", ".md"}
    assert "pip install matplotlib" in str(report.note)


def test_an_unknown_row_is_named(tmp_path: Path) -> None:
    """So are the rows that there are."""
    with pytest.raises(ConfigError, match="no row 'aewtn'") as raised:
        study(tmp_path, methods=["aewtn"])

    assert "ae-wtn" in str(raised.value.mend)
