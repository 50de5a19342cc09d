"""Tests for pipelines.data.class_files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.class_files import read_class_lines, read_subset, read_vocabulary
from pipelines.errors import DatasetError, MismatchError


def _write(folder: Path, text: str, name: str = "classes.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "LabelName,DisplayName\n/m/1,Cat\n/m/2,Dog\n",
        "ln,desc,clsnet_ind\n/m/1,Cat,7\n/m/2,Dog,-1\n",
        "Index,LabelName,DisplayName\n0,/m/1,Cat\n1,/m/2,Dog\n",
        "Index,LabelName,DisplayName\n1,/m/2,Dog\n0,/m/1,Cat\n",
        "DisplayName,LabelName\nCat,/m/1\nDog,/m/2\n",
        "id,name\n/m/1,Cat\n/m/2,Dog\n",
        "/m/1,Cat\n/m/2,Dog\n",
        "\ufeffLabelName,DisplayName\r\n/m/1,Cat\r\n\r\n/m/2, Dog\r\n",
    ],
)
def test_formats_agree(tmp_path: Path, text: str) -> None:
    """Every known layout gives the same classes, in row order or in that of Index."""
    vocabulary = read_vocabulary(_write(tmp_path, text))
    assert vocabulary.ids == ("/m/1", "/m/2")
    assert vocabulary.names == ("Cat", "Dog")


def test_plain_list_with_mixed_line_ends(tmp_path: Path) -> None:
    """Ids come one a line, whatever ends the line, and name themselves."""
    vocabulary = read_vocabulary(_write(tmp_path, "/m/1\r/m/2\n/m/3\r\n\n/m/4"))
    assert vocabulary.ids == vocabulary.names == ("/m/1", "/m/2", "/m/3", "/m/4")


@pytest.mark.parametrize("header", ["LabelName", "MID", "id", "class", "ln"])
def test_one_column_can_have_a_header(tmp_path: Path, header: str) -> None:
    """The name of the only column is not a class; the ids name themselves."""
    vocabulary = read_vocabulary(_write(tmp_path, f"{header}\n/m/1\n/m/2\n"))
    assert vocabulary.ids == vocabulary.names == ("/m/1", "/m/2")


def test_a_subset_keeps_its_order_and_needs_no_index(tmp_path: Path) -> None:
    """Lines taken from an indexed list choose classes, but are not a list of their own."""
    path = _write(tmp_path, "Index,LabelName,DisplayName\n7,/m/7,Emu\n3,/m/3,Cat\n")

    subset = read_subset(path)

    assert (subset.ids, subset.names) == (("/m/7", "/m/3"), ("Emu", "Cat"))
    with pytest.raises(DatasetError, match="Index '7' is not in"):
        read_vocabulary(path)


def test_classes_are_found_again_by_line(tmp_path: Path) -> None:
    """Lines count from 1 with the header and blank lines, whatever the order of the classes."""
    path = tmp_path / "classes.csv"
    path.write_text("Index,LabelName,DisplayName\n1,/m/b,B\n\n0,/m/a,A\n")

    assert read_class_lines(path) == {"/m/b": 2, "/m/a": 4}


def test_names_are_joined_by_id(tmp_path: Path) -> None:
    """A names file may be in any order, know more classes, or lack some."""
    ids = _write(tmp_path, "/m/2\n/m/1\n/m/9\n", "ids.txt")
    names = _write(tmp_path, '/m/1,Cat\n/m/5,Emu\n/m/2,"Dog, big"\n', "names.csv")

    vocabulary = read_vocabulary(ids, names)

    assert vocabulary.ids == ("/m/2", "/m/1", "/m/9")
    assert vocabulary.names == ("Dog, big", "Cat", "/m/9")


def test_names_of_other_classes_are_refused(tmp_path: Path) -> None:
    """A names file that knows none of the ids is the wrong file."""
    ids, names = _write(tmp_path, "n01\nn02\n", "ids.txt"), _write(tmp_path, "/m/1,Cat\n")
    with pytest.raises(MismatchError, match="none of the 2 classes"):
        read_vocabulary(ids, names)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("/m/1\n\n/m/2\n/m/1\n", 4, "class id '/m/1' is repeated, first in line 1"),
        ("ln,desc\n/m/1,A\n/m/1,B\n", 3, "is repeated, first in line 2"),
        ("Index,LabelName,DisplayName\n1,/m/1,A\n0,/m/1,B\n", 3, "repeated, first in line 2"),
        ("LabelName,Size\n/m/1,3\n", 1, "the column DisplayName is missing"),
        ("Index,DisplayName\n0,Cat\n", 1, "the column LabelName is missing"),
        ("LabelName,DisplayName\n/m/1\n", 2, "1 cells where the header has 2"),
        ("/m/1,Cat\n/m/2,Dog,big\n", 2, "3 cells where 2 were expected"),
        ("/m/1\n/m/2,Dog\n", 2, "2 cells where 1 were expected"),
        ("LabelName,DisplayName\n,Cat\n", 2, "the class id is empty"),
        ("Index,LabelName,DisplayName\n0,a,A\n0,b,B\n", 3, "Index '0' is repeated"),
        ("Index,LabelName,DisplayName\n0,a,A\n2,b,B\n", 3, r"Index '2' is not in 0\.\.1"),
        ("Index,LabelName,DisplayName\nx,a,A\n", 2, r"Index 'x' is not in 0\.\.0"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, line: int, problem: str) -> None:
    """Every defect is refused with the file and the line."""
    path = _write(tmp_path, text)
    with pytest.raises(DatasetError, match=problem) as caught:
        read_vocabulary(path)
    assert caught.value.where == f"{path}:{line}"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"LabelName\n", "no row"),
        (b"\xff\xfe\x00", "not a class list"),
        (None, "no such"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, data: bytes | None, problem: str) -> None:
    """A file that holds no list at all is refused as a whole."""
    path = tmp_path / "classes.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DatasetError, match=problem) as caught:
        read_vocabulary(path)
    assert caught.value.where == str(path)


@given(st.permutations(range(6)))
def test_index_decides_the_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    """With an Index column the lines may come in any order."""
    lines = [f"{index},n{index},Name {index}" for index in order]
    text = "\n".join(["Index,LabelName,DisplayName", *lines])

    vocabulary = read_vocabulary(_write(tmp_path_factory.mktemp("classes"), text))

    assert vocabulary.ids == tuple(f"n{index}" for index in range(6))


@pytest.mark.real_data
def test_reads_the_lists_of_open_images_and_imagenet(real_data: Path) -> None:
    """The published files are read whole, in order, with their names."""
    folder = real_data / "open-images"
    trainable = read_vocabulary(
        folder / "classes-trainable-v4.txt", folder / "class-descriptions.csv"
    )
    challenge = read_vocabulary(folder / "challenge-2018-class-descriptions-new.csv")
    imagenet = read_vocabulary(real_data / "classifiers" / "imagenet1k-classes.csv")

    assert [len(v) for v in (trainable, challenge, imagenet)] == [7186, 500, 1000]
    assert trainable.name_of["/m/01yrx"] == "Cat"
    assert challenge.names[0] == "Infant bed"
    assert (imagenet.ids[0], imagenet.names[0]) == ("n01440764", "tench")
