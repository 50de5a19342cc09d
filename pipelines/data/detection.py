"""Training images with their boxes, and the order in which they come.

Shapes: G ground-truth boxes of an image, H and W its size in pixels, D detection classes.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision.transforms.v2 import functional as transforms

from pipelines.data.images import ImageStore
from pipelines.data.open_images import BoxTable
from pipelines.errors import DatasetError, MismatchError, did_you_mean
from pipelines.vocabulary import Vocabulary

Target = dict[str, Tensor]  # {"boxes": [G, 4] float32 x1 y1 x2 y2 in pixels, "labels": [G] int64}


class Sample(NamedTuple):
    """One look at an image: its place in the dataset, and whether it is mirrored."""

    row: int
    flip: bool


class DetectionDataset(Dataset[tuple[Tensor, Target]]):
    """The images that have boxes; labels count from 1, because 0 is background.

    Args:
        images: Where the pixels are.
        table: The boxes, checked.
        vocabulary: The D classes.

    Raises:
        DatasetError: If there is no box, or an image is missing.
        MismatchError: If a box is of a class outside the vocabulary.
    """

    def __init__(self, images: ImageStore, table: BoxTable, vocabulary: Vocabulary) -> None:
        if len(table.boxes) == 0:
            raise DatasetError("no boxes to train on", where=table.source)
        rows = np.array([vocabulary.positions.get(i, -1) for i in table.class_ids], dtype=np.int64)
        labels = rows[table.label]
        if (labels < 0).any():
            raise _unknown_class(table, int((labels < 0).argmax()), vocabulary)
        order = np.argsort(table.image, kind="stable")
        present, starts = np.unique(table.image[order], return_index=True)
        self.image_ids = tuple(table.image_ids[i] for i in present)
        self._images = images
        self._boxes = np.split(table.boxes[order], starts[1:])
        self._labels = np.split(labels[order] + 1, starts[1:])
        missing = [image_id for image_id in self.image_ids if image_id not in images]
        if missing:
            raise DatasetError(
                f"{len(missing)} of {len(self.image_ids)} images with boxes are missing, first "
                f"{missing[0]!r}",
                where=images.source,
                mend=f"Their boxes are in {table.source}; images are named <ImageID>.jpg.",
            )

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, sample: Sample) -> tuple[Tensor, Target]:
        image = self._images.read(self.image_ids[sample.row])
        height, width = image.shape[1:]
        boxes = torch.from_numpy(self._boxes[sample.row]).float()
        boxes = boxes * torch.tensor([width, height, width, height])
        if sample.flip:
            image = transforms.horizontal_flip(image)
            boxes = torch.stack(
                [width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1
            )
        labels = torch.from_numpy(self._labels[sample.row])
        return image.float() / 255, {"boxes": boxes, "labels": labels}


class TrainingSampler(Sampler[list[Sample]]):
    """Shuffled batches, pass after pass; a function of the seed alone.

    Args:
        size: Images in the dataset.
        batch_size: Images a batch.
        iterations: Batches in all.
        flip: Probability of mirroring.
        seed: Of the order and the mirroring.
    """

    def __init__(
        self, size: int, *, batch_size: int, iterations: int, flip: float, seed: int
    ) -> None:
        self._size, self._flip, self._seed = size, flip, seed
        self._batch_size, self._iterations = batch_size, iterations

    def __len__(self) -> int:
        return self._iterations

    def __iter__(self) -> Iterator[list[Sample]]:
        stream = self._samples()
        for _ in range(self._iterations):
            yield [next(stream) for _ in range(self._batch_size)]

    def _samples(self) -> Iterator[Sample]:
        epoch = 0
        while True:
            random = np.random.default_rng([self._seed, epoch])
            flips = random.random(self._size) < self._flip
            for row in random.permutation(self._size):
                yield Sample(int(row), bool(flips[row]))
            epoch += 1


def collate(samples: Sequence[tuple[Tensor, Target]]) -> tuple[list[Tensor], list[Target]]:
    """Keep images of different sizes apart; the detector pads them."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)


def _unknown_class(table: BoxTable, row: int, vocabulary: Vocabulary) -> MismatchError:
    class_id = table.class_ids[table.label[row]]
    nearest = did_you_mean(class_id, vocabulary.ids)
    return MismatchError(
        f"class {class_id!r} is not among the {len(vocabulary)} detection classes",
        where=f"{table.source}:{table.lines[row]}",
        mend=nearest or "Add it to the class list, or remove its boxes.",
    )
