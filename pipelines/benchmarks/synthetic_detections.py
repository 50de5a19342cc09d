"""Files of ground truth and detections as large as wanted, to measure evaluation on.

Shapes: n boxes, m images, k detections.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.benchmarks.evaluation_files import EvaluationFiles
from pipelines.data.annotations import BoxTable
from pipelines.data.predictions import PredictionTable, write_predictions
from pipelines.data.tables import FloatArray, IntArray
from pipelines.storage import atomic_path

_FOUND = 0.8  # the share of true boxes that are found
_FOUND_AGAIN = 0.3  # and of these that are found twice
_SPREAD = 0.08  # of a found box's sides, as a share of its width and height
_SAME_CLASS = 0.5  # the share of false detections of a class that is in the image
_TRUE_SCORES, _FALSE_SCORES = (4.0, 2.0), (1.0, 6.0)  # beta distributions
_HEADER = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")


@dataclass(frozen=True)
class DrawnFiles:
    """Files to evaluate.

    Args:
        files: The files.
        images: Images with boxes, all of which have detections.
        detections: In all of them.
    """

    files: EvaluationFiles
    images: int
    detections: int


def write_drawn_files(
    folder: Path,
    truth: BoxTable,
    image_sizes: str,
    detections_per_image: int,
    images: int,
    seed: int = 0,
) -> DrawnFiles:
    """Write the boxes of some of the images, and what a fair detector may have found there.

    Args:
        folder: Where to; each number of images has files of its own.
        truth: The boxes of all images.
        image_sizes: As in :class:`EvaluationFiles`.
        detections_per_image: Of each of these images, exactly.
        images: How many images to draw; all of them if there are fewer.
        seed: Of the random numbers; more images with the same seed include those of fewer.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.unique(truth.image))[:images]
    kept = truth.select(np.isin(truth.image, chosen))
    found = draw_detections(kept, detections_per_image, rng)
    files = EvaluationFiles(
        folder / f"predictions-{len(chosen)}.csv",
        folder / f"boxes-{len(chosen)}.csv",
        image_sizes=image_sizes,
    )
    _write_boxes(files.boxes, kept)
    write_predictions(files.predictions, found)
    return DrawnFiles(files, len(chosen), len(found))


def draw_detections(truth: BoxTable, per_image: int, rng: np.random.Generator) -> PredictionTable:
    """Draw so many detections in each image that has boxes, by image and falling score.

    Most true boxes are found, some twice, and never exactly. The others are false: half of them of
    a class that is in the image, half of any class, by its share of the boxes.
    """
    truth = truth.select(np.argsort(truth.image, kind="stable"))
    row = _found_rows(truth, per_image, rng)
    images, counts = np.unique(truth.image, return_counts=True)
    filled = np.bincount(np.searchsorted(images, truth.image[row]), minlength=len(images))
    false = np.repeat(np.arange(len(images)), per_image - filled)
    first = np.cumsum(counts) - counts
    beside = first[false] + rng.integers(counts[false])  # a true box of the same image
    anywhere = rng.integers(len(truth), size=len(false))
    like = np.where(rng.random(len(false)) < _SAME_CLASS, beside, anywhere)
    image = np.concatenate([truth.image[row], images[false]])
    score = np.concatenate(
        [rng.beta(*_TRUE_SCORES, len(row)), rng.beta(*_FALSE_SCORES, len(false))]
    )
    order = np.lexsort([-score, image])
    boxes = np.concatenate([_jittered(truth.boxes[row], rng), _random_boxes(len(false), rng)])
    return PredictionTable(
        image_ids=truth.image_ids,
        image=image[order],
        class_ids=truth.class_ids,
        label=np.concatenate([truth.label[row], truth.label[like]])[order],
        score=_as_detected(score[order]),
        boxes=_as_detected(boxes[order]),
    )


def _found_rows(truth: BoxTable, per_image: int, rng: np.random.Generator) -> IntArray:
    """Return the true boxes ``[k]`` that are found, at most so many in an image."""
    once = np.flatnonzero(rng.random(len(truth)) < _FOUND)
    twice = once[rng.random(len(once)) < _FOUND_AGAIN]
    rows = np.sort(np.concatenate([once, twice]))
    image = truth.image[rows]
    rank: IntArray = np.arange(len(rows)) - np.searchsorted(image, image)
    return rows[rank < per_image]


def _jittered(boxes: FloatArray, rng: np.random.Generator) -> FloatArray:
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return (boxes + _SPREAD * sides * rng.normal(size=boxes.shape)).clip(0.0, 1.0)


def _random_boxes(count: int, rng: np.random.Generator) -> FloatArray:
    sides = rng.beta(0.8, 2.0, (count, 2))
    corners = rng.random((count, 2)) * (1 - sides)
    return np.concatenate([corners, corners + sides], axis=1)


def _as_detected(values: FloatArray) -> FloatArray:
    """Round to single precision, which detectors compute in."""
    return values.astype(np.float32).astype(np.float64)


def _write_boxes(path: Path, table: BoxTable) -> None:
    columns = zip(
        table.image.tolist(),
        table.label.tolist(),
        table.boxes.tolist(),
        table.group_of.astype(int).tolist(),
        strict=True,
    )
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        for image, label, (xmin, ymin, xmax, ymax), group_of in columns:
            ids = (table.image_ids[image], table.class_ids[label])
            writer.writerow([*ids, xmin, xmax, ymin, ymax, group_of])
