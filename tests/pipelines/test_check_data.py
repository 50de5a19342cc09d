"""Tests for pipelines.check_data, on a small dataset that has every fault once."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipelines.check_data import CheckReport, check_data
from pipelines.data.annotation_files import load_annotations
from pipelines.data.annotation_sources import AnnotationSource, OpenImagesSource, VocSource
from pipelines.data.check_inputs import CheckInputs
from pipelines.data.findings import HARMLESS, KINDS
from pipelines.data.images import open_images
from pipelines.data.index import write_index
from pipelines.errors import ConfigError, DatasetError, Interrupted
from pipelines.provenance import parent, provenance_of

BOXES = """\
ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf
good,x,/m/a,1,0.1,0.5,0.2,0.6,0
good,x,/m/a,1,0.1,0.5,0.2,0.6,0
cmyk,x,/m/a,1,nan,0.5,0.2,0.6,0
deep,x,/m/a,1,0.5,1.5,0.2,0.6,0
turned,x,/m/a,1,0.5,0.5,0.2,0.6,0
cut,x,/m/zzz,1,0.1,0.5,0.2,0.6,0
text,x,/m/a,1,0.1,0.5,0.2,0.6,0
gone,x,/m/a,1,0.1,0.5,0.2,0.6,0
../up,x,/m/a,1,0.1,0.5,0.2,0.6,0
"""
LABELS = "ImageID,LabelName,Confidence\ngood,/m/a,1\ngood,/m/a,0\nhere,/m/q,1\n"
CLASSES = "LabelName,DisplayName\n/m/a,A\n/m/b,B\n"


@pytest.fixture
def faulty(tmp_path: Path) -> SimpleNamespace:
    """Return the files of a dataset with every fault."""
    images = tmp_path / "images"
    images.mkdir()
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8))
    for name in ("good.jpg", "here.jpg", "unused.png"):
        rgb.save(images / name)
    rgb.convert("CMYK").save(images / "cmyk.jpg")
    Image.fromarray(np.full((40, 48), 40_000, np.uint16)).save(images / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(images / "turned.jpg", exif=exif)
    (images / "cut.jpg").write_bytes((images / "good.jpg").read_bytes()[:1200])
    (images / "text.jpg").write_text("not an image")
    (images / "link.jpg").symlink_to(tmp_path / "boxes.csv")
    every = CLASSES + "/m/q,Q\n/m/zzz,Z\n"
    files = {"boxes": BOXES, "labels": LABELS, "classes": CLASSES, "all": every}
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return SimpleNamespace(
        boxes=tmp_path / "boxes.csv",
        labels=tmp_path / "labels.csv",
        classes=tmp_path / "classes.csv",
        images=images,
        all=CheckInputs(
            tmp_path / "boxes.csv", tmp_path / "classes.csv", tmp_path / "labels.csv", [images]
        ),
    )


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Return a folder of Pascal VOC whose image c has a cat and the same dog twice."""
    corners = "<xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    objects = "".join(
        f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
        for name in ("cat", "dog", "dog")
    )
    folder = tmp_path / "VOC2012"
    (folder / "Annotations").mkdir(parents=True)
    for name, content in (("b", ""), ("c", objects)):
        (folder / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><size><width>9</width><height>9</height></size>{content}</annotation>"
        )
    return folder


def test_every_fault_is_found(faulty: SimpleNamespace) -> None:
    """Each kind that can be told is in the report, in one order, with where it is."""
    report = check_data(faulty.all)

    assert list(report.findings) == list(KINDS)
    counts = {kind: found.count for kind, found in report.findings.items() if found.count != 1}
    assert counts == {"label-contradictory": 2, "image-unsafe-id": 2}
    assert (report.boxes, report.images, report.ok, report.rows) == (9, 9, False, None)
    assert report.findings["box-outside"].first == f"{faulty.boxes}:5"
    assert report.findings["box-outside"].detail == "/m/a XMin 0.5 YMin 0.2 XMax 1.5 YMax 0.6"
    assert report.findings["image-cmyk"].first == str(faulty.images / "cmyk.jpg")


def test_every_offending_row_is_written(faulty: SimpleNamespace, tmp_path: Path) -> None:
    """File and row are exact, and what training does is said of each."""
    check_data(faulty.all, "clip", rows=tmp_path / "rows.csv")

    boxes, labels, images = str(faulty.boxes), str(faulty.labels), faulty.images
    written = list(csv.reader((tmp_path / "rows.csv").read_text().splitlines()))
    assert written[0] == ["Kind", "File", "Row", "ImageID", "LabelName", "Detail", "Action"]
    assert [(kind, file, row, action) for kind, file, row, *_, action in written[1:]] == [
        ("box-not-finite", boxes, "4", "dropped"),
        ("box-outside", boxes, "5", "clipped"),
        ("box-degenerate", boxes, "6", "dropped"),
        ("box-duplicate", boxes, "3", "dropped"),
        ("class-unknown", boxes, "7", "refused"),
        ("class-unused", str(faulty.classes), "3", "kept"),
        ("label-contradictory", labels, "2", "kept"),
        ("label-contradictory", labels, "3", "kept"),
        ("label-class-unknown", labels, "4", "ignored"),
        ("image-unsafe-id", boxes, "10", "refused"),
        ("image-unsafe-id", str(images / "link.jpg"), "", "left out"),
        ("image-cmyk", str(images / "cmyk.jpg"), "", "converted"),
        ("image-truncated", str(images / "cut.jpg"), "", "refused"),
        ("image-16-bit", str(images / "deep.png"), "", "converted"),
        ("image-missing", boxes, "9", "refused"),
        ("image-unreadable", str(images / "text.jpg"), "", "refused"),
        ("image-exif-rotated", str(images / "turned.jpg"), "", "kept"),
    ]
    assert written[2][3:6] == ["deep", "/m/a", "XMin 0.5 YMin 0.2 XMax 1.5 YMax 0.6"]


@pytest.mark.parametrize(
    ("policy", "action"), [("error", "refused"), ("clip", "clipped"), ("drop", "dropped")]
)
def test_the_policy_says_what_becomes_of_a_box(
    faulty: SimpleNamespace, policy: str, action: str
) -> None:
    """The same box is refused, cut or dropped."""
    report = check_data(CheckInputs(faulty.boxes), policy)

    assert report.findings["box-outside"].actions == {action: 1}


def test_the_refusal_counts_what_is_wrong(faulty: SimpleNamespace, tmp_path: Path) -> None:
    """It names every kind that is not allowed, and where all rows are."""
    inputs = CheckInputs(faulty.boxes, faulty.classes)
    allowed = ["class-unused", "class-unknown", "box-outside", "box-not-finite"]

    with pytest.raises(DatasetError) as error:
        check_data(inputs, rows=tmp_path / "rows.csv", allow=allowed).refuse_faults()

    assert str(error.value) == (
        "3 faults: 1 box-degenerate, 1 box-duplicate, 1 image-unsafe-id\n"
        f"All are in {tmp_path / 'rows.csv'}. "
        "Allow a kind that is no fault to you with --allow KIND."
    )
    report = check_data(inputs, allow=list(KINDS))
    assert report.ok
    report.refuse_faults()


def test_a_clean_dataset_is_all_right(world: SimpleNamespace, tmp_path: Path) -> None:
    """Nothing is found, and the file of rows holds its header alone."""
    inputs = CheckInputs(world.boxes, None, world.image_labels, [world.images_zip])

    report = check_data(inputs, rows=tmp_path / "rows.csv")

    assert (report.findings, report.ok, report.boxes, report.images) == ({}, True, 12, 6)
    assert (tmp_path / "rows.csv").read_text().splitlines() == [
        "Kind,File,Row,ImageID,LabelName,Detail,Action"
    ]


def test_an_unused_image_is_no_fault(world: SimpleNamespace, tmp_path: Path) -> None:
    """It is told, but neither written nor counted against the dataset."""
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(world.boxes.read_text().splitlines()[:3]))

    report = check_data(CheckInputs(boxes, images=[world.images]), rows=tmp_path / "rows.csv")

    assert report.findings.keys() == HARMLESS
    assert report.ok
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 1


def test_an_index_is_checked_as_its_files_are(faulty: SimpleNamespace, tmp_path: Path) -> None:
    """It brings its images and labels along, and still knows the row in the box file."""
    split = load_annotations(faulty.boxes, image_labels=faulty.labels, policy="unchecked")
    write_index(
        tmp_path / "split.index", split, key="k", policy="keep", provenance={}, counts={},
        images=open_images(faulty.images),
    )  # fmt: skip

    from_index = check_data(CheckInputs(tmp_path / "split.index", faulty.classes))

    from_files = check_data(faulty.all)
    assert _counts(from_index) == _counts(from_files)
    assert from_index.findings["box-outside"].first == f"{faulty.boxes}:5"


def test_progress_goes_to_the_last_image(faulty: SimpleNamespace) -> None:
    """Every image is counted, whatever is wrong with it."""
    seen: list[tuple[int, int]] = []

    check_data(faulty.all, on_progress=lambda done, total, rate: seen.append((done, total)))

    assert seen == [(done, 9) for done in range(1, 10)]


def test_ctrl_c_leaves_nothing(faulty: SimpleNamespace, tmp_path: Path) -> None:
    """The user learns how far it was; the file of rows is not written."""

    def stop(done: int, total: int, rate: float) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="stopped after 3 of 9 images"):
        check_data(faulty.all, rows=tmp_path / "rows" / "rows.csv", on_progress=stop)

    assert not list((tmp_path / "rows").iterdir())


def test_images_with_labels_alone_are_checked(faulty: SimpleNamespace, tmp_path: Path) -> None:
    """An index without boxes knows no row of theirs, so it is named itself."""
    index = _prepare(
        OpenImagesSource(tmp_path / "all.csv", image_labels=(faulty.labels,)), tmp_path / "i"
    )
    (faulty.images / "good.jpg").unlink()

    report = check_data(CheckInputs(index, images=[faulty.images]))

    assert report.images == 2
    assert report.findings["image-missing"].first == str(index)


def test_objects_of_xml_files_are_named(voc: Path, tmp_path: Path) -> None:
    """The file is that of the image, in the table as in the file of rows."""
    index = _prepare(VocSource(voc), tmp_path / "voc.index")
    (tmp_path / "classes.csv").write_text("dog\n")

    report = check_data(CheckInputs(index, tmp_path / "classes.csv"), rows=tmp_path / "rows.csv")

    xml = voc / "Annotations" / "c.xml"
    assert report.findings["box-duplicate"].first == f"{xml}: object 3"
    assert report.findings["class-unknown"].first == f"{xml}: object 1"
    written = list(csv.DictReader((tmp_path / "rows.csv").read_text().splitlines()))
    assert [(row["Kind"], row["File"], row["Row"]) for row in written] == [
        ("box-duplicate", str(xml), "3"), ("class-unknown", str(xml), "1"),
    ]  # fmt: skip


def test_the_files_of_an_index_are_not_replaced(
    faulty: SimpleNamespace, voc: Path, tmp_path: Path
) -> None:
    """Boxes, labels, classes, XML files and images stay, whether or not they are arguments."""
    source = OpenImagesSource(tmp_path / "all.csv", (faulty.boxes,), (faulty.labels,))
    index = _prepare(source, tmp_path / "i", images=(faulty.images,))
    moved = tmp_path / "moved.csv"
    moved.write_bytes(faulty.labels.read_bytes())
    sources = [
        faulty.boxes, faulty.labels, tmp_path / "all.csv", moved, faulty.images / "good.jpg",
    ]  # fmt: skip
    before = [path.read_bytes() for path in sources]

    for path in sources:
        with pytest.raises(ConfigError, match=f"^{path}: the output would replace an input"):
            check_data(CheckInputs(index), rows=path)
    with pytest.raises(ConfigError, match="would replace an input"):
        check_data(
            CheckInputs(_prepare(VocSource(voc), tmp_path / "v")),
            rows=voc / "Annotations" / "c.xml",
        )

    assert [path.read_bytes() for path in sources] == before


def test_rows_may_stand_beside_the_files(faulty: SimpleNamespace) -> None:
    """They may also be written again."""
    for _ in range(2):
        check_data(faulty.all, rows=faulty.images / "rows.csv")

    assert (faulty.images / "rows.csv").read_text().startswith("Kind,File,")


def test_wrong_arguments_are_refused_first(faulty: SimpleNamespace) -> None:
    """A kind that does not exist, and rows in place of an input."""
    with pytest.raises(ConfigError, match=r"'box-outsid'\nDid you mean 'box-outside'\?"):
        check_data(faulty.all, allow=["box-outsid"])
    with pytest.raises(ConfigError, match="would replace an input"):
        check_data(faulty.all, rows=faulty.boxes)


def _prepare(source: AnnotationSource, output: Path, images: tuple[Path, ...] = ()) -> Path:
    """Make an index that keeps every box, the bad ones too."""
    write_index(
        output, source.read("unchecked")[0], key="k", policy="keep", counts={},
        provenance=provenance_of(*(parent(role, path) for role, path in source.files()
                                   if path.is_file())),
        images=open_images(*images) if images else None,
    )  # fmt: skip
    return output


def _counts(report: CheckReport) -> dict[str, int]:
    return {kind: found.count for kind, found in report.findings.items()}
