"""Tests for pipelines.predict: what a detector takes, what it reports, and what it refuses."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.errors import DatasetError, MismatchError
from pipelines.predict import Detector, Prediction

CertainHead = Callable[..., Path]

LOGIT = 3.0
SCORE = 1 / (1 + math.exp(-LOGIT))
ANY = {"score_threshold": 0.0}


def predict(
    artifacts: SimpleNamespace, head: Path | None, *images: Path, **options: object
) -> list[Prediction]:
    """Predict on the CPU."""
    detector = Detector.load(artifacts.checkpoint, head, device="cpu", **options)
    return list(detector.predict_many(images))


@pytest.mark.parametrize(
    ("class_id", "name", "group"),
    [("/m/01", "Bus", "seen"), ("/m/07", "Cat", "novel"), ("/m/025", "/m/025", "other")],
)
def test_a_detection_tells_its_class(
    artifacts: SimpleNamespace, world: SimpleNamespace, certain_head: CertainHead,
    class_id: str, name: str, group: str,
) -> None:  # fmt: skip
    """It carries id, name, group, and the class's row in the detector's vocabulary."""
    detector = Detector.load(artifacts.checkpoint, certain_head(**{class_id: LOGIT}), device="cpu")

    found = detector.predict(world.images / "img0.jpg")

    assert {(d.label, d.name, d.group) for d in found.detections} == {(class_id, name, group)}
    assert {detector.vocabulary.ids[row] for row in found.rows} == {class_id}


def test_three_lines_are_enough(
    artifacts: SimpleNamespace, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Load, predict and draw, with names of files as text."""
    detector = Detector.load(str(artifacts.checkpoint), str(artifacts.head))
    prediction = detector.predict(str(world.images / "img0.jpg"))
    prediction.draw().save(tmp_path / "drawn.png")

    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.size == (512, 512)


def test_a_picture_may_come_as_pixels(artifacts: SimpleNamespace, world: SimpleNamespace) -> None:
    """A file, a PIL image, a tensor and an array of it give the same boxes and drawing."""
    file = world.images / "img1.png"
    detector = Detector.load(artifacts.checkpoint, artifacts.head, device="cpu", **ANY)
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    array = np.array(image)
    pictures = (file, image, array, array[:, ::-1][:, ::-1], torch.tensor(array).permute(2, 0, 1))

    first, *others = map(detector.predict, pictures)

    assert first.detections
    assert (first.image, {other.image for other in others}) == (file, {None})
    for other in others:
        assert other.detections == first.detections
        assert np.array_equal(np.asarray(other.draw()), np.asarray(first.draw()))


def test_without_a_head_it_is_computed(artifacts: SimpleNamespace, world: SimpleNamespace) -> None:
    """The detections are those of the head that export-head writes."""
    image = world.images / "img0.jpg"

    computed = predict(artifacts, None, image, **ANY)

    assert computed == predict(artifacts, artifacts.head, image, **ANY)
    assert computed[0].detections


@pytest.mark.parametrize(("threshold", "found"), [(SCORE - 0.01, True), (SCORE + 0.01, False)])
def test_only_scores_above_the_threshold_are_reported(
    artifacts: SimpleNamespace, world: SimpleNamespace, certain_head: CertainHead,
    threshold: float, found: bool,
) -> None:  # fmt: skip
    """The threshold decides, not the detector's own lower one."""
    head = certain_head(**{"/m/01": LOGIT})

    (prediction,) = predict(artifacts, head, world.images / "img0.jpg", score_threshold=threshold)

    assert bool(prediction.detections) == found
    assert all(d.score == pytest.approx(SCORE, abs=1e-6) for d in prediction.detections)


@pytest.mark.parametrize(("shift", "label"), [(0.0, "/m/01"), (0.9, "/m/01"), (1.1, "/m/07")])
def test_a_shift_lets_novel_classes_win(
    artifacts: SimpleNamespace, world: SimpleNamespace, certain_head: CertainHead,
    shift: float, label: str,
) -> None:  # fmt: skip
    """A seen class one logit ahead is the best label until more is added to the novel one."""
    head = certain_head(**{"/m/01": LOGIT, "/m/07": LOGIT - 1})

    (found,) = predict(artifacts, head, world.images / "img0.jpg", novel_shift=shift)

    assert {d.label for d in found.detections} == {label}


def test_a_class_may_have_its_own_threshold(
    artifacts: SimpleNamespace, world: SimpleNamespace, certain_head: CertainHead, tmp_path: Path
) -> None:
    """It replaces the common one for that class alone, above and below it, with any classes."""
    head = certain_head(**{"/m/01": LOGIT, "/m/07": -LOGIT, "/m/04": -LOGIT})
    (tmp_path / "own.csv").write_text("LabelName,Threshold\n/m/07,0.01\n/m/01,0.99\n")
    image, own = world.images / "img0.jpg", tmp_path / "own.csv"

    for classes in ("all", "novel"):
        (found,) = predict(artifacts, head, image, thresholds=own, classes=classes)
        assert {d.label for d in found.detections} == {"/m/07"}


def test_top_k_counts_objects(
    artifacts: SimpleNamespace, world: SimpleNamespace, certain_head: CertainHead
) -> None:
    """The best are left, counted after an object has got its one label, and never more than k."""
    head = certain_head(**{"/m/01": LOGIT, "/m/07": LOGIT - 1})
    image = world.images / "img0.jpg"

    (everything,) = predict(artifacts, head, image)
    (two,) = predict(artifacts, head, image, top_k=2)

    assert len(everything.detections) > 2
    assert two.detections == everything.detections[:2]
    assert {d.label for d in two.detections} == {"/m/01"}


def test_left_out_classes_are_not_looked_for(
    artifacts: SimpleNamespace, world: SimpleNamespace, certain_head: CertainHead
) -> None:
    """Choosing novel classes leaves the seen ones unfound, however certain the head is."""
    head = certain_head(**{"/m/01": LOGIT})

    (found,) = predict(artifacts, head, world.images / "img0.jpg", classes="novel")

    assert found.detections == ()
    assert found.boxes.shape == (0, 4)


def test_batches_change_nothing(artifacts: SimpleNamespace, world: SimpleNamespace) -> None:
    """A folder gives the pictures that its files give one by one, in any batch size."""
    detector = Detector.load(artifacts.checkpoint, artifacts.head, device="cpu", **ANY)
    alone = [detector.predict(file) for file in sorted(world.images.iterdir())]

    for batch_size in (1, 4):
        batch = list(detector.predict_many([world.images], batch_size=batch_size))
        assert [p.image for p in batch] == [p.image for p in alone]
        for ours, expected in zip(batch, alone, strict=True):
            assert np.allclose(ours.boxes, expected.boxes, atol=1e-3)
            assert ours.rows.tolist() == expected.rows.tolist()


def test_boxes_are_in_pixels_of_the_picture(
    artifacts: SimpleNamespace, certain_head: CertainHead, tmp_path: Path
) -> None:
    """Width and height are those of the file, and boxes lie inside, best first."""
    Image.linear_gradient("L").resize((90, 40)).save(tmp_path / "wide.png")

    (found,) = predict(artifacts, certain_head(**{"/m/01": LOGIT}), tmp_path / "wide.png")

    assert (found.width, found.height) == (90, 40)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [90, 40, 90, 40]).all()
    assert found.boxes[:, 2].max() > 64  # the resized image is 64 pixels high, 144 wide
    assert found.scores.tolist() == sorted(found.scores, reverse=True)


def test_bad_pictures_are_named(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """A file that is missing or does not decode is named; a folder without images too."""
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "empty").mkdir()

    for name in ("bad.jpg", "none.jpg", "empty"):
        with pytest.raises(DatasetError) as error:
            predict(artifacts, artifacts.head, tmp_path / name)
        assert error.value.where == str(tmp_path / name)


@pytest.fixture
def mixed(world: SimpleNamespace, tmp_path: Path) -> list[Path]:
    """Return good pictures with bad ones between them: one that is too thin, one no picture."""
    Image.new("RGB", (3000, 1)).save(tmp_path / "thin.png")
    (tmp_path / "text.jpg").write_text("no picture")
    good = sorted(world.images.iterdir())
    return [good[0], tmp_path / "thin.png", good[1], tmp_path / "text.jpg", good[2]]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_what_comes_before_a_bad_picture_is_not_lost(
    artifacts: SimpleNamespace, mixed: list[Path], batch_size: int
) -> None:
    """The error comes when the pictures before it are done, also those of its batch."""
    detector = Detector.load(artifacts.checkpoint, artifacts.head, device="cpu")
    predictions = detector.predict_many([mixed[0], *mixed[2:]], batch_size=batch_size)

    assert [next(predictions).image, next(predictions).image] == [mixed[0], mixed[2]]
    with pytest.raises(DatasetError, match="unknown format"):
        next(predictions)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_bad_pictures_can_be_skipped(
    artifacts: SimpleNamespace, mixed: list[Path], batch_size: int
) -> None:
    """Each is told, and all others are done, in their order."""
    detector, told = Detector.load(artifacts.checkpoint, artifacts.head, device="cpu"), []

    found = detector.predict_many(mixed, batch_size=batch_size, on_error=told.append)

    assert [prediction.image for prediction in found] == mixed[::2]
    assert sorted(error.where for error in told) == sorted(map(str, mixed[1::2]))


def test_photos_are_turned_upright(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """A photo taken with the camera held upright has the size that a viewer shows."""
    exif = Image.Exif()
    exif[274] = 6  # EXIF orientation: turn by 90 degrees
    Image.new("RGB", (90, 40)).save(tmp_path / "photo.jpg", exif=exif)

    (found,) = predict(artifacts, artifacts.head, tmp_path / "photo.jpg")

    assert (found.width, found.height) == (40, 90)


@pytest.mark.parametrize("size", [(3000, 1), (1, 3000)])
def test_a_picture_too_thin_to_resize_is_named(
    artifacts: SimpleNamespace, tmp_path: Path, size: tuple[int, int]
) -> None:
    """What would vanish in the detector's resizing is refused; a little thicker will do."""
    Image.new("RGB", size).save(tmp_path / "thin.png")
    Image.new("RGB", (size[0] + 2, size[1] + 2)).save(tmp_path / "thick.png")

    with pytest.raises(DatasetError, match="too thin") as error:
        predict(artifacts, artifacts.head, tmp_path / "thin.png")

    assert error.value.where == str(tmp_path / "thin.png")
    assert len(predict(artifacts, artifacts.head, tmp_path / "thick.png")) == 1


def test_thresholds_of_unknown_classes_are_refused(
    artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """The message names the line."""
    (tmp_path / "own.csv").write_text("LabelName,Threshold\n/m/77,0.5\n")

    with pytest.raises(MismatchError) as error:
        Detector.load(artifacts.checkpoint, artifacts.head, thresholds=tmp_path / "own.csv")

    assert error.value.where == f"{tmp_path / 'own.csv'}:2"


def test_predictions_become_supervision_detections(
    artifacts: SimpleNamespace, world: SimpleNamespace
) -> None:
    """The documented bridge gives the same boxes, scores, classes and names, and filters them."""
    sv = pytest.importorskip("supervision")
    detector = Detector.load(artifacts.checkpoint, artifacts.head, device="cpu", **ANY)
    prediction = detector.predict(world.images / "img0.jpg")

    found = sv.Detections(
        xyxy=prediction.boxes,
        confidence=prediction.scores,
        class_id=prediction.rows,
        data={"class_name": prediction.names},
    )

    assert len(found) == len(prediction.detections) > 1
    best = found[found.confidence >= found.confidence.max()]
    first = prediction.detections[0]
    assert best.xyxy[0].tolist() == list(first.box)
    assert best["class_name"][0] == first.name == detector.vocabulary.names[best.class_id[0]]
