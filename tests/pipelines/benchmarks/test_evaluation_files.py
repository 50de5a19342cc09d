"""Tests for pipelines.benchmarks.evaluation_files."""

from pathlib import Path

from pipelines.benchmarks.evaluation_files import EvaluationFiles, class_ids_of, rows_by_image

HEADER = "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\n"


def _files(folder: Path, predictions: str) -> EvaluationFiles:
    boxes = folder / "boxes.csv"
    boxes.write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\nb,/m/2,0,0.5,0,0.5\n")
    found = folder / "predictions.csv"
    found.write_text(HEADER + predictions)
    return EvaluationFiles(found, boxes)


def test_rows_of_an_image_keep_the_order_of_the_file(tmp_path: Path) -> None:
    """The evaluators break ties by it, so it must not change."""
    rows = "".join(f"{image},/m/1,0.5,0,1,0,1\n" for image in "cacab")

    boxes, labels, found = _files(tmp_path, rows).read()

    assert {image: rows.tolist() for image, rows in rows_by_image(found)} == {
        "a": [1, 3],
        "b": [4],
        "c": [0, 2],
    }
    assert class_ids_of(boxes, labels, found) == ("/m/1", "/m/2")


def test_no_detection_at_all_has_no_image(tmp_path: Path) -> None:
    """A file with nothing but a header is fine."""
    _, _, found = _files(tmp_path, "").read()

    assert list(rows_by_image(found)) == []
