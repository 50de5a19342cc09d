"""Tests for wtn_cli.prepare: what each subcommand reads, and what it prints."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.data.index import open_index

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def class_list(world: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a list of the detection classes."""
    path = tmp_path / "classes.txt"
    path.write_text("\n".join(world.detection_ids))
    return path


def test_open_images_prints_one_object(
    wtn: Wtn, world: SimpleNamespace, class_list: Path, tmp_path: Path
) -> None:
    """With --json, stdout is the report of the index and nothing else; progress is on stderr."""
    ended = wtn(
        "prepare", "open-images", "--boxes", world.boxes, "--classes", class_list,
        "--image-labels", world.image_labels, "--hierarchy", world.hierarchy,
        "--images", world.images_zip, "-o", tmp_path / "index", "--json",
    )  # fmt: skip

    report = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert (report["output"], report["up_to_date"]) == (str(tmp_path / "index"), False)
    assert [report["counts"][name] for name in ("images", "boxes", "absent_labels")] == [6, 12, 0]
    assert report["boxes_per_second"] > 0
    assert ended.stderr.splitlines() == [
        "reading", *(line for line in ended.stderr.splitlines() if "image sizes" in line),
        "writing index",
    ]  # fmt: skip


def test_the_second_time_it_is_up_to_date(
    wtn: Wtn, world: SimpleNamespace, class_list: Path, tmp_path: Path
) -> None:
    """The counts are printed again; another setting needs --force."""
    command = (
        "prepare", "open-images", "--boxes", world.boxes, "--classes", class_list,
        "-o", tmp_path / "index",
    )  # fmt: skip

    first, second, other, forced = (
        wtn(*command, *more)
        for more in ((), (), ("--policy", "keep"), ("--policy", "keep", "--force"))
    )

    assert [ended.returncode for ended in (first, second, other, forced)] == [0, 0, 2, 0]
    assert f"{tmp_path / 'index'} is up to date" in second.stdout.replace("\n", "")
    assert re.search(r"^boxes +12 *$", second.stdout, re.MULTILINE)
    assert "replace it with --force" in other.stderr


def test_what_is_not_there_is_not_listed(
    wtn: Wtn, world: SimpleNamespace, class_list: Path, tmp_path: Path
) -> None:
    """The table shows counts that are not 0; JSON has them all."""
    command = (
        "prepare", "open-images", "--boxes", world.boxes, "--classes", class_list,
        "-o", tmp_path / "index",
    )  # fmt: skip

    table, report = wtn(*command), json.loads(wtn(*command, "--json").stdout)

    assert report["counts"]["boxes_dropped"] == report["counts"]["unmatched_only_images"] == 0
    names = {line.split("  ")[0] for line in table.stdout.splitlines()}
    assert {"images", "boxes", "classes", "boxes read"} <= names
    assert not {"boxes dropped", "labels of other classes", "unmatched only images"} & names


def test_a_list_that_misses_images_is_noted(
    wtn: Wtn, world: SimpleNamespace, class_list: Path, tmp_path: Path
) -> None:
    """An entry that leaves no image out may be meant for one, so it is told, also later on."""
    (tmp_path / "val.txt").write_text("img1.jpg\nimg2.tiff\nimg3\n")
    command = (
        "prepare", "open-images", "--boxes", world.boxes, "--classes", class_list,
        "--exclude-images", tmp_path / "val.txt", "-o", tmp_path / "index", "--json",
    )  # fmt: skip

    first, second = wtn(*command), wtn(*command)

    for ended in (first, second):
        counts = json.loads(ended.stdout)["counts"]
        assert (counts["images"], counts["unmatched_exclude_images"]) == (4, 1)
        assert "1 of the images listed to leave out match no annotated image" in ended.stderr


def test_an_index_is_inspected(
    wtn: Wtn, world: SimpleNamespace, class_list: Path, tmp_path: Path
) -> None:
    """``wtn inspect`` tells what is in it and what it was made of, but not the whole hierarchy."""
    wtn("prepare", "open-images", "--boxes", world.boxes, "--classes", class_list, "--hierarchy",
        world.hierarchy, "-o", tmp_path / "index")  # fmt: skip

    ended = wtn("inspect", tmp_path / "index", "--json")

    found = json.loads(ended.stdout)
    assert found["format"] == "wtn.dataset-index"
    assert tuple(found["class_ids"]) == world.detection_ids
    assert found["facts"]["hierarchy"] == 5
    assert found["facts"]["counts"]["boxes"] == 12
    assert [role for _, role, _, _ in found["provenance"]] == ["classes", "boxes", "hierarchy"]


def test_coco_is_prepared(wtn: Wtn, tmp_path: Path) -> None:
    """Images without annotations stay: they say that there is nothing in them."""
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "height": 10, "width": 20} for n in (1, 2)],
        "annotations": [{"id": 7, "image_id": 2, "category_id": 3, "bbox": [0, 0, 10, 5]}],
        "categories": [{"id": 3, "name": "cat"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(content))

    ended = wtn("prepare", "coco", "--annotations", tmp_path / "instances.json", "--class-ids",
                "name", "-o", tmp_path / "index")  # fmt: skip

    assert ended.returncode == 0
    found = open_index(tmp_path / "index").annotations
    assert found.vocabulary.ids == ("cat",)
    assert found.sizes.tolist() == [[10, 20]] * 2
    assert found.boxes.where(0).endswith("instances.json: annotation 7")
    assert found.boxes.area is not None


def test_voc_is_prepared(wtn: Wtn, tmp_path: Path) -> None:
    """The names of the objects are the classes, and each box knows its file."""
    folder = tmp_path / "Annotations"
    folder.mkdir()
    (folder / "i.xml").write_text(
        "<annotation><size><width>20</width><height>10</height></size><object><name>cat</name>"
        "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>5</ymax></bndbox></object>"
        "</annotation>"
    )

    ended = wtn("prepare", "voc", "--annotations", folder, "-o", tmp_path / "index")

    assert ended.returncode == 0
    boxes = open_index(tmp_path / "index").annotations.boxes
    assert boxes.boxes.tolist() == [[0, 0, 1, 0.5]]
    assert boxes.where(0) == f"{folder / 'i'}.xml: object 1"


def test_visual_genome_tells_what_it_understood(wtn: Wtn, tmp_path: Path) -> None:
    """Objects find their class by name; the rest is counted."""
    objects = [
        {"object_id": n, "x": 0, "y": 0, "w": 5, "h": 5, "names": [name], "synsets": []}
        for n, name in enumerate(("cat", "Cat", "dog"))
    ]
    (tmp_path / "objects.json").write_text(json.dumps([{"image_id": 1, "objects": objects}]))
    (tmp_path / "classes.csv").write_text("/m/1,Cat\n")
    (tmp_path / "sizes.txt").write_text("1,10,20\n")

    ended = wtn(
        "prepare", "visual-genome", "--objects", tmp_path / "objects.json", "--classes",
        tmp_path / "classes.csv", "--image-sizes", tmp_path / "sizes.txt", "-o",
        tmp_path / "index", "--policy", "keep", "--json",
    )  # fmt: skip

    report = json.loads(ended.stdout)
    assert (report["counts"]["boxes"], report["notes"]["unmatched"]) == (2, 1)
    assert report["notes"]["by_class"] == {"/m/1": 2}
    assert open_index(tmp_path / "index").annotations.vocabulary.ids == ("/m/1",)


def test_oi_500_writes_two_splits(
    wtn: Wtn, world: SimpleNamespace, class_list: Path, tmp_path: Path
) -> None:
    """Other than the official counts need --any-counts; the two splits share no image."""
    ids = tmp_path / "ids.txt"
    ids.write_text("img1\nimg4\n")
    command = (
        "prepare", "oi-500", "--boxes", world.boxes, "--classes", class_list, "--hierarchy",
        world.hierarchy, "--validation-ids", ids, "-o", tmp_path / "oi-500", "--json",
    )  # fmt: skip

    refused, ended = wtn(*command), wtn(*command, "--any-counts")

    assert refused.returncode == 4
    assert "validation ids 2 instead of 100000" in refused.stderr
    reports = json.loads(ended.stdout)["splits"]
    assert [Path(report["output"]).name for report in reports] == [
        "val.safetensors", "train.safetensors",
    ]  # fmt: skip
    val, train = (tuple(open_index(Path(r["output"])).annotations.image_ids) for r in reports)
    assert (val, train) == (("img1", "img4"), ("img0", "img2", "img3", "img5"))


def test_the_other_presets_check_their_counts(
    wtn: Wtn, world: SimpleNamespace, class_list: Path, tmp_path: Path
) -> None:
    """Files that are not the official ones are refused, with both numbers, unless accepted."""
    files = ("--boxes", world.boxes, "--classes", class_list, "-o", tmp_path / "index")
    oi_57 = ("prepare", "oi-57", *files, "--hierarchy", world.hierarchy)
    vg_200 = ("prepare", "vg-200", *files)

    commands = (oi_57, vg_200, (*vg_200, "--any-counts"), vg_200, (*oi_57, "--any-counts"))
    ended = [wtn(*command) for command in commands]

    assert [e.returncode for e in ended] == [4, 4, 0, 4, 2]  # the last finds the index of VG-200
    assert "classes 5 instead of 57" in ended[0].stderr
    assert "boxes 12 instead of 39784" in ended[1].stderr


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    """``python -m wtn_cli`` is ``wtn``, where no script is on the path."""
    ended = subprocess.run(
        [sys.executable, "-m", "wtn_cli", "prepare", "coco", "--annotations", tmp_path / "none",
         "-o", tmp_path / "index"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.splitlines()[-1] == f"Error: {tmp_path / 'none'}: no such file"


def test_a_moved_index_still_opens(
    wtn: Wtn, world: SimpleNamespace, class_list: Path, tmp_path: Path
) -> None:
    """An index is complete in itself; it names its sources by their full paths."""
    wtn("prepare", "open-images", "--boxes", world.boxes, "--classes", class_list,
        "-o", tmp_path / "index")  # fmt: skip
    shutil.move(tmp_path / "index", tmp_path / "elsewhere")

    boxes = open_index(tmp_path / "elsewhere").annotations.boxes

    assert boxes.where(0) == f"{world.boxes}:2"
