"""Images with boxes that mean nothing, to time what training does with them."""

from itertools import islice

import numpy as np

from pipelines.data.annotations import BoxTable, Source
from pipelines.data.detection import DetectionDataset
from pipelines.data.images import ImageStore
from pipelines.vocabulary import Vocabulary


def dataset_of(store: ImageStore, most: int | None = None) -> DetectionDataset:
    """Return the first images of a store, or all, with one box each; none has to be right."""
    ids = tuple(islice(store.ids, most))
    count = len(ids)
    table = BoxTable.of(
        Source(store.sources[0]),
        np.arange(count),
        image_ids=ids,
        image=np.arange(count),
        class_ids=("thing",),
        label=np.zeros(count, np.int64),
        boxes=np.tile([0.25, 0.25, 0.75, 0.75], (count, 1)),
        group_of=np.zeros(count, np.bool_),
    )
    return DetectionDataset(store, table, Vocabulary(("thing",), ("thing",)))
