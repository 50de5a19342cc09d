"""Streams of detections: what a detector finds, saved and checked on its way to the metric."""

from collections.abc import Collection, Iterable, Iterator, MutableMapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.data.predictions import PredictionTable, prediction_writer
from pipelines.metrics.checks import other_images
from pipelines.models.inference import ImageDetections

_IMAGES_PER_BLOCK = 64


def detected_blocks(
    images: Iterable[ImageDetections],
    class_ids: tuple[str, ...],
    sizes: MutableMapping[str, tuple[int, int]],
) -> Iterator[PredictionTable]:
    """Yield detections as fractions of the images that they were found in.

    Args:
        images: By id.
        class_ids: The classes of the detector, in its order.
        sizes: Is told the height and width of every image that came by.
    """
    remaining = iter(images)
    while batch := list(islice(remaining, _IMAGES_PER_BLOCK)):
        sizes.update({image.image_id: image.size for image in batch})
        yield _as_table(batch, class_ids)


def saved_blocks(blocks: Iterable[PredictionTable], path: Path) -> Iterator[PredictionTable]:
    """Write blocks to a file as they pass; it is complete after the last one."""
    with prediction_writer(path) as write:
        for block in blocks:
            write(block)
            yield block


def blocks_of_images(
    blocks: Iterable[PredictionTable], image_ids: Collection[str], path: Path, origin: str
) -> Iterator[PredictionTable]:
    """Pass blocks on, and refuse a file that names none of the images: it counts for nothing.

    Args:
        blocks: What the file holds.
        image_ids: Of the ground truth.
        path: The file.
        origin: Of the ground truth, for the message.

    Raises:
        MismatchError: After the last block, if there were detections, but in no known image.
    """
    stranger: str | None = None
    known = False
    for block in blocks:
        if not known and len(block):
            stranger = stranger or block.image_ids[0]
            known = not set(image_ids).isdisjoint(block.image_ids)
        yield block
    if stranger is not None and not known:
        raise other_images(stranger, next(iter(image_ids)), path, origin)


def _as_table(images: Sequence[ImageDetections], class_ids: tuple[str, ...]) -> PredictionTable:
    counts = [len(image.found.scores) for image in images]
    sides = [np.array([w, h, w, h], dtype=np.float64) for h, w in (image.size for image in images)]
    boxes = [
        image.found.boxes.double().numpy() / side for image, side in zip(images, sides, strict=True)
    ]
    return PredictionTable(
        image_ids=tuple(image.image_id for image in images),
        image=np.repeat(np.arange(len(images)), counts),
        class_ids=class_ids,
        label=np.concatenate([image.found.classes.numpy() for image in images]),
        score=np.concatenate([image.found.scores.double().numpy() for image in images]),
        boxes=np.concatenate(boxes).reshape(-1, 4),
    )
