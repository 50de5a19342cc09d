"""In which order a training goes through its images, as its settings say.

Shapes: I images with boxes.
"""

import math

from pipelines.config import DataSettings, TrainSettings
from pipelines.data.annotations import Annotations
from pipelines.data.detection import DetectionDataset
from pipelines.data.image_order import (
    Groups,
    ImageOrder,
    class_balanced_order,
    repeat_factor_order,
    uniform_order,
)
from pipelines.data.images import ImageStore
from pipelines.data.samplers import aspect_ratio_groups
from pipelines.data.sequential_order import PERIODS, SequentialOrder
from pipelines.errors import ConfigError

_MEASURED_AT_MOST = 20_000  # images whose headers are read when nothing else tells their sizes


def image_order(
    dataset: DetectionDataset, images: ImageStore, data: DataSettings
) -> ImageOrder | SequentialOrder:
    """Return which images a pass shows.

    Args:
        dataset: The I images.
        images: Where they are stored.
        data: Which sampler, and its options.
    """
    if data.sampler == "uniform":
        return uniform_order(len(dataset))
    if data.sampler == "sequential":
        layout = images.layout([dataset.image_id(row) for row in range(len(dataset))])
        return SequentialOrder.of(layout.order, layout.length, data.shuffle_buffer)
    image, label = dataset.box_columns
    if data.sampler == "repeat-factor":
        return repeat_factor_order(image, label, data.repeat_threshold)
    return class_balanced_order(image, label)


def image_groups(dataset: DetectionDataset, images: ImageStore, split: Annotations) -> Groups:
    """Return the group of each image of the dataset ``[I]``, by its shape.

    Args:
        dataset: The I images.
        images: Where they are stored; read if the split knows no sizes.
        split: What the dataset was made from.

    Raises:
        DatasetError: If a folder or an archive cannot be read.
    """
    rows = dataset.image
    sizes = split.sizes[rows]
    if not sizes.any() and len(rows) <= _MEASURED_AT_MOST:
        ids = [split.boxes.image_ids[row] for row in rows.tolist()]
        sizes = images.sizes(ids, allow_bad=True)  # a bad one is told when it is decoded
    return aspect_ratio_groups(sizes)


def images_waiting(order: ImageOrder | SequentialOrder, settings: TrainSettings, ranks: int) -> int:
    """Return how many images a process that decodes may hold before their turn.

    What waits there is at most a window of each lane that it reads; as much again is for images
    that have strayed into the steps of others.

    Args:
        order: Of the images; only a sequential one reads any before its turn.
        settings: Of the training.
        ranks: Processes that train.

    Raises:
        ConfigError: If each worker would read, and hold, what all the others do.
    """
    if not isinstance(order, SequentialOrder):
        return 0
    workers = max(settings.data.workers, 1)
    if PERIODS[-1] % workers:
        raise ConfigError(
            f"{workers} workers cannot share the {PERIODS[-1]} turns of the sequential sampler",
            mend="Set data.workers to 1, 2, 3, 4, 6, 8, 12 or 24.",
        )
    apart = math.gcd(order.period(settings.schedule.batch_size), workers)
    return 2 * math.ceil(order.buffer / (apart * ranks))
