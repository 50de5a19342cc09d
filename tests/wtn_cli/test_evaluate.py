"""Tests for wtn_cli.evaluate: what it prints."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]

EVERYTHING = ("--joint", "--max-detections", 2, "--recall-at", 1, "--recall-at", 100,
              "--bootstrap", 20)  # fmt: skip


@pytest.fixture
def files(world: SimpleNamespace, tmp_path: Path) -> tuple[object, ...]:
    """Return the options of an evaluation in which /m/02, above /m/01, is novel."""
    (tmp_path / "seen.txt").write_text("/m/01\n/m/03\n")
    (tmp_path / "tree.json").write_text(
        '{"LabelName": "/m/0", "Subcategory": '
        '[{"LabelName": "/m/02", "Subcategory": [{"LabelName": "/m/01"}]}]}'
    )
    (tmp_path / "predictions.csv").write_text(
        "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\n"
        "img0,/m/01,0.9,0.05,0.4,0.1,0.6\n"
        "img0,/m/02,0.8,0.5,0.95,0.3,0.8\n"
        "img1,/m/02,0.7,0,1,0,1\n"
    )
    truth = ("--boxes", world.boxes, "--hierarchy", tmp_path / "tree.json")
    return ("evaluate", "--predictions", tmp_path / "predictions.csv", *truth,
            "--seen-classes", tmp_path / "seen.txt")  # fmt: skip


def test_tables_fit_a_terminal(
    wtn: Wtn, files: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything at once is at most 80 columns wide, and nothing is cut."""
    monkeypatch.setenv("COLUMNS", "80")

    ended = wtn(*files, *EVERYTHING)

    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]
    for shown in ("novel ancestors", "novel others", "harmonic mean", "AR@100", "AP50 joint",
                  "20 bootstrap samples"):  # fmt: skip
        assert shown in ended.stdout


def test_json_names_every_figure(wtn: Wtn, files: tuple[object, ...]) -> None:
    """What was not asked for is not there, and the rest is where it always was."""
    plain, full = (json.loads(wtn(*files, *more, "--json").stdout) for more in ((), EVERYTHING))

    assert list(plain) == ["metric", "AP50", "mean_recall", "images", "groups", "per_class",
                           "protocol", "detections"]  # fmt: skip
    assert list(plain["groups"]) == ["seen", "novel", "novel_ancestors", "novel_others", "all"]
    assert plain["groups"]["novel_ancestors"]["classes"] == 1
    assert plain["protocol"] == {
        "metric": "oid", "max_detections": None, "group_of_weight": 1.0, "verified_labels": False,
        "expanded": True,
    }  # fmt: skip
    assert full["protocol"]["max_detections"] == 2
    assert list(full)[8:] == ["bootstrap", "joint"]
    assert full["bootstrap"] == {"samples": 20, "seed": 0, "level": 0.95}
    assert full["joint"]["detections_per_image"] == 2
    assert set(full["joint"]["harmonic_mean"]["AP50"]) == {"joint", "alone"}
    recalls = full["groups"]["all"]["recall_at"]
    assert list(recalls) == ["1", "100"]
    assert set(recalls["1"]) == {"macro_released", "macro_strict", "micro", "intervals"}
    interval = full["groups"]["seen"]["AP50_interval"]
    assert set(interval) == {"low", "high", "standard_error", "bias"}


def test_json_tells_where_the_detections_went(
    wtn: Wtn, files: tuple[object, ...], tmp_path: Path
) -> None:
    """Whatever does not count is counted, by the reason."""
    with (tmp_path / "predictions.csv").open("a") as file:
        file.write("elsewhere,/m/01,0.9,0,1,0,1\nimg0,/m/99,0.9,0,1,0,1\nimg0,/m/01,1,0,0,0,1\n")
    (tmp_path / "labels.csv").write_text("ImageID,LabelName,Confidence\nimg0,/m/01,1\n")

    ended = wtn(*files, "--image-labels", tmp_path / "labels.csv", "--json")

    printed = json.loads(ended.stdout)
    assert printed["protocol"]["verified_labels"]
    assert printed["detections"] == {
        "read": 6, "in_other_images": 1, "of_other_classes": 1, "without_area": 1,
        "unverified": 1, "judged": 2,
    }  # fmt: skip


def test_intervals_of_many_rare_classes_are_called_unreliable(wtn: Wtn, tmp_path: Path) -> None:
    """Sixty classes of two boxes, each among ten wrong detections: the samples lie far above."""
    boxes, found = tmp_path / "boxes.csv", tmp_path / "predictions.csv"
    boxes.write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\n" + "".join(
        f"img{(name + 7 * copy) % 40},c{name},0,0.5,0,0.5\n"
        for name in range(60) for copy in range(2)
    ))  # fmt: skip
    found.write_text("ImageID,LabelName,Score,XMin,XMax,YMin,YMax\n" + "".join(
        f"img{(name + copy) % 40},c{name},{(5 * copy + name) % 13 / 13},0,0.5,0,0.5\n"
        for name in range(60) for copy in range(12)
    ))  # fmt: skip

    ended = wtn("evaluate", "--predictions", found, "--boxes", boxes, "--bootstrap", 50)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("intervals are unreliable: all\n")


def test_a_joint_evaluation_tells_whether_anybody_competes(
    wtn: Wtn, files: tuple[object, ...]
) -> None:
    """Two detections in one image contest a single place; for two places nobody does."""
    one, two = (wtn(*files, "--joint", "--max-detections", limit) for limit in (1, 2))
    printed = wtn(*files, "--joint", "--max-detections", 1, "--json").stdout

    assert "nobody competes" not in one.stdout
    assert two.stdout.endswith("no image has more than 2 detections, so nobody competes: "
                               "joint is alone\n")  # fmt: skip
    assert json.loads(printed)["joint"]["contested_images"] == 1


def test_the_seed_decides_the_samples(wtn: Wtn, files: tuple[object, ...]) -> None:
    """The same one gives the same intervals, another one others; the figures stay."""
    one, same, other = (
        json.loads(wtn(*files, "--bootstrap", 30, "--seed", seed, "--json").stdout)
        for seed in (1, 1, 2)
    )

    assert one == same
    assert one["groups"]["all"]["AP50_interval"] != other["groups"]["all"]["AP50_interval"]
    assert one["AP50"] == other["AP50"]


@pytest.mark.parametrize(("options", "says"), [
    (("--images", "folder"), "--predictions takes the place of --checkpoint"),
    (("--recall-at", "0"), "greater than or equal to 1"),
    (("--bootstrap", "-1"), "greater than or equal to 0"),
    (("--bootstrap", "1"), "Draw at least 2"),
    (("--seed", "0"), "--seed needs --bootstrap"),
    (("--device", "cpu"), "--predictions takes the place of --checkpoint"),
    (("--precision", "bfloat16"), "--predictions takes the place of --checkpoint"),
    (("--batch-size", "4"), "--predictions takes the place of --checkpoint"),
    (("--metric", "aewtn-release", "--group-of-weight", "1"), "--group-of-weight is for"),
    (("--joint",), "Give --max-detections 100"),
    (("--novel-shift", "1"), "--predictions takes the place of --checkpoint"),
])  # fmt: skip
def test_options_that_cannot_be_meant_are_refused(
    wtn: Wtn, files: tuple[object, ...], options: tuple[str, ...], says: str
) -> None:
    """The exit code is that of a usage error, and nothing is printed on stdout."""
    ended = wtn(*files, *options)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert says in ended.stderr


def test_a_shift_is_of_a_joint_evaluation(
    wtn: Wtn, world: SimpleNamespace, artifacts: SimpleNamespace
) -> None:
    """It decides between the groups, whose mean only --joint reports; 0 is the default."""
    command = ("evaluate", "--checkpoint", artifacts.checkpoint, "--images", world.images,
               "--boxes", world.boxes, "--device", "cpu")  # fmt: skip

    refused = wtn(*command, "--novel-shift", 1)
    plain, zero = (wtn(*command, "--joint", *more) for more in ((), ("--novel-shift", 0)))

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--novel-shift needs --joint" in refused.stderr
    assert zero.returncode == 0, zero.stderr
    assert zero.stdout == plain.stdout


@pytest.mark.parametrize("option", ["--per-class", "--plots"])
def test_outputs_replace_no_input(
    wtn: Wtn, files: tuple[object, ...], tmp_path: Path, option: str
) -> None:
    """Neither by their own name nor by another name of the same file."""
    seen = tmp_path / "seen.txt"
    output = tmp_path if option == "--plots" else tmp_path / "per-class.csv"
    (tmp_path / ("scores.png" if option == "--plots" else "per-class.csv")).hardlink_to(seen)

    ended = wtn(*files, option, output)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "the output would replace an input" in ended.stderr
    assert seen.read_text() == "/m/01\n/m/03\n"


def test_seen_classes_are_for_predictions(
    wtn: Wtn, world: SimpleNamespace, artifacts: SimpleNamespace
) -> None:
    """A head knows its own."""
    ended = wtn("evaluate", "--checkpoint", artifacts.checkpoint, "--head", artifacts.head,
                "--images", world.images, "--boxes", world.boxes,
                "--seen-classes", world.class_list)  # fmt: skip

    assert ended.returncode == 2
    assert "--seen-classes is for --predictions" in ended.stderr


def test_plots_are_drawn(wtn: Wtn, files: tuple[object, ...], tmp_path: Path) -> None:
    """Three pictures; a class for the curves is named by id or by name."""
    folder = tmp_path / "plots"

    ended = wtn(*files, "--plots", folder, "--plot-class", "/m/02")

    assert ended.returncode == 0, ended.stderr
    names = ["average-precision-by-frequency.png", "precision-recall.png", "scores.png"]
    assert sorted(path.name for path in folder.iterdir()) == names
    for path in folder.iterdir():
        assert f"drew {path}" in ended.stderr
        with Image.open(path) as image:
            assert image.size == (1050, 675)


def test_a_class_that_cannot_be_plotted_is_refused(
    wtn: Wtn, files: tuple[object, ...], tmp_path: Path
) -> None:
    """The nearest one is named, and no folder is made."""
    ended = wtn(*files, "--plots", tmp_path / "plots", "--plot-class", "/m/022")

    assert ended.returncode == 2
    assert "'/m/022' is not among the" in ended.stderr
    assert "Did you mean '/m/02'?" in ended.stderr
    assert not (tmp_path / "plots").exists()


def test_a_class_needs_a_folder_of_plots(wtn: Wtn, files: tuple[object, ...]) -> None:
    """The option alone would do nothing."""
    ended = wtn(*files, "--plot-class", "/m/02")

    assert ended.returncode == 2
    assert "--plot-class needs --plots" in ended.stderr


def test_coco_has_its_twelve_figures(wtn: Wtn, files: tuple[object, ...]) -> None:
    """One box of three is found exactly enough; sizes in pixels decide which is small."""
    coco = (*files, "--metric", "coco", "--image-sizes", "1000x1000")

    shown, printed = wtn(*coco), wtn(*coco, "--json")

    assert shown.returncode == 0, shown.stderr
    for name in ("AP75", "APs", "AR100", "ARl"):
        assert name in shown.stdout
    everything = json.loads(printed.stdout)["groups"]["all"]
    assert everything["AP50"] == everything["coco"]["AP50"] > 0
    assert everything["coco"]["AP"] <= everything["coco"]["AP50"]
    assert everything["coco"]["APs"] is None


def test_coco_adds_its_own_mean_to_the_classes(
    wtn: Wtn, files: tuple[object, ...], tmp_path: Path
) -> None:
    """The column AP stands last; without a figure it is empty."""
    table = tmp_path / "per-class.csv"

    wtn(*files, "--metric", "coco", "--image-sizes", "1000x1000", "--per-class", table)

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-1] == "AP"
    assert any(float(row["AP50"]) >= float(row["AP"]) > 0 for row in rows if row["AP"])


def test_coco_refuses_what_it_cannot_tell(wtn: Wtn, files: tuple[object, ...]) -> None:
    """The message names a metric that can."""
    ended = wtn(*files, "--metric", "coco", "--image-sizes", "9x9", "--bootstrap", 10)

    assert ended.returncode == 2
    assert "--metric oid" in ended.stderr


def test_what_an_index_was_made_from_is_not_overwritten(
    wtn: Wtn, world: SimpleNamespace, tmp_path: Path
) -> None:
    """The box file and the archive of images, too, stay as they are."""
    boxes, images = tmp_path / "boxes.csv", tmp_path / "images.zip"
    boxes.write_bytes(world.boxes.read_bytes())
    images.write_bytes(world.images_zip.read_bytes())
    classes, index = tmp_path / "classes.txt", tmp_path / "index.safetensors"
    classes.write_text("\n".join(world.detection_ids))
    wtn("prepare", "open-images", "--boxes", boxes, "--images", images, "--classes", classes,
        "-o", index)  # fmt: skip
    (tmp_path / "p.csv").write_text("ImageID,LabelName,Score,XMin,XMax,YMin,YMax\n")

    for source in (boxes, images):
        before = source.read_bytes()
        ended = wtn("evaluate", "--predictions", tmp_path / "p.csv", "--boxes", index,
                    "--per-class", source)  # fmt: skip

        assert ended.returncode == 2
        assert f"{source}: the output would replace an input" in ended.stderr
        assert source.read_bytes() == before


def test_zsd_evaluates_and_predicts_without_a_head_file(
    wtn: Wtn, world: SimpleNamespace, artifacts: SimpleNamespace, settings_toml: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """What it has no head file for is said where one is asked for, with what to do instead."""
    checkpoint, out = tmp_path / "run/checkpoint.safetensors", tmp_path / "head.safetensors"
    trained = wtn("train", "--config", settings_toml, "--method", "zsd", "-o", checkpoint.parent)
    assert trained.returncode == 0, trained.stderr

    evaluated = wtn("evaluate", "--checkpoint", checkpoint, "--images", world.images,
                    "--boxes", world.boxes, "--json")  # fmt: skip
    predicted = wtn("predict", world.images, "--checkpoint", checkpoint, "--score-threshold", 0,
                    "--json")  # fmt: skip
    exported = wtn("export-head", checkpoint, "-o", out)
    foreign = wtn("predict", world.images, "--checkpoint", checkpoint, "--head", artifacts.head)

    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads(evaluated.stdout)["groups"].keys() >= {"seen", "novel"}
    assert predicted.returncode == 0, predicted.stderr
    found = [box for image in json.loads(predicted.stdout)["images"] for box in image["detections"]]
    assert {box["group"] for box in found} <= {"seen", "novel", "other"}
    assert found
    for refused in (exported, foreign):
        assert refused.returncode == 4
        assert "normalises the features" in refused.stderr
        assert "without --head" in refused.stderr
    assert not out.exists()
