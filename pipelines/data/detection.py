"""Training images with their boxes, read in batches.

Shapes: n boxes of I images, G of one, H and W its size in pixels, D detection classes.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional as transforms

from pipelines.data.annotation_files import refuse_unknown_classes
from pipelines.data.annotations import BoxTable
from pipelines.data.batches import Batch, Example
from pipelines.data.image_order import run_starts
from pipelines.data.images import ImageStore
from pipelines.data.samplers import Sample, TrainingSampler
from pipelines.data.tables import IntArray
from pipelines.errors import DatasetError, WTNError
from pipelines.vocabulary import Vocabulary


class DetectionDataset(Dataset[Example]):
    """The images that have boxes; labels count from 1, because 0 is background.

    The columns of the table stay where they are, in a memory-mapped file too, unless its rows are
    not grouped by image.

    Args:
        images: Where the pixels are.
        table: The boxes, checked.
        vocabulary: The D classes.

    Attributes:
        image: ``[I]``, positions in the table's ``image_ids``, rising.

    Raises:
        DatasetError: If there is no box, or an image is missing.
        MismatchError: If a box is of a class outside the vocabulary.
    """

    def __init__(self, images: ImageStore, table: BoxTable, vocabulary: Vocabulary) -> None:
        if len(table) == 0:
            raise DatasetError("no boxes to train on", where=table.origin)
        refuse_unknown_classes(table, vocabulary)
        rows = [vocabulary.positions.get(class_id, -1) for class_id in table.class_ids]
        self._labels = np.array(rows, np.int64) + 1  # 0 for a class without box
        self._images, self._table = images, _grouped_by_image(table)
        starts = run_starts(self._table.image)
        self._offsets = np.append(starts, len(table))  # [I + 1]
        self.image = self._table.image[starts]
        _refuse_missing(images, table, self.image)

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, sample: Sample) -> Example:
        table = self._table
        image_id = table.image_ids[int(self.image[sample.row])]
        image = self._images.read(image_id)
        height, width = image.shape[1:]
        rows = slice(*self._offsets[sample.row : sample.row + 2])
        boxes = torch.from_numpy(table.boxes[rows].astype(np.float32))
        boxes = boxes * torch.tensor([width, height, width, height])
        if sample.flip:
            image = transforms.horizontal_flip(image)
            boxes = torch.stack(
                [width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1
            )
        labels = torch.from_numpy(self._labels[table.label[rows]])
        return Example(image, {"boxes": boxes, "labels": labels}, image_id)

    @property
    def box_columns(self) -> tuple[IntArray, IntArray]:
        """The image (by place in this dataset) and the label (by class id) of every box ``[n]``."""
        return np.repeat(np.arange(len(self)), np.diff(self._offsets)), self._table.label


class TrainingLoader(DataLoader[Example]):
    """Batches of a dataset, read by worker processes.

    An error that the user can act on arrives as it was raised; a plain ``DataLoader`` would bury it
    in the text of the worker's traceback.

    Args:
        dataset: Images and targets.
        sampler: Decides the batches.
        workers: Number of processes; 0 reads in this one.
    """

    def __init__(self, dataset: DetectionDataset, sampler: TrainingSampler, workers: int) -> None:
        super().__init__(
            _ErrorsAsItems(dataset),
            batch_sampler=sampler,
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=_prepare_worker,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # DataLoader names its own kind
        """Yield a batch at a time."""
        for batch in super().__iter__():
            if isinstance(batch, WTNError):
                raise batch
            yield batch


class _ErrorsAsItems(Dataset[Any]):
    """A dataset that returns the errors of another."""

    def __init__(self, dataset: DetectionDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, sample: Sample) -> Example | WTNError:
        try:
            return self._dataset[sample]
        except WTNError as error:
            return error


def _collate(items: Sequence[Example | WTNError]) -> Batch | WTNError:
    examples = []
    for item in items:
        if isinstance(item, WTNError):
            return item
        examples.append(item)
    return Batch.of(examples)


def _prepare_worker(worker: int) -> None:
    """Leave Ctrl-C to the process that saves the checkpoint, and go quietly when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _unless_hung_up


def _unless_hung_up(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, ConnectionError | EOFError):  # of the thread that hands tensors over
        sys.__excepthook__(kind, error, trace)


def _grouped_by_image(table: BoxTable) -> BoxTable:
    if (table.image[1:] >= table.image[:-1]).all():
        return table
    return table.select(np.argsort(table.image, kind="stable"))


def _refuse_missing(images: ImageStore, table: BoxTable, wanted: IntArray) -> None:
    """Raise DatasetError unless the store has the images at the ``wanted`` positions."""
    missing = wanted[images.positions(table.image_ids)[wanted] < 0]
    if len(missing):
        raise DatasetError(
            f"{len(missing)} of {len(wanted)} images with boxes are missing, first "
            f"{table.image_ids[int(missing[0])]!r}",
            where=images.origin,
            mend=f"Their boxes are in {table.origin}; images are named <ImageID>.jpg.",
        )
