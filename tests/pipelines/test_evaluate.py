"""Tests for pipelines.evaluate."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.artifacts import DetectionHead
from pipelines.data.image_sizes import ImageSizes
from pipelines.data.images import open_images
from pipelines.data.index import write_index
from pipelines.data.predictions import read_predictions, write_predictions
from pipelines.data.splits import expand
from pipelines.errors import ConfigError, DatasetError, MismatchError
from pipelines.evaluate import GroundTruthFiles, evaluate_detector, evaluate_predictions
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scoring

WriteIndex = Callable[..., Path]


@pytest.fixture
def predictions(world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path) -> Path:
    """Return what the detector finds of all classes."""
    path = tmp_path / "predictions.csv"
    evaluate_detector(
        artifacts.checkpoint, artifacts.head, [world.images], GroundTruthFiles(world.boxes),
        predictions=path,
    )  # fmt: skip
    return path


@pytest.fixture
def index(world: SimpleNamespace, tmp_path: Path) -> WriteIndex:
    """Return a function that writes the world's split as an index that knows its images."""

    def write(*, expanded: bool) -> Path:
        split = GroundTruthFiles(world.boxes, world.image_labels).load()
        tree = GroundTruthFiles(world.boxes, hierarchy=world.hierarchy).load().hierarchy
        sizes = np.full((len(split.image_ids), 2), 64, np.int32)
        split = replace(split, hierarchy=tree, sizes=sizes)
        path = tmp_path / "split.index"
        write_index(
            path, expand(split) if expanded else split, key="k", policy="keep", provenance={},
            counts={}, images=open_images(world.images_zip),
        )  # fmt: skip
        return path

    return write


@pytest.mark.parametrize("metric", ["oid", "aewtn-release"])
@pytest.mark.parametrize("expanded", [False, True])
def test_an_index_is_as_good_as_the_files(
    world: SimpleNamespace, predictions: Path, index: WriteIndex, metric: str, expanded: bool
) -> None:
    """It is expanded once, knows its labels and sizes, and gives the same figures."""
    files = GroundTruthFiles(world.boxes, world.image_labels, world.hierarchy)
    expected = evaluate_predictions(
        predictions, files, scoring=Scoring(metric), image_sizes="64x64"
    )

    report = evaluate_predictions(
        predictions, GroundTruthFiles(index(expanded=expanded)), scoring=Scoring(metric)
    )

    assert repr(report.metrics) == repr(expected.metrics)
    assert report.counts == expected.counts


def test_an_index_knows_its_images(
    world: SimpleNamespace, artifacts: SimpleNamespace, index: WriteIndex
) -> None:
    """So none need to be named; without an index they must be."""
    report, expected = (
        evaluate_detector(artifacts.checkpoint, artifacts.head, images, truth)
        for images, truth in (
            ([], GroundTruthFiles(index(expanded=True))),
            ([world.images], GroundTruthFiles(world.boxes, world.image_labels, world.hierarchy)),
        )
    )

    assert repr(report.metrics) == repr(expected.metrics)
    with pytest.raises(ConfigError, match="--images missing"):
        evaluate_detector(artifacts.checkpoint, artifacts.head, [], GroundTruthFiles(world.boxes))


@pytest.mark.parametrize(
    ("classes", "joint"), [("all", True), ("detection", False), ("novel", False), ("file", False)]
)
def test_a_checkpoint_needs_no_head_file(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path, classes: str, joint: bool
) -> None:
    """Its head is computed, with the figures and the detections of the exported one."""
    truth = GroundTruthFiles(_with_novel_boxes(world.boxes, "/m/04"))
    if classes == "file":
        classes = str(tmp_path / "classes.txt")
        Path(classes).write_text("/m/05\n/m/04\n")
    scoring = Scoring(classes=classes, protocol=Protocol(4, joint=joint))
    saved = [tmp_path / "exported.csv", tmp_path / "computed.csv"]

    exported, computed = (
        evaluate_detector(
            artifacts.checkpoint, head, [world.images], truth, scoring=scoring, predictions=path
        )
        for head, path in zip((artifacts.head, None), saved, strict=True)
    )

    assert repr(computed.metrics) == repr(exported.metrics)
    assert repr(computed.evaluated) == repr(exported.evaluated)
    assert saved[0].read_bytes() == saved[1].read_bytes()
    assert saved[0].read_text().count("\n") > 1


def test_a_joint_evaluation_is_that_of_its_predictions(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """Each group is detected with places of its own, and all of them compete again."""
    truth, saved = GroundTruthFiles(world.boxes, world.image_labels), tmp_path / "predictions.csv"
    protocol = Protocol(detections_per_image=3, joint=True, recall_at=(1, 3))

    detected = evaluate_detector(
        artifacts.checkpoint, artifacts.head, [world.images], truth,
        scoring=Scoring(protocol=protocol), predictions=saved,
    )  # fmt: skip
    scored = evaluate_predictions(
        saved, truth, scoring=Scoring(classes="all", protocol=protocol), head=artifacts.head
    )
    plain = evaluate_detector(
        artifacts.checkpoint,
        artifacts.head,
        [world.images],
        truth,
        scoring=Scoring(protocol=Protocol(3)),
    )

    assert repr(detected.evaluated) == repr(scored.evaluated)
    assert repr(detected.joint()) == repr(scored.joint())
    assert detected.metrics.num_detections == plain.metrics.num_detections
    assert repr(detected.metrics) == repr(plain.metrics)


def test_precision_changes_scores_a_little(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """Half precision reaches the detector, and its best score stays within 0.01."""
    best = []
    for precision in ("float32", "bfloat16"):
        saved = tmp_path / f"{precision}.csv"
        evaluate_detector(
            artifacts.checkpoint, artifacts.head, [world.images], GroundTruthFiles(world.boxes),
            precision=precision, predictions=saved,
        )  # fmt: skip
        best.append(max(float(line.split(",")[2]) for line in saved.read_text().split()[1:]))

    assert best[0] != best[1]
    assert best[0] == pytest.approx(best[1], abs=0.01)


def test_recall_beyond_the_limit_is_that_of_more_detections(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """AR@k counts k detections though fewer are judged for AP, detected or from a file."""
    truth, saved = GroundTruthFiles(world.boxes), tmp_path / "predictions.csv"

    def detect(protocol: Protocol, path: Path | None = None) -> EvaluateReport:
        return evaluate_detector(
            artifacts.checkpoint, artifacts.head, [world.images], truth,
            scoring=Scoring(protocol=protocol), predictions=path,
        )  # fmt: skip

    both = detect(Protocol(2, recall_at=(2, 6)), saved)
    scored = evaluate_predictions(
        saved,
        truth,
        scoring=Scoring(classes="all", protocol=Protocol(2, recall_at=(2, 6))),
        head=artifacts.head,
    )
    few, many = detect(Protocol(2, recall_at=(2,))), detect(Protocol(6, recall_at=(6,)))

    assert repr(both.evaluated) == repr(scored.evaluated)
    assert repr(both.metrics) == repr(few.metrics)
    assert repr(both.evaluated.recalls) == repr((*few.evaluated.recalls, *many.evaluated.recalls))
    assert few.metrics.num_detections != many.metrics.num_detections


@pytest.mark.parametrize("group", ["seen", "novel"])
def test_alone_is_a_detector_of_that_group(
    world: SimpleNamespace, artifacts: SimpleNamespace, group: str
) -> None:
    """It has the figures of an evaluation in which the other classes were not detected."""
    truth = GroundTruthFiles(world.boxes)
    head = DetectionHead.load(artifacts.head)
    ids = [i for i, own in zip(head.vocabulary.ids, head.groups, strict=True) if own == group]
    if group == "novel":  # of which the world has no box: let one stand for a seen class
        truth = GroundTruthFiles(_with_novel_boxes(world.boxes, ids[0]))

    joint, alone = (
        evaluate_detector(
            artifacts.checkpoint, artifacts.head, [world.images], truth,
            scoring=Scoring(classes=classes, protocol=Protocol(4, joint=classes == "all")),
        )
        for classes in ("all", group)
    )  # fmt: skip

    assert joint.evaluated.alone is not None
    for class_id in ids:
        ours, expected = joint.evaluated.alone, alone.metrics
        assert ours.num_detections[class_id] == expected.num_detections[class_id]
        np.testing.assert_equal(
            ours.average_precision[class_id], expected.average_precision[class_id]
        )


def test_predictions_beyond_the_limit_do_not_count(
    world: SimpleNamespace, predictions: Path
) -> None:
    """Keeping the best of each image in the file gives the same figures as the limit."""
    table = read_predictions(predictions)
    order = np.lexsort((np.arange(len(table)), -table.score, table.image))
    first = np.searchsorted(table.image[order], table.image[order])
    kept = np.sort(order[np.arange(len(order)) - first < 2])
    few = predictions.with_name("few.csv")
    write_predictions(few, replace(
        table, image=table.image[kept], label=table.label[kept], score=table.score[kept],
        boxes=table.boxes[kept],
    ))  # fmt: skip
    classes = predictions.with_name("classes.txt")
    classes.write_text("\n".join(table.class_ids))

    limited, cut = (
        evaluate_predictions(
            path, GroundTruthFiles(world.boxes), scoring=Scoring(classes=str(classes), protocol=p)
        )
        for path, p in ((predictions, Protocol(2)), (few, Protocol()))
    )

    assert len(table) > len(kept)
    assert repr(limited.metrics) == repr(cut.metrics)


def test_a_file_of_seen_classes_takes_the_place_of_a_head(
    world: SimpleNamespace, predictions: Path, tmp_path: Path
) -> None:
    """The classes that it does not list are novel."""
    seen = tmp_path / "seen.txt"
    seen.write_text("/m/01\n")

    report = evaluate_predictions(
        predictions, GroundTruthFiles(world.boxes, hierarchy=world.hierarchy), seen_classes=seen
    )

    assert {row.group: row.classes for row in report.by_group()} == {
        "seen": 1, "novel": 4, "all": 5,
    }  # fmt: skip


def test_a_joint_evaluation_without_groups_is_refused(
    world: SimpleNamespace, predictions: Path
) -> None:
    """Nothing tells which classes are novel."""
    with pytest.raises(ConfigError, match="there is no seen one"):
        evaluate_predictions(
            predictions,
            GroundTruthFiles(world.boxes),
            scoring=Scoring(protocol=Protocol(9, joint=True)),
        )


def test_a_joint_evaluation_of_a_file_needs_a_limit(
    world: SimpleNamespace, predictions: Path, artifacts: SimpleNamespace
) -> None:
    """Where all detections have a place, nobody competes, and joint would be alone."""
    with pytest.raises(ConfigError, match="Give --max-detections 100"):
        evaluate_predictions(
            predictions,
            GroundTruthFiles(world.boxes),
            scoring=Scoring(protocol=Protocol(joint=True)),
            head=artifacts.head,
        )


def test_a_shift_raises_novel_classes_alone(
    world: SimpleNamespace, artifacts: SimpleNamespace, certain_head: Callable[..., Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    """Their logits grow by it, so they take places of an image from the seen ones."""
    truth = GroundTruthFiles(_with_novel_boxes(world.boxes, "/m/04"))
    head, protocol = certain_head(**{"/m/03": 1.0, "/m/04": 0.0}), Protocol(5, joint=True)

    def evaluate(shift: float) -> tuple[dict[str, set[float]], dict[str, float]]:
        saved = tmp_path / f"{shift}.csv"
        report = evaluate_detector(
            artifacts.checkpoint, head, [world.images], truth, novel_shift=shift,
            scoring=Scoring(protocol=protocol), predictions=saved,
        )  # fmt: skip
        found = read_predictions(saved)
        scores: dict[str, set[float]] = {}
        for label, score in zip(found.label, found.score, strict=True):
            scores.setdefault(found.class_ids[label], set()).add(round(score, 6))
        return scores, {row.group: row.mean_recall.joint for row in report.joint()}

    plain, shifted = evaluate(0.0), evaluate(2.0)

    sigmoid = {logit: round(1 / (1 + np.exp(-logit)), 6) for logit in (0, 1, 2)}
    assert plain[0] == {"/m/03": {sigmoid[1]}, "/m/04": {sigmoid[0]}}
    assert shifted[0] == {"/m/03": {sigmoid[1]}, "/m/04": {sigmoid[2]}}
    assert plain[1]["novel"] == shifted[1]["seen"] == 0


@pytest.mark.parametrize("name", ["checkpoint", "head", "boxes"])
def test_predictions_replace_no_input(
    world: SimpleNamespace, artifacts: SimpleNamespace, name: str
) -> None:
    """Nothing is detected, and the input stays as it is."""
    victim: Path = getattr(world if name == "boxes" else artifacts, name)
    before = victim.read_bytes()

    with pytest.raises(ConfigError, match="the output would replace an input"):
        evaluate_detector(
            artifacts.checkpoint,
            artifacts.head,
            [world.images],
            GroundTruthFiles(world.boxes),
            predictions=victim,
        )

    assert victim.read_bytes() == before


def test_boxes_in_pixels_are_refused(world: SimpleNamespace, predictions: Path) -> None:
    """On the side of the ground truth too, with its line."""
    boxes = predictions.with_name("pixels.csv")
    header, first, *rest = world.boxes.read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index("XMax")] = "640"
    boxes.write_text("\n".join([header, ",".join(cells), *rest]))

    with pytest.raises(DatasetError, match=r"pixels\.csv:2: the box .*[\s\S]*fractions"):
        evaluate_predictions(predictions, GroundTruthFiles(boxes))


def test_labels_of_other_images_are_refused(
    world: SimpleNamespace, predictions: Path, tmp_path: Path
) -> None:
    """They would silently make every detection count for nothing."""
    labels = tmp_path / "labels.csv"
    labels.write_text("ImageID,LabelName,Confidence\nelsewhere,/m/01,1\n")

    with pytest.raises(MismatchError, match="none of its images has boxes: 'elsewhere'"):
        evaluate_predictions(predictions, GroundTruthFiles(world.boxes, labels))


def test_predictions_are_saved_though_the_metric_fails(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """They may have taken hours; they are complete before anything is judged."""
    saved = tmp_path / "predictions.csv"

    def fail(sizes: ImageSizes, image_ids: object) -> None:
        raise MismatchError("no")

    monkeypatch.setattr(ImageSizes, "of", fail)
    with pytest.raises(MismatchError, match="no"):
        evaluate_detector(
            artifacts.checkpoint, artifacts.head, [world.images], GroundTruthFiles(world.boxes),
            scoring=Scoring("aewtn-release"), predictions=saved,
        )  # fmt: skip

    assert len(read_predictions(saved)) > 0


def _with_novel_boxes(boxes: Path, class_id: str) -> Path:
    """Return a file in which the boxes of one class are of another."""
    path = boxes.with_name("novel-boxes.csv")
    path.write_text(boxes.read_text().replace("/m/01,", f"{class_id},"))
    return path
