"""Tests for pipelines.prepare: from files to indexes, once."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from pipelines import prepare
from pipelines.data import index as index_module
from pipelines.data import presets
from pipelines.data.annotation_sources import OpenImagesSource
from pipelines.data.dataset import PrepareOptions
from pipelines.data.index import IndexPolicy, open_index
from pipelines.data.split_plans import SplitPlan
from pipelines.errors import ArtifactError, ConfigError, DatasetError, MismatchError
from pipelines.prepare import PrepareReport, prepare_splits

TREE = {"LabelName": "root", "Subcategory": [{"LabelName": "pet", "Subcategory": [
    {"LabelName": "cat"}]}, {"LabelName": "dog"}]}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> OpenImagesSource:
    """Return two box files that share an image, labels, classes and a hierarchy."""
    header = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"
    files = {
        "a.csv": f"{header}j,cat,0,0.5,0,0.5,1\ni,dog,0,1,0,0.5,0\n",
        "b.csv": f"{header}i,cat,0,1,0,1,0\nk,dog,0,1,0,1,0\n",
        "labels.csv": "ImageID,LabelName,Confidence\nl,cat,1\ni,pet,0\nj,fox,1\n",
        "classes.csv": "dog,Dog\ncat,Cat\n",
        "tree.json": json.dumps(TREE),
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    return OpenImagesSource(
        classes=tmp_path / "classes.csv",
        boxes=(tmp_path / "a.csv", tmp_path / "b.csv"),
        image_labels=(tmp_path / "labels.csv",),
        hierarchy=tmp_path / "tree.json",
    )


def prepare_one(
    source: OpenImagesSource, plan: SplitPlan, *, overwrite: bool = False, **options: object
) -> PrepareReport:
    """Prepare a single split."""
    settings = PrepareOptions(**options)  # type: ignore[arg-type]
    return prepare_splits(source, [plan], settings, overwrite=overwrite)[0]


def boxes_in(index: Path) -> list[tuple[str, str, str]]:
    """Return image, class and place of each box of an index."""
    table = open_index(index).annotations.boxes
    return [
        (table.image_ids[image], table.class_ids[label], Path(table.where(row)).name)
        for row, (image, label) in enumerate(
            zip(table.image.tolist(), table.label.tolist(), strict=True)
        )
    ]


def test_files_become_one_index(source: OpenImagesSource, tmp_path: Path) -> None:
    """Two box files and the labels are one split; the report counts what is in it."""
    report = prepare_one(source, SplitPlan(tmp_path / "index"))

    assert boxes_in(report.output) == [
        ("i", "dog", "a.csv:3"), ("i", "cat", "b.csv:2"), ("j", "cat", "a.csv:2"),
        ("k", "dog", "b.csv:3"),
    ]  # fmt: skip
    assert report.counts == {
        "images": 4, "images_with_boxes": 3, "verified_images": 3, "boxes": 4, "group_of": 1,
        "classes": 2, "classes_with_boxes": 2, "classes_with_labels": 1, "present_labels": 1,
        "absent_labels": 0, "unmatched_only_images": 0, "unmatched_exclude_images": 0,
        "boxes_read": 4, "boxes_dropped": 0, "boxes_clipped": 0,
        "boxes_of_other_classes": 0, "labels_of_other_classes": 2,
    }  # fmt: skip
    assert report.index_bytes == report.output.stat().st_size
    assert report.peak_memory_bytes > 1 << 20
    index = open_index(report.output)
    assert index.annotations.vocabulary.ids == ("dog", "cat")
    assert index.annotations.hierarchy == TREE
    assert [p["role"] for p in index.provenance["parents"]] == [
        "classes", "boxes", "boxes", "image_labels", "hierarchy",
    ]  # fmt: skip


def test_the_same_files_are_prepared_once(source: OpenImagesSource, tmp_path: Path) -> None:
    """What is up to date is left; what is not is refused, and replaced on request."""
    plan = SplitPlan(tmp_path / "index")
    first = prepare_one(source, plan)
    written = plan.output.stat().st_mtime_ns

    again = prepare_one(source, plan)

    assert (first.up_to_date, again.up_to_date) == (False, True)
    assert (again.key, again.counts) == (first.key, first.counts)
    assert plan.output.stat().st_mtime_ns == written
    with source.boxes[0].open("a") as file:
        file.write("m,dog,0,1,0,1,0\n")
    with pytest.raises(ConfigError, match="made of other files") as caught:
        prepare_one(source, plan)
    assert caught.value.where == str(plan.output)
    assert plan.output.stat().st_mtime_ns == written
    assert prepare_one(source, plan, overwrite=True).counts["boxes"] == 5


@pytest.mark.parametrize(
    "changed",
    [{"policy": "clip"}, {"drop_unknown_classes": True}, {"plan": {"expand": True}}],
    ids=str,
)
def test_another_setting_is_another_index(
    source: OpenImagesSource, tmp_path: Path, changed: dict[str, object]
) -> None:
    """An index that was made in another way is not taken for this one."""
    plan = SplitPlan(tmp_path / "index")
    prepare_one(source, plan)
    options = {key: value for key, value in changed.items() if key != "plan"}

    with pytest.raises(ConfigError, match="in another way"):
        prepare_one(source, replace(plan, **changed.get("plan", {})), **options)  # type: ignore[arg-type]


def test_a_file_that_is_no_index_is_left(source: OpenImagesSource, tmp_path: Path) -> None:
    """A source named as the output is never replaced, --force or not; nor is another file."""
    other = tmp_path / "notes.txt"
    other.write_text("mine")

    with pytest.raises(ConfigError, match="would replace an input"):
        prepare_one(source, SplitPlan(source.boxes[0]), overwrite=True)
    with pytest.raises(ConfigError, match="is there already"):
        prepare_one(source, SplitPlan(other))

    assert other.read_text() == "mine"


def test_a_damaged_index_is_made_again_with_force(source: OpenImagesSource, tmp_path: Path) -> None:
    """An index that was cut short is not taken for one, and its mend is to replace it."""
    plan = SplitPlan(tmp_path / "index")
    whole = prepare_one(source, plan).output.read_bytes()
    plan.output.write_bytes(whole[:-9])

    with pytest.raises(ArtifactError, match="not a complete") as caught:
        prepare_one(source, plan)

    assert "--force" in str(caught.value.mend)
    assert prepare_one(source, plan, overwrite=True).output.read_bytes() == whole


def test_an_index_of_another_revision_is_not_up_to_date(
    source: OpenImagesSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another version counted is neither shown nor compared with what is expected."""
    plan = SplitPlan(tmp_path / "index", expected={"boxes": 4})
    first = prepare_one(source, plan)
    for module in (index_module, prepare):
        monkeypatch.setattr(module, "INDEX_REVISION", index_module.INDEX_REVISION + 1)

    with pytest.raises(ArtifactError, match="revision 1") as caught:
        prepare_one(source, plan)

    assert "--force" in str(caught.value.mend)
    assert prepare_one(source, plan, overwrite=True).key != first.key


@pytest.mark.parametrize("change", ["removed", "added", "overwritten"])
def test_images_that_change_make_another_index(
    source: OpenImagesSource, tmp_path: Path, change: str
) -> None:
    """A file in a subfolder that goes, comes or is overwritten leaves no index up to date."""
    folder = tmp_path / "images" / "train"
    folder.mkdir(parents=True)
    for name in "ijklz":
        Image.new("RGB", (6, 4)).save(folder / f"{name}.jpg")
    plan, images = SplitPlan(tmp_path / "index"), (tmp_path / "images",)
    prepare_one(source, plan, images=images)
    (tmp_path / "images" / "notes.txt").touch()
    assert prepare_one(source, plan, images=images).up_to_date

    if change == "removed":
        (folder / "z.jpg").unlink()
    else:
        Image.new("RGB", (8, 4)).save(folder / ("y.jpg" if change == "added" else "i.jpg"))

    with pytest.raises(ConfigError, match="made of other files"):
        prepare_one(source, plan, images=images)


def test_images_that_are_not_there_are_named(source: OpenImagesSource, tmp_path: Path) -> None:
    """The folder is named, and the option that gives it."""
    with pytest.raises(DatasetError, match="the images cannot be found") as caught:
        prepare_one(source, SplitPlan(tmp_path / "index"), images=(tmp_path / "none",))

    assert caught.value.where == str(tmp_path / "none")
    assert "--images" in str(caught.value.mend)


def test_a_class_outside_the_list_is_refused_or_dropped(
    source: OpenImagesSource, tmp_path: Path
) -> None:
    """By default its first row is named; on request its boxes go, and are counted."""
    source.classes.write_text("cat,Cat\n")

    with pytest.raises(MismatchError, match="'dog'") as caught:
        prepare_one(source, SplitPlan(tmp_path / "index"))
    assert caught.value.where == f"{source.boxes[0]}:3"
    assert not (tmp_path / "index").exists()
    report = prepare_one(source, SplitPlan(tmp_path / "index"), drop_unknown_classes=True)
    assert (report.counts["boxes"], report.counts["boxes_of_other_classes"]) == (2, 2)
    assert tuple(open_index(report.output).annotations.image_ids) == ("i", "j", "l")


def test_boxes_are_treated_and_counted(source: OpenImagesSource, tmp_path: Path) -> None:
    """Clipping keeps what is left of a box, and every box that goes is counted."""
    with source.boxes[1].open("a") as file:
        file.write("k,cat,0.5,1.5,0,1,0\nm,dog,0.5,0.5,0,1,0\nk,dog,0,1,0,1,0\n")

    with pytest.raises(DatasetError, match="leaves the image"):
        prepare_one(source, SplitPlan(tmp_path / "error"))
    clip, drop, keep = (
        prepare_one(source, SplitPlan(tmp_path / policy), policy=policy)
        for policy in ("clip", "drop", "keep")
    )

    names = ("boxes_read", "boxes", "boxes_dropped", "boxes_clipped", "images")
    assert [[report.counts[name] for name in names] for report in (clip, drop, keep)] == [
        [7, 5, 2, 1, 4], [7, 4, 3, 0, 4], [7, 7, 0, 0, 5],
    ]  # fmt: skip
    table = open_index(clip.output).annotations.boxes
    assert table.boxes[-1].tolist() == [0.5, 0, 1, 1]
    assert table.where(4) == f"{source.boxes[1]}:4"


def test_splits_share_one_reading(source: OpenImagesSource, tmp_path: Path) -> None:
    """Training and validation have no image in common, and only validation is expanded."""
    ids = tmp_path / "ids.txt"
    ids.write_text("i\nl\n")
    val, train = presets.oi_500(ids, tmp_path / "out", any_counts=True)

    reports = prepare_splits(source, [val, train], PrepareOptions())

    assert [report.counts["images"] for report in reports] == [2, 2]
    assert boxes_in(val.output) == [("i", "dog", "a.csv:3"), ("i", "cat", "b.csv:2")]
    assert boxes_in(train.output) == [("j", "cat", "a.csv:2"), ("k", "dog", "b.csv:3")]
    labels = open_index(val.output).annotations.labels
    assert labels is not None
    assert [labels.class_ids[label] for label in labels.label] == ["cat", "cat"]
    assert labels.positive.tolist() == [False, True]  # no pet, so no cat
    assert [open_index(p.output).annotations.expanded for p in (val, train)] == [True, False]


@pytest.mark.parametrize("policy", ["drop", "clip"])
def test_a_split_is_the_same_alone(
    source: OpenImagesSource, tmp_path: Path, policy: IndexPolicy
) -> None:
    """Each split of one reading is, byte for byte, what it is if nothing else is prepared."""
    unsorted, ids = source.boxes[0], tmp_path / "ids.txt"
    unsorted.write_text(f"{unsorted.read_text()}k,cat,0.5,1.5,0,1,0\ni,cat,0.5,0.5,0,1,0\n")
    ids.write_text("k\n")
    source, options = replace(source, boxes=(unsorted,)), PrepareOptions(policy)
    plans = presets.oi_500(ids, tmp_path / "out", any_counts=True)

    together = [r.output.read_bytes() for r in prepare_splits(source, plans, options)]
    alone = [prepare_splits(source, [plan], options, overwrite=True)[0] for plan in plans]

    assert [report.output.read_bytes() for report in alone] == together


def test_a_list_of_other_images_is_refused(source: OpenImagesSource, tmp_path: Path) -> None:
    """A list that has no image in common with the boxes is another dataset's."""
    ids = tmp_path / "ids.txt"
    ids.write_text("x\ny\n")

    with pytest.raises(MismatchError, match="none of the 4 annotated images"):
        prepare_one(source, SplitPlan(tmp_path / "index", exclude_images=ids))


def test_counts_must_be_the_official_ones(source: OpenImagesSource, tmp_path: Path) -> None:
    """Other counts are listed beside the expected ones, and nothing is written."""
    plan = SplitPlan(tmp_path / "index", expected={"boxes": 4, "images": 5, "classes": 500})

    with pytest.raises(
        MismatchError, match="images 4 instead of 5, classes 2 instead of 500"
    ) as caught:
        prepare_one(source, plan)

    assert "boxes" not in caught.value.what
    assert not plan.output.exists()


def test_images_tell_their_sizes(world: SimpleNamespace, tmp_path: Path) -> None:
    """The index knows where the images are, and how large; a file of sizes wins."""
    classes = tmp_path / "classes.csv"
    classes.write_text("\n".join(world.detection_ids))
    sizes = tmp_path / "sizes.txt"
    sizes.write_text("img0,480,640\n")
    source = OpenImagesSource(classes, (world.boxes,))

    prepare_one(
        source, SplitPlan(tmp_path / "index"), images=(world.images_zip,), image_sizes=sizes
    )

    index = open_index(tmp_path / "index")
    assert index.annotations.sizes.tolist() == [[480, 640], *[[64, 64]] * 5]
    images = index.images()
    assert images is not None
    assert images.read("img3").shape == (3, 64, 64)
    with pytest.raises(MismatchError, match="'img1' is not known"):
        prepare_one(source, SplitPlan(tmp_path / "other"), image_sizes=sizes)


def test_missing_images_are_named(
    source: OpenImagesSource, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Boxes of images that are not there cannot be trained on."""
    with pytest.raises(DatasetError, match="4 of 4 annotated images are missing, first 'i'"):
        prepare_one(source, SplitPlan(tmp_path / "index"), images=(world.images,))


def test_labels_alone_are_a_split(source: OpenImagesSource, tmp_path: Path) -> None:
    """Boxes are not needed; neither boxes nor labels is too little."""
    report = prepare_one(replace(source, boxes=()), SplitPlan(tmp_path / "index"))

    assert (report.counts["boxes"], report.counts["present_labels"]) == (0, 1)
    assert len(open_index(report.output).annotations.boxes) == 0
    with pytest.raises(ConfigError, match="nothing to prepare"):
        replace(source, boxes=(), image_labels=())


def test_no_tensor_no_torch() -> None:
    """Preparing tables starts without torch, which takes seconds and half a gigabyte."""
    program = "import pipelines.prepare, sys; assert 'torch' not in sys.modules"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.real_data
def test_vg_200_is_rebuilt(real_data: Path, tmp_path: Path) -> None:
    """The release's file has 39,784 boxes of 200 classes in 24,690 images, bad ones included."""
    folder = real_data / "open-images"
    source = OpenImagesSource(
        folder / "vg-class-descriptions.csv", (folder / "vg-annotations-bbox.csv",)
    )
    plan = presets.vg_200(tmp_path / "index", "keep", any_counts=False)

    report = prepare_one(source, plan, policy="keep", image_sizes=folder / "vg_sizes.txt")

    names = ("boxes", "images", "classes_with_boxes")
    assert [report.counts[name] for name in names] == [39_784, 24_690, 200]
    assert (open_index(plan.output).annotations.sizes > 0).all()
    with pytest.raises(MismatchError, match="boxes 39775 instead of 39784"):
        prepare_one(source, replace(plan, output=tmp_path / "clipped"), policy="clip")


@pytest.mark.real_data
def test_oi_57_is_rebuilt(real_data: Path, tmp_path: Path) -> None:
    """The released labels pass as they are; expanding them adds 39,204 that they lack."""
    folder = real_data / "open-images"
    released = OpenImagesSource(
        folder / "novel-class-descriptions.csv",
        image_labels=(folder / "novel-annotations-imagelevel_expanded.csv",),
        hierarchy=folder / "bbox_labels_600_hierarchy.json",
        expanded=True,
    )
    plan = presets.oi_57(released, tmp_path / "released", any_counts=False)

    found = prepare_one(released, plan, image_sizes=folder / "val_600_sizes.txt")
    more = prepare_one(
        replace(released, expanded=False), SplitPlan(tmp_path / "expanded", expand=True)
    )

    names = ("present_labels", "absent_labels", "images", "verified_images")
    assert [found.counts[name] for name in names] == [28_786, 15_699, 27_164, 12_294]
    assert [more.counts[name] for name in names] == [29_460, 54_229, 27_164, 12_294]
    assert open_index(plan.output).annotations.expanded
    assert (open_index(plan.output).annotations.sizes > 0).all()
