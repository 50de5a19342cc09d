"""Tests for ``wtn study``: options, plans, and how a study ends."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.data.shapes import ShapesSettings
from pipelines.study import shapes
from pipelines.study.findings import DETECTION, TRAINING_LOSS
from pipelines.study.outputs import StudyReport
from pipelines.study.study import Phase, StudyProgress
from pipelines.study.tables import Table, TableRow
from wtn_cli import console
from wtn_cli.study import _ProgressShown
from wtn_cli.study_tables import show_report

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]

SIZES = ShapesSettings(
    num_seen=24, num_train=8, num_val_seen=2, num_val_novel=2, num_crops=960, min_crops=1
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw a small world."""
    source = shapes.ShapesSource
    monkeypatch.setattr(
        shapes, "ShapesSource", lambda iterations, sizes, preset: source(iterations, SIZES, preset)
    )


@pytest.mark.usefixtures("tiny")
def test_a_study_from_flags_to_files(wtn: Wtn, tmp_path: Path) -> None:
    """The table is on stdout and the files are named; a row that fails makes the exit code 1."""
    flags = ("--methods", "wtn", "--iterations", "10", "--jobs", "1", "--device", "cpu")
    study = ("study", "table2", *flags, "-o", tmp_path)

    ended = wtn(*study)
    again = wtn(*study, "--json")

    assert ended.returncode == 0, ended.stderr
    assert "What WTN+ adds (the paper's Table 2); the world shapes, 1 seed" in ended.stdout
    assert "52.87" in ended.stdout
    assert str(tmp_path / "shapes/table2-wtn.md") in ended.stdout
    assert "study table2 1/1" in ended.stderr
    for part in ("world of seed 0: draw the world 1/", "world of seed 0: train the classifier 1/",
                 "wtn, seed 0: train 1/10", "wtn, seed 0: evaluate wtn for seen_AP50 1/2",
                 "wtn, seed 0: evaluate wtn for novel_AP50 1/2"):  # fmt: skip
        assert part in ended.stderr
    assert json.loads(again.stdout)["rows"]["wtn"]["seeds"][0]["seed"] == 0
    longer = tuple("20" if flag == "10" else flag for flag in study)
    planned, refused = wtn(*longer, "--dry-run"), wtn(*longer)
    assert planned.returncode == refused.returncode == 1
    assert "Error: 1 training would be refused" in planned.stderr
    for told in (planned.stdout, refused.stderr):
        assert "finished training: schedule.iterations is 10 there, 20 now" in told
    (reason,) = json.loads(wtn(*longer, "--dry-run", "--json").stdout)["refused"]
    assert "schedule.iterations is 10 there, 20 now" in reason
    (tmp_path / "shapes/seed-0/wtn/result.json").unlink()
    (tmp_path / "shapes/seed-0/world/val-novel.zip").write_bytes(b"broken")

    failed = wtn(*study)

    assert failed.returncode == 1
    assert "Error: " in failed.stderr
    assert "wtn with seed 0" in failed.stderr
    recipe = tmp_path / "shapes/seed-0/world/world.json"
    recipe.write_text(recipe.read_text().replace('"num_train": 8', '"num_train": 9'))
    planned, refused = wtn(*study, "--dry-run"), wtn(*study)
    assert planned.returncode == refused.returncode == 1
    for told in (planned.stdout, refused.stderr):
        assert "the folder holds another world: num_train is 9 there, 8 now" in told


@pytest.mark.parametrize(("width", "tables"), [(80, 2), (200, 1)])
def test_a_wide_table_is_shown_in_parts(
    width: int, tables: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No word is broken, and each part tells its methods."""
    monkeypatch.setenv("COLUMNS", str(width))
    seeds = (50.0, 52.0)
    values = {metric.name: seeds for metric in (*DETECTION, TRAINING_LOSS)}
    title = "LSDA (visual transfer, probabilities over images)"
    rows = (TableRow("lsda", title, values, {metric.name: 26.43 for metric in DETECTION}),)
    table = Table("table1", (*DETECTION, TRAINING_LOSS), rows)
    report = StudyReport("title", "unit", "shapes", table, {}, (), {}, {}, (), None)

    show_report(report)

    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("51.00 ± 1.41") == 3
    assert shown.count("26.43") == 3
    for word in title.split():
        assert shown.count(word) == tables


@pytest.mark.parametrize("world", ["shapes", "tin200", "open-images"])
def test_a_plan_needs_no_files(wtn: Wtn, tmp_path: Path, world: str) -> None:
    """It tells the trainings, hours, memory and disk of each world, and what is missing."""
    data = () if world == "shapes" else ("--data", tmp_path)
    plan = ("study", "table1", "--world", world, *data, "--seeds", 2, "--dry-run", "-o", tmp_path)

    shown, given = wtn(*plan), json.loads(wtn(*plan, "--json").stdout)

    assert shown.returncode == 0
    assert list(tmp_path.iterdir()) == []
    for fact in ("time", "memory", "disk", "images"):
        assert f"\n{fact} " in shown.stdout
    by_name = {training["name"]: training for training in given["trainings"]}
    assert by_name["lsda"]["to_do"] == 2
    assert by_name["ae-wtn"]["hours"] > 0
    assert bool(given["missing"]) == (world != "shapes")
    assert ("zsd-words" in given["left_out"]) == (world != "shapes")


def test_the_plan_of_the_paper(wtn: Wtn, tmp_path: Path) -> None:
    """AE-WTN takes 180,000 steps of four times 401 ms on one GPU; missing files have commands."""
    ended = wtn("study", "fig4", "--world", "open-images", "--data", tmp_path, "--methods",
                "ae-wtn", "--dry-run", "--json")  # fmt: skip

    plan = json.loads(ended.stdout)
    (training,) = plan["trainings"]
    assert training["hours"] == pytest.approx(180_000 * 4 * 0.401 / 3600)
    assert training["gigabytes"] == pytest.approx(0.34, abs=0.01)
    assert any("wtn prepare oi-500" in line for line in plan["missing"])
    assert any("wtn extract-weights" in line for line in plan["missing"])


def test_the_plan_of_a_drawn_world_of_the_papers_size(wtn: Wtn, tmp_path: Path) -> None:
    """About an hour a row, in a folder of its own; heads score 5160 classes with 2048 features."""
    ended = wtn("study", "table1", "--size", "paper", "--methods", "wtn+, lsda,", "--dry-run",
                "--json", "-o", tmp_path)  # fmt: skip

    plan = json.loads(ended.stdout)
    assert (plan["world"], plan["missing"]) == ("shapes-paper", [])
    assert [row["name"] for row in plan["trainings"]] == ["lsda", "wtn+"]
    assert all(0.9 < row["hours"] < 1 for row in plan["trainings"])
    assert all(0.3 < row["gigabytes"] < 0.6 for row in plan["trainings"])
    assert plan["train_images"] == 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tabel1",), "there is no study 'tabel1'"),
        (("table2", "--methods", "wtn,lsda"), "the study has no row 'lsda'"),
        (("table2", "--dry-run", "--device", "foo"), "device 'foo' cannot be used here"),
        (("table2", "--methods", ""), "--methods names no row"),
        (("table2", "--methods", " , "), "--methods names no row"),
        (("table1", "--words", "x.safetensors"), "--words changes nothing in the world shapes"),
        (("table1", "--scale", "2"), "--scale changes nothing in the world shapes"),
        (("table1", "--world", "tin200"), "the world tin200 needs --data"),
        (
            ("table1", "--world", "tin200", "--data", ".", "--size", "paper"),
            "--size changes nothing in the world tin200",
        ),
    ],
)
def test_bad_requests_are_usage_errors(
    wtn: Wtn, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """They are refused before anything is done, and say how to mend it."""
    ended = wtn("study", *arguments, "-o", tmp_path / "study")

    assert ended.returncode == 2
    assert f"Error: {message}" in ended.stderr
    assert len(ended.stderr.splitlines()) > 1
    assert not (tmp_path / "study").exists()


def test_missing_files_are_bad_data(wtn: Wtn, tmp_path: Path) -> None:
    """One error lists all of them, each with the command that makes it."""
    ended = wtn("study", "table1", "--world", "open-images", "--data", tmp_path)

    assert ended.returncode == 3
    assert "Error: 5 of the files of the world open-images are missing" in ended.stderr
    assert f"{tmp_path / 'oi-57.safetensors'}: wtn prepare oi-57" in ended.stderr


def test_a_long_part_of_the_work_is_told_each_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is no terminal; and at once when another begins, or the same of another task."""
    now = [0.0]
    monkeypatch.setattr("wtn_cli.study.time.monotonic", lambda: now[0])
    with console.progress("study table1") as bar:
        shown = _ProgressShown(bar)
        for step in range(100):
            now[0] = 5.0 * step
            shown(StudyProgress(0, 2, {"wtn, seed 0": Phase("train", step, 100)}))
        shown(StudyProgress(0, 2, {"wtn, seed 0": Phase("evaluate", 0, 9)}))
        shown(StudyProgress(1, 2, {"wtn+, seed 0": Phase("evaluate", 1, 9)}))

    lines = capsys.readouterr().err.splitlines()

    steps = [line.rpartition(" train ")[2] for line in lines if " train " in line]
    assert steps == ["0/100", "13/100", "26/100", "39/100", "52/100", "65/100", "78/100", "91/100"]
    assert [line.partition("seed 0: ")[2] for line in lines[len(steps) :]] == [
        "evaluate 0/9",
        "evaluate 1/9",
    ]
