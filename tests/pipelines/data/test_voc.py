"""Tests for pipelines.data.voc."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from pipelines.data.voc import read_voc
from pipelines.errors import DatasetError

DOG = (
    "<object><name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>"
    "<bndbox><xmin>1</xmin><ymin>11</ymin><xmax>200</xmax><ymax>60</ymax></bndbox>"
    "<part><name>head</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>9</xmax><ymax>9</ymax>"
    "</bndbox></part></object>"
)
HARD_CAT = (
    "<object><name> cat </name><bndbox><xmax>101.5</xmax><xmin>51</xmin><ymax>100</ymax>"
    "<ymin>1</ymin></bndbox><difficult>1</difficult></object>"
)


def annotation(objects: Iterable[str] = (), size: str = "") -> str:
    """Return the XML of an image, by default 200 wide and 100 high."""
    size = size or "<size><width>200</width><height>100</height><depth>3</depth></size>"
    return (
        "<annotation><folder>VOC2012</folder><filename>other.jpg</filename>"
        f"{size}<segmented>0</segmented>{''.join(objects)}</annotation>"
    )


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Return VOC's folder of one year: 2007_b has a dog and a cat, 2007_a nothing."""
    folder = tmp_path / "VOC2012"
    (folder / "Annotations").mkdir(parents=True)
    (folder / "Annotations" / "2007_b.xml").write_text(annotation([HARD_CAT, DOG]))
    (folder / "Annotations" / "2007_a.xml").write_text(annotation())
    (folder / "Annotations" / "._2007_a.xml").write_text("not for us")
    return folder


def refusal(folder: Path, content: str) -> str:
    """Return what a folder with one such file is refused with."""
    (folder / "bad.xml").write_text(content)
    with pytest.raises(DatasetError) as error:
        read_voc(folder)
    assert error.value.mend
    return str(error.value)


def test_objects_become_annotations(voc: Path) -> None:
    """Pixels 1 to W span the image; parts are no objects; an image without objects stays."""
    annotations = read_voc(voc)

    table = annotations.boxes
    assert annotations.image_ids == ("2007_a", "2007_b")
    assert annotations.sizes.tolist() == [[100, 200], [100, 200]]
    assert annotations.vocabulary.ids == annotations.vocabulary.names == ("cat", "dog")
    assert table.image.tolist() == [1, 1]
    assert table.label.tolist() == [0, 1]
    assert table.boxes.tolist() == [[0.25, 0, 0.5075, 1], [0, 0.1, 1, 0.6]]
    assert not table.group_of.any()
    assert table.where(1) == f"{voc}/Annotations/2007_b.xml: object 2"


def test_the_annotation_folder_will_do(voc: Path) -> None:
    """Files that a labelling tool has put into one folder need no VOC around them."""
    assert len(read_voc(voc / "Annotations").boxes) == 2


def test_difficult_objects_are_objects(voc: Path) -> None:
    """The cat is marked as difficult, and counts."""
    table = read_voc(voc).boxes

    assert table.class_ids == ("cat", "dog")
    assert table.rows.tolist() == [1, 2]


def test_bad_boxes_follow_the_policy(tmp_path: Path) -> None:
    """A corner 0 lies outside where pixels count from 1."""
    message = refusal(tmp_path, annotation([HARD_CAT, DOG.replace("<xmin>1<", "<xmin>0<")]))

    assert message.startswith(f"{tmp_path}/bad.xml: object 2: a box leaves the image (XMin -0.005")
    assert len(read_voc(tmp_path, "drop").boxes) == 1
    assert read_voc(tmp_path, "clip").boxes.boxes[1, 0] == 0


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    """So is one that does not exist."""
    with pytest.raises(DatasetError, match="no XML files found"):
        read_voc(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        read_voc(tmp_path / "no")


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        ("<annotation>\n<size>\n</annotation>", ":3", "not XML (mismatched tag"),
        ("", ":1", "not XML (no element found"),
        ("<annotation/>", "", "height is missing"),
        (annotation(size="<size><width>0</width><height>9</height></size>"), "", "an image cannot"),
        (annotation(size="<size><width>9.5</width><height>9</height></size>"), "", "an image"),
        (annotation(size="<size><width>x</width><height>9</height></size>"), "", "width is 'x'"),
        (annotation(["<object/>"]), ": object 1", "name is missing"),
        (annotation([DOG, "<object><name>a</name></object>"]), ": object 2", "xmin is missing"),
        (annotation([DOG.replace("60", "nan")]), ": object 1", "ymax is 'nan'"),
        (annotation([DOG.replace("60", "")]), ": object 1", "ymax is ''"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str, where: str, what: str) -> None:
    """Every fault comes with the file and its line or object."""
    assert refusal(tmp_path, content).startswith(f"{tmp_path}/bad.xml{where}: {what}")


def test_hostile_xml_is_refused(tmp_path: Path) -> None:
    """Neither entities that multiply nor those of other files are followed."""
    (tmp_path / "secret").write_text("dog")
    outside = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    entities = "".join(f'<!ENTITY x{i} "{f"&x{i - 1};" * 10}">' for i in range(1, 10))
    laughs = f'<!DOCTYPE a [<!ENTITY x0 "{"ha" * 500}">{entities}]>'

    assert "not XML" in refusal(tmp_path, outside + annotation([DOG.replace("dog", "&x;")]))
    assert "not XML" in refusal(tmp_path, laughs + annotation([DOG.replace("dog", "&x9;")]))


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    """An XML declaration can name any encoding."""
    message = refusal(tmp_path, f'<?xml version="1.0" encoding="no-such"?>{annotation()}')

    assert message.startswith(f"{tmp_path}/bad.xml")
