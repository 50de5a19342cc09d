"""Tests for wtn_cli.check_data: the table, the JSON, the exit codes, and that training agrees."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]

FAULTY_ROWS = (
    "img0,/m/01,0.5,1.5,0.1,0.6,0",
    "img0,/m/01,0.5,1.0,0.1,0.6,0",  # a copy of the row above once that is cut
    "img1,/m/02,1.5,1.75,0.1,0.6,0",
    "img2,/m/02,0.5,0.5,0.1,0.6,0",
    "img3,/m/01,nan,0.5,0.1,0.6,0",
    "img4,/m/01,0.1,0.2,0.1,0.2,0",
    "img4,/m/01,0.1,0.2,0.1,0.2,0",
)


@pytest.fixture
def faulty(world: SimpleNamespace, tmp_path: Path) -> Path:
    """Return the world's box file with bad boxes from line 14 on."""
    path = tmp_path / "faulty.csv"
    path.write_text(world.boxes.read_text() + "\n".join(FAULTY_ROWS) + "\n")
    return path


def test_a_clean_dataset_passes(wtn: Wtn, world: SimpleNamespace) -> None:
    """The exit code is 0, and one line says so."""
    ended = wtn("check-data", "--boxes", world.boxes, "--images", world.images_zip,
                "--image-labels", world.image_labels)  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("12 boxes, 6 images, ")
    assert ended.stdout.endswith("s: nothing wrong\n")


@pytest.mark.parametrize("width", [80, 120])
def test_faults_are_one_table(
    wtn: Wtn, faulty: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every kind has its count and what becomes of it; nothing is cut, however narrow."""
    monkeypatch.setenv("COLUMNS", str(width))

    ended = wtn("check-data", "--boxes", faulty, "--policy", "clip")

    assert ended.returncode == 3
    rows = [line.split("│") for line in ended.stdout.splitlines() if line.count("│") == 5]
    assert {(row[1].strip(), row[2].strip(), row[3].strip()) for row in rows if row[2].strip()} == {
        ("box-not-finite", "1", "1 dropped"),
        ("box-outside", "2", "1 clipped"),
        ("box-degenerate", "1", "1 dropped"),
        ("box-duplicate", "2", "2 dropped"),
    }
    assert "…" not in ended.stdout
    assert "Error: 6 faults: 1 box-not-finite, 2 box-outside, " in ended.stderr


def test_what_no_policy_touches_has_a_dash(wtn: Wtn, faulty: Path, tmp_path: Path) -> None:
    """Nothing is done with an unused class, so the column of the policy is silent about it."""
    (tmp_path / "classes.csv").write_text("/m/01\n/m/02\n/m/03\n/m/99\n")

    ended = wtn("check-data", "--boxes", faulty, "--classes", tmp_path / "classes.csv")

    rows = [line.split("│") for line in ended.stdout.splitlines() if line.count("│") == 5]
    shown = {row[1].strip(): row[3].strip() for row in rows}
    assert (shown["class-unused"], shown["box-outside"]) == ("-", "2 refused")


def test_paths_are_short(
    wtn: Wtn, faulty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are relative to where the user is, but in JSON, which others read elsewhere."""
    monkeypatch.chdir(tmp_path)

    table = wtn("check-data", "--boxes", faulty).stdout
    printed = json.loads(wtn("check-data", "--boxes", faulty, "--json").stdout)

    assert "│ faulty.csv:14 " in table
    assert str(tmp_path) not in table
    assert printed["findings"]["box-outside"]["first"] == f"{faulty}:14"


def test_json_is_one_object(wtn: Wtn, faulty: Path) -> None:
    """It holds the findings, whether or not they are faults; the reason stands on stderr."""
    ended = wtn("check-data", "--boxes", faulty, "--allow", "box-outside", "--json")

    assert ended.returncode == 3
    printed = json.loads(ended.stdout)
    assert printed.keys() == {"findings", "images", "boxes", "seconds", "ok", "rows"}
    assert (printed["images"], printed["boxes"], printed["ok"]) == (6, 19, False)
    assert printed["findings"]["box-outside"] == {
        "count": 2,
        "first": f"{faulty}:14",
        "detail": "/m/01 XMin 0.5 YMin 0.1 XMax 1.5 YMax 0.6",
        "actions": {"refused": 2},
        "fault": False,
    }
    assert "box-outside" not in ended.stderr


def test_allowed_faults_pass(wtn: Wtn, faulty: Path) -> None:
    """They are still in the table."""
    kinds = ("box-outside", "box-not-finite", "box-degenerate", "box-duplicate")

    ended = wtn("check-data", "--boxes", faulty, *(a for k in kinds for a in ("--allow", k)))

    assert ended.returncode == 0, ended.stderr
    assert all(kind in ended.stdout for kind in kinds)
    assert ended.stdout.count("(no fault)") == 4


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--policy", "mend"), 2, "'mend' is not one of"),
        (("--allow", "boxes"), 2, "there is no kind of fault 'boxes'"),
        (("--images", "nowhere"), 3, "nowhere: no such folder"),
        (("--classes", "nowhere"), 3, "nowhere: no such file"),
    ],
)
def test_wrong_arguments_are_refused(
    wtn: Wtn, faulty: Path, arguments: tuple[str, str], code: int, says: str
) -> None:
    """Before anything is checked, and without output."""
    ended = wtn("check-data", "--boxes", faulty, *arguments)

    assert (ended.returncode, ended.stdout) == (code, "")
    assert says in ended.stderr


def test_a_malformed_row_is_refused(wtn: Wtn, faulty: Path, tmp_path: Path) -> None:
    """What is no table cannot be checked; the line is named and no rows are written."""
    faulty.write_text(faulty.read_text() + "img5,/m/01,left,0.5,0.1,0.6,0\n")

    ended = wtn("check-data", "--boxes", faulty, "--rows", tmp_path / "rows.csv")

    assert (ended.returncode, ended.stdout) == (3, "")
    assert f"{faulty}:21: XMin" in ended.stderr
    assert not (tmp_path / "rows.csv").exists()


@pytest.mark.parametrize("policy", ["clip", "drop"])
def test_training_does_what_was_announced(
    wtn: Wtn, faulty: Path, settings_toml: Path, tmp_path: Path, policy: str
) -> None:
    """It trains on all boxes but those that check-data said it would drop."""
    wtn("check-data", "--boxes", faulty, "--policy", policy, "--rows", tmp_path / "rows.csv")

    ended = wtn("train", "--config", settings_toml, "--boxes", faulty, "--policy", policy,
                "-o", tmp_path / "run", "--json")  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    with (tmp_path / "rows.csv").open(newline="") as file:
        dropped = {row["Row"] for row in csv.DictReader(file) if row["Action"] == "dropped"}
    assert json.loads(ended.stdout)["boxes"] == 12 + len(FAULTY_ROWS) - len(dropped)


def test_training_refuses_what_was_announced(
    wtn: Wtn, faulty: Path, settings_toml: Path, tmp_path: Path
) -> None:
    """Under ``error`` both count the same boxes."""
    checked = wtn("check-data", "--boxes", faulty, "--json")

    ended = wtn("train", "--config", settings_toml, "--boxes", faulty, "-o", tmp_path / "run")

    findings = json.loads(checked.stdout)["findings"]
    counts = {kind: found["count"] for kind, found in findings.items()}
    assert counts == {
        "box-not-finite": 1, "box-outside": 2, "box-degenerate": 1, "box-duplicate": 1,
    }  # fmt: skip
    assert ended.returncode == 3
    assert "5 of 19 boxes are bad: 1 not finite, 2 outside, 1 degenerate, 1 duplicate" in (
        ended.stderr
    )


@pytest.mark.real_data
def test_coco_images_are_what_the_world_holds(wtn: Wtn, real_data: Path, tmp_path: Path) -> None:
    """Every image of the archive decodes; some of them are greyscale, which is no fault."""
    from pipelines.data.images import open_images

    archive = real_data / "coco128" / "images.zip"
    rows = "\n".join(f"{image_id},/m/a,0,1,0,1" for image_id in open_images(archive).ids)
    (tmp_path / "boxes.csv").write_text(f"ImageID,LabelName,XMin,XMax,YMin,YMax\n{rows}\n")

    ended = wtn("check-data", "--boxes", tmp_path / "boxes.csv", "--images", archive)

    assert ended.returncode == 0, ended.stderr
