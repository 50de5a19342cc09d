"""Boxes in the instances files of COCO and LVIS, which most labelling tools write too.

The format is that of cocodataset.org/#format-data. Shapes: n annotations, I images.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

import numpy as np

from pipelines.data.annotations import Annotations, ImageLabelTable, Source
from pipelines.data.box_policy import ReadPolicy
from pipelines.data.image_sizes import LARGEST_SIDE
from pipelines.data.json_file import Entries, read_json
from pipelines.data.pixel_boxes import PixelBoxes
from pipelines.data.tables import FloatArray
from pipelines.errors import DatasetError
from pipelines.vocabulary import Vocabulary

CategoryKey: TypeAlias = Literal["id", "name"]

_LARGEST_ID = 2**53  # above, a float64 does not hold every whole number
_NEGATIVES = "neg_category_ids"
_UNUSED = ("segmentation", "keypoints", "caption")  # most of the file, and of no use for boxes


def read_coco(
    path: Path, policy: ReadPolicy = "error", *, class_ids: CategoryKey = "id"
) -> Annotations:
    """Read images, annotations and categories.

    An image is named by its ``file_name`` (LVIS: ``coco_url``) without folder and suffix. Images
    without annotations stay, so they count as images without objects. ``iscrowd`` marks a group;
    a missing ``area`` is that of the box. The classes keep the order of the categories.

    Where images list ``neg_category_ids`` (LVIS), the classes with boxes are verified to be in an
    image and those are verified not to be; about other classes nothing is known. That a class is
    not annotated exhaustively (``not_exhaustive_category_ids``) has no equal here.

    Args:
        path: Such as ``instances_train2017.json``; no category may be in use that is not listed.
        policy: What to do with bad boxes, as for ``check_boxes``.
        class_ids: What of a category is its class id. Classes are joined to a classifier's by id,
            so take ``name`` where the classifier's class list holds names; the category numbers
            of COCO are known to COCO's own files only.

    Raises:
        DatasetError: If the file is not such a file; names the annotation, image or category. Also
            as ``check_boxes`` does.
    """
    content = read_json(path, without_masks)
    images = list_entries(path, content, "images", "image")
    annotations = list_entries(path, content, "annotations", "annotation")
    categories = list_entries(path, content, "categories", "category")
    vocabulary = _read_categories(categories, class_ids)
    corners, area = _read_corners(annotations)
    boxes = PixelBoxes(
        Source(path, "annotation"),
        rows=annotations.whole_numbers("id", 0, _LARGEST_ID),
        image=annotations.positions("image_id", images),
        label=annotations.positions("category_id", categories),
        corners=corners,
        group_of=annotations.numbers("iscrowd", default=0) != 0,
        area=area,
    )
    sides = [images.whole_numbers(side, 1, LARGEST_SIDE) for side in ("height", "width")]
    image_ids = read_image_ids(images)
    split = boxes.annotate(image_ids, np.stack(sides, axis=1), vocabulary, policy)
    if not images.any_has(_NEGATIVES):
        return split
    return replace(split, labels=_verified(split, image_ids, vocabulary, images, categories))


def without_masks(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an object of the file without what no box needs."""
    for key in _UNUSED:
        entry.pop(key, None)
    return entry


def _read_categories(categories: Entries, class_ids: CategoryKey) -> Vocabulary:
    names = categories.texts("name")
    ids = categories.texts(class_ids)
    categories.refuse_repeated(class_ids, ids)
    return Vocabulary(tuple(ids), tuple(names))


def read_image_ids(images: Entries) -> list[str]:
    """Return the name of each image without folder and suffix.

    Raises:
        DatasetError: If an image has none, or two have the same.
    """
    key = "file_name" if images.any_has("file_name") else "coco_url"
    ids = [PurePosixPath(name).stem for name in images.texts(key)]
    images.refuse_repeated(f"{key} without folder and suffix", ids)
    return ids


def _read_corners(annotations: Entries) -> tuple[FloatArray, FloatArray]:
    """Return xmin, ymin, xmax, ymax ``[n, 4]``, and the areas ``[n]``."""
    boxes = annotations.numbers("bbox", width=4)  # x, y, width, height
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    area = annotations.numbers("area", default=-1)
    return corners, np.where(area < 0, boxes[:, 2] * boxes[:, 3], area)


def _verified(
    split: Annotations,
    image_ids: Sequence[str],
    vocabulary: Vocabulary,
    images: Entries,
    categories: Entries,
) -> ImageLabelTable:
    """Return the classes with boxes as present, and the images' negative categories as absent."""
    table = split.boxes
    present = np.unique(np.stack([table.image, table.label], axis=1), axis=0)  # [pairs, 2]
    places = {image_id: place for place, image_id in enumerate(split.image_ids)}
    ranks = {class_id: rank for rank, class_id in enumerate(table.class_ids)}
    negatives, owners = images.unfold(_NEGATIVES)
    image = np.array([places[image_id] for image_id in image_ids], np.int64)[owners]
    label = np.array([ranks[class_id] for class_id in vocabulary.ids], np.int64)
    absent = np.stack([image, label[negatives.positions(_NEGATIVES, categories)]], axis=1)
    pairs = np.concatenate([present, absent])
    order = np.lexsort([pairs[:, 1], pairs[:, 0]])
    return ImageLabelTable(
        image_ids=table.image_ids,
        image=pairs[order, 0],
        class_ids=table.class_ids,
        label=pairs[order, 1],
        positive=order < len(present),
    )


def list_entries(path: Path, content: object, name: str, singular: str) -> Entries:
    """Return a list of an instances file.

    Args:
        path: For messages.
        content: The parsed file.
        name: Of the list.
        singular: What an entry is called.

    Raises:
        DatasetError: If there is no such list of objects.
    """
    entries = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DatasetError(
            f"not a COCO instances file: it has no list of {name}",
            where=path,
            mend="Expected an object with the lists images, annotations and categories.",
        )
    return Entries(path, singular, entries)
