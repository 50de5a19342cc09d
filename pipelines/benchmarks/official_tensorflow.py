"""The Open Images challenge evaluator of the TensorFlow Object Detection API, without TensorFlow.

Its modules name tensorflow, six, protobuf and pycocotools, but boxes are scored with numpy alone.
Call :func:`score` in a process of its own: numpy gets back the names that the modules use and it
has dropped.
"""

import logging
import time
from abc import ABCMeta
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from pipelines.benchmarks.evaluation_files import (
    EvaluationFiles,
    class_ids_of,
    rows_by_image,
)
from pipelines.benchmarks.official_result import OfficialResult
from pipelines.benchmarks.stand_ins import imports_from, stand_in
from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.predictions import PredictionTable
from pipelines.memory import peak_rss_bytes

REPOSITORY = "tensorflow/models"
RESEARCH = "research"  # the folder of the checkout that the modules are imported from
_MODULES = (
    "core/standard_fields",
    "metrics/oid_challenge_evaluation_utils",
    "utils/label_map_util",
    "utils/metrics",
    "utils/np_box_list",
    "utils/np_box_list_ops",
    "utils/np_box_mask_list",
    "utils/np_box_mask_list_ops",
    "utils/np_box_ops",
    "utils/np_mask_ops",
    "utils/object_detection_evaluation",
    "utils/per_image_evaluation",
)
FILES = tuple(f"{RESEARCH}/object_detection/{module}.py" for module in _MODULES)
_IN_RESULT = "PerformanceByCategory/AP@0.5IOU/"
_YMIN_XMIN_YMAX_XMAX = [1, 0, 3, 2]

ByImage: TypeAlias = Mapping[Any, Mapping[str, Any]]  # what the evaluator is given for each image


@dataclass(frozen=True)
class _Inputs:
    """Classes, numbered from 1 in their order, and the evaluator's own dictionaries."""

    class_ids: Sequence[str]
    truth: ByImage
    found: ByImage


def score(checkout: Path, files: EvaluationFiles, group_of_weight: float) -> OfficialResult:
    """Read the files as the evaluator's own script does where pandas is there, and score them."""
    logging.disable(logging.WARNING)  # it warns of every class without a box
    _restore_numpy_names()
    evaluation, utilities = _import_evaluator(checkout / RESEARCH)
    started = time.perf_counter()
    inputs = _read_like_script(files, utilities) if utilities else _read(files)
    has_read = time.perf_counter()
    figures = _evaluate(evaluation, inputs, group_of_weight)
    ended = time.perf_counter()
    found = {key.rpartition(_IN_RESULT)[2]: value for key, value in figures.items()}
    return OfficialResult(
        reader="pandas" if utilities else "wtn",
        seconds=ended - started,
        scoring_seconds=ended - has_read,
        peak_rss_bytes=peak_rss_bytes(),
        mean_ap=float(next(value for key, value in figures.items() if "/mAP@" in key)),
        per_class={class_id: float(found[class_id]) for class_id in inputs.class_ids},
    )


def _restore_numpy_names() -> None:
    for name, value in {"float": float, "bool": bool, "NAN": np.nan}.items():
        if not hasattr(np, name):
            setattr(np, name, value)


def _import_evaluator(research: Path) -> tuple[ModuleType, ModuleType | None]:
    """Return the evaluator's module, and where pandas is there the one that reads for it."""
    with imports_from(research, _stand_ins()):
        evaluation = import_module("object_detection.utils.object_detection_evaluation")
        if find_spec("pandas") is None:
            return evaluation, None
        utilities = "object_detection.metrics.oid_challenge_evaluation_utils"
        return evaluation, import_module(utilities)


def _stand_ins() -> list[ModuleType]:
    v1 = stand_in("tensorflow.compat.v1")
    compat = stand_in("tensorflow.compat", v1=v1)
    moves = stand_in("six.moves", range=range, zip=zip)
    six = stand_in(
        "six",
        moves=moves,
        PY2=False,
        text_type=str,
        string_types=(str,),
        viewkeys=dict.keys,
        with_metaclass=lambda _, *bases: ABCMeta("Base", bases, {}),
    )
    return [
        stand_in("tensorflow", compat=compat),
        compat,
        v1,
        six,
        moves,
        stand_in("google.protobuf", text_format=None),
        stand_in("object_detection.protos", string_int_label_map_pb2=None),
        stand_in("pycocotools", mask=None),
    ]


def _evaluate(evaluation: ModuleType, inputs: _Inputs, group_of_weight: float) -> dict[str, float]:
    categories = [{"id": row + 1, "name": name} for row, name in enumerate(inputs.class_ids)]
    evaluator = evaluation.OpenImagesChallengeEvaluator(categories, group_of_weight=group_of_weight)
    for image_id, truth in inputs.truth.items():
        evaluator.add_single_ground_truth_image_info(image_id, truth)
    for image_id, found in inputs.found.items():
        evaluator.add_single_detected_image_info(image_id, found)
    figures: dict[str, float] = evaluator.evaluate()
    return figures


def _read_like_script(files: EvaluationFiles, utilities: ModuleType) -> _Inputs:
    """Do as ``oid_challenge_evaluation.py``, with every class verified where nothing says which."""
    pandas = import_module("pandas")
    read = partial(pandas.read_csv, dtype={"ImageID": str})  # numbers would be sorted as such
    annotations, predictions = read(files.boxes), read(files.predictions)
    if files.image_labels:
        labels = read(files.image_labels)
        labels = labels.rename(columns={"Confidence": "ConfidenceImageLabel"})
        annotations = pandas.concat([annotations, labels])
    else:
        annotations["ConfidenceImageLabel"] = np.nan
    class_ids = sorted({*annotations.LabelName, *predictions.LabelName})
    numbers = {class_id: number for number, class_id in enumerate(class_ids, start=1)}
    truth = {
        image_id: utilities.build_groundtruth_dictionary(rows, numbers)
        for image_id, rows in annotations.groupby("ImageID")
    }
    verified = "groundtruth_image_classes"  # written to, and pandas hands out read-only arrays
    for image in truth.values():
        image[verified] = image[verified].copy() if files.image_labels else _all_classes(class_ids)
    found = {
        image_id: utilities.build_predictions_dictionary(rows, numbers)
        for image_id, rows in predictions.groupby("ImageID")
    }
    return _Inputs(class_ids, truth, found)


def _read(files: EvaluationFiles) -> _Inputs:
    boxes, labels, predictions = files.read()
    class_ids = class_ids_of(boxes, labels, predictions)
    return _Inputs(
        class_ids, _truth(boxes, labels, class_ids), _predictions(predictions, class_ids)
    )


def _truth(boxes: BoxTable, labels: ImageLabelTable | None, class_ids: Sequence[str]) -> ByImage:
    numbers = _numbers(boxes, class_ids)
    nothing = np.zeros(0, np.int64)
    boxes_of = dict(rows_by_image(boxes))
    verified = {image_id: _all_classes(class_ids) for image_id in boxes_of}
    if labels is not None:
        label_numbers = _numbers(labels, class_ids)
        verified = {image_id: label_numbers[rows] for image_id, rows in rows_by_image(labels)}
    truth = {}
    for image_id in sorted({*boxes_of, *verified}):
        rows = boxes_of.get(image_id, nothing)
        truth[image_id] = {
            "groundtruth_boxes": boxes.boxes[rows][:, _YMIN_XMIN_YMAX_XMAX],
            "groundtruth_classes": numbers[rows],
            "groundtruth_group_of": boxes.group_of[rows].astype(int),
            "groundtruth_image_classes": verified.get(image_id, nothing.copy()),
        }
    return truth


def _predictions(table: PredictionTable, class_ids: Sequence[str]) -> ByImage:
    numbers = _numbers(table, class_ids)
    return {
        image_id: {
            "detection_boxes": table.boxes[rows][:, _YMIN_XMIN_YMAX_XMAX],
            "detection_classes": numbers[rows],
            "detection_scores": table.score[rows],
        }
        for image_id, rows in rows_by_image(table)
    }


def _numbers(
    table: BoxTable | ImageLabelTable | PredictionTable, class_ids: Sequence[str]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the evaluator's number of each row's class."""
    return 1 + np.searchsorted(class_ids, table.class_ids)[table.label]


def _all_classes(class_ids: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(1, len(class_ids) + 1)  # one of its own for each image: it is written to
