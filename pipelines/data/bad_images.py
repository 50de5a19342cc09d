"""Training goes on where an image does not decode, and says which one it was.

Shapes: I images of the dataset.
"""

import numpy as np
from torch.utils.data import Dataset

from pipelines.data.batches import Example, SkippedImage
from pipelines.data.detection import DetectionDataset
from pipelines.data.image_order import Groups
from pipelines.data.samplers import UNKNOWN_SHAPE, Sample
from pipelines.data.tables import IntArray
from pipelines.errors import BadImageError, DatasetError

_IN_A_ROW = 100  # bad images that are no accident any more: the files are of another kind, or gone


class SkippingDataset(Dataset[Example]):
    """A dataset in which another image takes the look of one that does not decode.

    It is the next good one by id, of the same group while there is one. So who stands in depends on
    the image alone: not on workers, on processes, or on where a run was resumed.

    Args:
        dataset: Images with their boxes.
        groups: ``[I]``, as :class:`pipelines.data.samplers.TrainingSampler` has them.
    """

    def __init__(self, dataset: DetectionDataset, groups: Groups | None) -> None:
        self._dataset = dataset
        self._next = _next_of_group(len(dataset), groups)

    def __getitem__(self, sample: Sample) -> Example:
        """Return a look at an image that decodes, with those that were skipped for it.

        Raises:
            DatasetError: If 100 images in a row, or all of them, are bad, or if a file or a folder
                cannot be read at all.
        """
        skipped: list[SkippedImage] = []
        look = sample
        while len(skipped) < min(_IN_A_ROW, len(self._dataset)):
            try:
                example = self._dataset[look]
            except BadImageError as error:
                skipped.append(
                    SkippedImage(self._dataset.image_id(look.row), error.place_and_cause)
                )
                look = Sample(int(self._next[look.row]), sample.flip)
            else:
                return example._replace(skipped=tuple(skipped))
        raise DatasetError(
            f"{len(skipped)} images in a row do not decode, so none was skipped; the first: "
            f"{skipped[0].why}",
            mend="See what is wrong with them: wtn check-data --images ...",
        )


def _next_of_group(length: int, groups: Groups | None) -> IntArray:
    """Return which image follows each ``[I]``; the last of a group has the next group's first.

    One of unknown shape has the next by id, whichever it is: where most shapes are known, those
    that are not are bad, and all of them in a row.
    """
    cycle = np.arange(length) if groups is None else np.argsort(groups, kind="stable")
    following = np.empty_like(cycle)
    following[cycle] = np.roll(cycle, -1)
    if groups is not None:
        unknown = np.flatnonzero(groups == UNKNOWN_SHAPE)
        following[unknown] = (unknown + 1) % length
    return following
