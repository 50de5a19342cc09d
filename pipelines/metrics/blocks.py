"""Streams of detections: what a detector finds, saved and checked on its way to the metric."""

from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.data.predictions import PredictionTable, prediction_writer
from pipelines.metrics.checks import PredictionChecks
from pipelines.models.inference import ImageDetections

IMAGES_PER_BLOCK = 64


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
    while batch := list(islice(remaining, IMAGES_PER_BLOCK)):
        sizes.update({image.image_id: image.size for image in batch})
        yield _as_table(batch, class_ids)


def saved_blocks(blocks: Iterable[PredictionTable], path: Path) -> Iterator[PredictionTable]:
    """Write blocks to a file as they pass; it is complete after the last one."""
    with prediction_writer(path) as write:
        for block in blocks:
            write(block)
            yield block


def checked_blocks(
    blocks: Iterable[PredictionTable], checks: PredictionChecks
) -> Iterator[PredictionTable]:
    """Pass blocks on, and refuse a file that counts for nothing.

    Raises:
        WTNError: After the last block, as :meth:`PredictionChecks.finish` does.
    """
    for block in blocks:
        checks.look_at(block)
        yield block
    checks.finish()


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
