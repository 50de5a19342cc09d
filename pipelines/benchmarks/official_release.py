"""The evaluator of the AE-WTN release (xternalz/AE-WTN), without its compiled extension.

Shapes: n rows. Boxes are in pixels of their image.

The release scores what its model has just returned and reads no file of predictions, so the files
are read as this program does.
"""

import logging
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch

from pipelines.benchmarks.evaluation_files import (
    EvaluationFiles,
    class_ids_of,
    rows_by_image,
)
from pipelines.benchmarks.official_result import OfficialResult
from pipelines.benchmarks.stand_ins import bare_package, imports_from, stand_in
from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.image_sizes import parse_image_sizes
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import FloatArray, IntArray
from pipelines.memory import peak_rss_bytes

REPOSITORY = "xternalz/AE-WTN"
_PACKAGES = ("data", "data.datasets", "data.datasets.evaluation")  # they import all data sets
_EVALUATION = "data.datasets.evaluation.openimages.openimages_eval"
_MODULES = ("structures.bounding_box", "structures.boxlist_ops", _EVALUATION)
FILES = tuple(f"maskrcnn_benchmark/{module.replace('.', '/')}.py" for module in _MODULES)

BoxList: TypeAlias = Any  # the release's


class _Dataset:
    """What the evaluator asks of the release's data set.

    Args:
        sizes: ``[n, 2]``, height and width of each image.
        truth: The annotated boxes of each image.
        absent: The classes that are verified to be absent from each image; None verifies all.
        class_ids: By number, from 1.
    """

    def __init__(
        self,
        sizes: IntArray,
        truth: Sequence[BoxList],
        absent: Sequence[IntArray] | None,
        class_ids: Sequence[str],
    ) -> None:
        self.imagelevel = absent is not None
        self.map_class_id_to_class_name = ["background", *class_ids]
        self._sizes, self._truth, self._absent = sizes.tolist(), truth, absent

    def get_img_info(self, index: int) -> dict[str, int]:
        height, width = self._sizes[index]
        return {"height": height, "width": width}

    def get_groundtruth(
        self,
        index: int,
        imagelevel: bool = False,
        isgroup: bool = True,
    ) -> BoxList | tuple[BoxList, IntArray]:
        if imagelevel and self._absent is not None:
            return self._truth[index], self._absent[index]
        return self._truth[index]


def score(checkout: Path, files: EvaluationFiles) -> OfficialResult:
    """Read the files, and score what is in them."""
    logging.disable(logging.INFO)  # it prints every class
    evaluation, box_list = _import_evaluator(checkout)
    started = time.perf_counter()
    boxes, labels, predictions = files.read()
    class_ids = class_ids_of(boxes, labels, predictions)
    image_ids = _image_ids(boxes, labels)
    sizes = parse_image_sizes(files.image_sizes).of(image_ids)
    truth = _truth(box_list, boxes, image_ids, sizes, class_ids)
    absent = None if labels is None else _absent(labels, image_ids, class_ids)
    dataset = _Dataset(sizes, truth, absent, class_ids)
    found = _found(box_list, predictions, image_ids, sizes, class_ids)
    has_read = time.perf_counter()
    figures = evaluation.do_openimages_evaluation(dataset, found, None, logging.getLogger(__name__))
    ended = time.perf_counter()
    by_number = np.full(
        len(class_ids) + 1, np.nan
    )  # the figures end with the last class that has any
    by_number[: len(figures["ap"])] = figures["ap"]
    return OfficialResult(
        reader="wtn",
        seconds=ended - started,
        scoring_seconds=ended - has_read,
        peak_rss_bytes=peak_rss_bytes(),
        mean_ap=float(figures["map"]),
        per_class=dict(zip(class_ids, by_number[1:].tolist(), strict=True)),
    )


def _import_evaluator(checkout: Path) -> tuple[ModuleType, type]:
    """Return the evaluator's module, and the class that boxes are given to it in."""
    name = "maskrcnn_benchmark"
    packages = [
        bare_package(f"{name}.{package}", checkout / name / package.replace(".", "/"))
        for package in _PACKAGES
    ]
    compiled = stand_in(f"{name}.layers", nms=None)
    with imports_from(checkout, [*packages, compiled]):
        evaluation = import_module(f"{name}.{_EVALUATION}")
        return evaluation, import_module(f"{name}.structures.bounding_box").BoxList


def _image_ids(boxes: BoxTable, labels: ImageLabelTable | None) -> list[str]:
    """Return the images in the release's order: sorted, or as they come in the file of boxes."""
    with_boxes, first_row = np.unique(boxes.image, return_index=True)
    in_file = [boxes.image_ids[image] for image in with_boxes[np.argsort(first_row)].tolist()]
    if labels is None:
        return in_file
    with_absent = np.unique(labels.image[~labels.positive]).tolist()
    return sorted({*in_file, *(labels.image_ids[image] for image in with_absent)})


def _truth(
    box_list: type, table: BoxTable, image_ids: Sequence[str], sizes: IntArray, ids: Sequence[str]
) -> list[BoxList]:
    numbers, rows_of = _numbers(table, ids), dict(rows_by_image(table))
    return [
        _box_list(
            box_list,
            table.boxes[rows],
            size,
            labels=torch.as_tensor(numbers[rows]),
            isgroup=torch.as_tensor(table.group_of[rows]).byte(),
        )
        if (rows := rows_of.get(image_id)) is not None
        else _no_boxes(box_list)
        for image_id, size in zip(image_ids, sizes, strict=True)
    ]


def _found(
    box_list: type,
    table: PredictionTable,
    image_ids: Sequence[str],
    sizes: IntArray,
    ids: Sequence[str],
) -> list[BoxList]:
    numbers, rows_of = _numbers(table, ids), dict(rows_by_image(table))
    nothing = np.zeros(0, np.int64)
    lists = []
    for image_id, size in zip(image_ids, sizes, strict=True):
        rows = rows_of.get(image_id, nothing)
        scores = torch.as_tensor(table.score[rows].astype(np.float32))
        labels = torch.as_tensor(numbers[rows])
        lists.append(_box_list(box_list, table.boxes[rows], size, labels=labels, scores=scores))
    return lists


def _box_list(box_list: type, fractions: FloatArray, size: IntArray, **fields: object) -> BoxList:
    height, width = size.tolist()
    boxes = box_list(fractions * size[[1, 0, 1, 0]], (width, height))
    for name, values in fields.items():
        boxes.add_field(name, values)
    return boxes


def _no_boxes(box_list: type) -> BoxList:
    """Return what the release's data set has for an image without boxes: one of no class."""
    boxes = box_list(torch.zeros(1, 4), (100, 100))
    boxes.add_field("labels", torch.tensor([-100]))
    boxes.add_field("isgroup", torch.zeros(1, dtype=torch.uint8))
    return boxes


def _absent(table: ImageLabelTable, image_ids: Sequence[str], ids: Sequence[str]) -> list[IntArray]:
    negative = table.select(~table.positive)
    numbers = _numbers(negative, ids)
    classes_of = {image_id: np.unique(numbers[rows]) for image_id, rows in rows_by_image(negative)}
    return [classes_of.get(image_id, np.zeros(0, np.int64)) for image_id in image_ids]


def _numbers(
    table: BoxTable | ImageLabelTable | PredictionTable, class_ids: Sequence[str]
) -> IntArray:
    """Return the evaluator's number of each row's class."""
    return 1 + np.searchsorted(class_ids, table.class_ids)[table.label]
