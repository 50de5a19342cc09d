"""Training images with their boxes, read in batches.

Shapes: n boxes of I images, G of one, H and W its size in pixels, D detection classes.
"""

import copy

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as transforms

from pipelines.data.annotation_files import refuse_unknown_classes
from pipelines.data.annotations import BoxTable
from pipelines.data.batches import Example
from pipelines.data.image_decoding import decode
from pipelines.data.image_order import run_starts
from pipelines.data.images import ImageStore
from pipelines.data.read_ahead import ReadAhead
from pipelines.data.samplers import Sample
from pipelines.data.tables import IntArray
from pipelines.errors import DatasetError
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
        self._ahead = ReadAhead(images, capacity=0)
        starts = run_starts(self._table.image)
        self._offsets = np.append(starts, len(table))  # [I + 1]
        self.image = self._table.image[starts]
        _refuse_missing(images, table, self.image)

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, sample: Sample) -> Example:
        table, image_id = self._table, self.image_id(sample.row)
        image = self._decoded(image_id, sample)
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

    def reading_ahead(self, capacity: int) -> "DetectionDataset":
        """Return this dataset with room for so many images that are read before their turn."""
        changed = copy.copy(self)
        changed._ahead = ReadAhead(self._images, capacity)
        return changed

    def _decoded(self, image_id: str, sample: Sample) -> Tensor:
        if not sample.together:
            return self._images.read(image_id)
        beside = [self.image_id(row) for row in sample.together]
        return decode(self._ahead.read(image_id, beside), self._images.where(image_id))

    def image_id(self, row: int) -> str:
        """Return the id of the image at a place of this dataset."""
        return self._table.image_ids[int(self.image[row])]

    @property
    def box_columns(self) -> tuple[IntArray, IntArray]:
        """The image (by place in this dataset) and the label (by class id) of every box ``[n]``."""
        return np.repeat(np.arange(len(self)), np.diff(self._offsets)), self._table.label


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
