"""Tests for pipelines.data.neighbor_table."""

from pathlib import Path

import pytest

from pipelines.data.neighbor_table import read_neighbors
from pipelines.errors import ConfigError, DatasetError, MismatchError, WTNError
from pipelines.vocabulary import Vocabulary

IDS = ("/m/a", "/m/b", "/m/c", "/m/d", "/m/e")
CLASSIFIER = Vocabulary(IDS, ("A", "B", "C", "D", "E"))
SEEN = ("/m/d", "/m/b")  # in detection order; /m/x has boxes, but no classifier row
COUNTED = "ln,desc,clsnet_ind\n/m/d,D,3\n/m/b,B,1\n/m/x,X,-1\n"


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """Return the class file whose rows the released column counts."""
    path = tmp_path / "classes.csv"
    path.write_text(COUNTED)
    return path


def read(folder: Path, text: str, counted: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Write a table and read it."""
    path = folder / "table.csv"
    path.write_text(text)
    return read_neighbors(path, counted, CLASSIFIER, SEEN)


def test_a_table_of_ids(tmp_path: Path) -> None:
    """Columns are found by name, others are ignored; several lines of a class are kept in order."""
    text = "NeighborName,Note,LabelName\n/m/d,near,/m/a\n/m/b,near,/m/c\n/m/b,also,/m/a\n"

    assert read(tmp_path, text) == {"/m/a": ("/m/d", "/m/b"), "/m/c": ("/m/b",)}


def test_a_table_of_the_release(tmp_path: Path, counted: Path) -> None:
    """Its column counts the rows of the class file from 0."""
    text = "ln,desc,clsnet_ind,clsnet_ind_common\n/m/a,A,0,1\n/m/e,E,4,0\n"

    assert read(tmp_path, text, counted) == {"/m/a": ("/m/b",), "/m/e": ("/m/d",)}


@pytest.mark.parametrize(
    ("rows", "error", "line", "message"),
    [
        ("/m/a,/m/b\n/m/A,/m/b\n", MismatchError, 3, "the classifier has no class '/m/A'"),
        ("/m/a,/m/c\n", MismatchError, 2, "the neighbour '/m/c' is not a seen class"),
        ("/m/a,/m/x\n", MismatchError, 2, "the neighbour '/m/x' is not a seen class"),
        ("/m/b,/m/d\n", MismatchError, 2, "'/m/b' has boxes, so it borrows nothing"),
        ("/m/a,/m/b\n\n/m/a,/m/b\n", DatasetError, 4, "'/m/a' and '/m/b' are listed more than"),
        ("/m/a,\n", DatasetError, 2, "NeighborName is empty"),
    ],
)
def test_a_bad_line_is_named(
    tmp_path: Path, rows: str, error: type[WTNError], line: int, message: str
) -> None:
    """Unknown classes, neighbours without boxes, borrowers with boxes and repeats are refused."""
    with pytest.raises(error, match=message) as caught:
        read(tmp_path, f"LabelName,NeighborName\n{rows}")

    assert caught.value.where == f"{tmp_path / 'table.csv'}:{line}"


@pytest.mark.parametrize("row", ["3", "-1", "0.5"])
def test_a_row_outside_the_class_file_is_named(tmp_path: Path, counted: Path, row: str) -> None:
    """The released column must be a whole number, and a row of the class file."""
    with pytest.raises(DatasetError, match=rf"clsnet_ind_common is {row}, not a row of") as caught:
        read(tmp_path, f"ln,clsnet_ind_common\n/m/c,0\n/m/a,{row}\n", counted)

    assert caught.value.where == f"{tmp_path / 'table.csv'}:3"


def test_the_release_counts_a_class_without_a_classifier_row(tmp_path: Path, counted: Path) -> None:
    """A neighbour that has boxes only cannot lend."""
    with pytest.raises(MismatchError, match="the neighbour '/m/x' is not a seen class"):
        read(tmp_path, "ln,clsnet_ind_common\n/m/a,2\n", counted)


def test_the_class_file_belongs_to_a_released_table(tmp_path: Path, counted: Path) -> None:
    """A released table needs it, and a table of ids has no use for it."""
    with pytest.raises(ConfigError, match="counts the rows of another class file"):
        read(tmp_path, "ln,clsnet_ind_common\n/m/a,0\n")
    with pytest.raises(ConfigError, match="no column clsnet_ind_common"):
        read(tmp_path, "LabelName,NeighborName\n/m/a,/m/b\n", counted)


def test_a_table_without_its_columns(tmp_path: Path) -> None:
    """A CSV of another kind is refused by the column that it lacks."""
    with pytest.raises(DatasetError, match="NeighborName"):
        read(tmp_path, "LabelName,DisplayName\n/m/a,A\n")
    with pytest.raises(DatasetError, match="no such file"):
        read_neighbors(tmp_path / "none.csv", None, CLASSIFIER, SEEN)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            "novel-class-descriptions.csv",
            {"Magpie": "Blue jay", "Banjo": "Harp", "Koala": "Raccoon"},
        ),
        ("vg-class-descriptions.csv", {"Desktop computer": "Computer monitor", "Yak": "Alpaca"}),
    ],
)
def test_the_tables_of_the_release_name_sensible_neighbours(
    real_data: Path, table: str, expected: dict[str, str]
) -> None:
    """Joined with the 500 classes, every class has one neighbour, among the 486 seen ones."""
    folder = real_data / "open-images"
    counted = folder / "challenge-2018-class-descriptions-new.csv"
    names = {}
    for path in (counted, folder / table):
        lines = (line.split(",") for line in path.read_text().splitlines()[1:])
        names |= {cells[0]: cells[1] for cells in lines}
    seen = [
        line.split(",")[0]
        for line in counted.read_text().splitlines()[1:]
        if not line.endswith(",-1")
    ]
    classifier = Vocabulary(tuple(names), tuple(names.values()))

    neighbors = read_neighbors(folder / table, counted, classifier, seen)

    assert all(len(found) == 1 for found in neighbors.values())
    by_name = {names[class_id]: names[found[0]] for class_id, found in neighbors.items()}
    assert by_name.items() >= expected.items()
    assert len(seen) == 486
