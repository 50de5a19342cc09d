"""Training images with their boxes, and the order in which they come.

Shapes: G ground-truth boxes of an image, H and W its size in pixels, D detection classes.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms.v2 import functional as transforms

from pipelines.data.annotations import BoxTable
from pipelines.data.images import ImageStore
from pipelines.errors import DatasetError, MismatchError, WTNError, did_you_mean
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
            raise DatasetError("no boxes to train on", where=table.origin)
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
                where=images.origin,
                mend=f"Their boxes are in {table.origin}; images are named <ImageID>.jpg.",
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


class TrainingLoader(DataLoader[tuple[Tensor, Target]]):
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

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # DataLoader names its own kind
        """Yield a list of images and a list of targets at a time."""
        for batch in super().__iter__():
            if isinstance(batch, WTNError):
                raise batch
            yield batch


class _ErrorsAsItems(Dataset[Any]):
    """A dataset that returns the errors of another."""

    def __init__(self, dataset: DetectionDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, sample: Sample) -> tuple[Tensor, Target] | WTNError:
        try:
            return self._dataset[sample]
        except WTNError as error:
            return error


def _collate(
    items: Sequence[tuple[Tensor, Target] | WTNError],
) -> tuple[list[Tensor], list[Target]] | WTNError:
    """Keep images of different sizes apart; the detector pads them."""
    images, targets = [], []
    for item in items:
        if isinstance(item, WTNError):
            return item
        images.append(item[0])
        targets.append(item[1])
    return images, targets


def _prepare_worker(worker: int) -> None:
    """Leave Ctrl-C to the process that saves the checkpoint, and go quietly when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _unless_hung_up


def _unless_hung_up(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, ConnectionError | EOFError):  # of the thread that hands tensors over
        sys.__excepthook__(kind, error, trace)


def _unknown_class(table: BoxTable, row: int, vocabulary: Vocabulary) -> MismatchError:
    class_id = table.class_ids[table.label[row]]
    nearest = did_you_mean(class_id, vocabulary.ids)
    return MismatchError(
        f"class {class_id!r} is not among the {len(vocabulary)} detection classes",
        where=table.where(row),
        mend=nearest or "Add it to the class list, or remove its boxes.",
    )
