"""Which detections an image has a place for, when only its best ones count.

Shapes: n detections, I images, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.data.tables import BoolArray, IntArray
from pipelines.metrics.joining import Detections
from pipelines.metrics.spool import KeyedSpool, Records

_RECORD = np.dtype([("row", np.int64), ("image", np.int32), ("label", np.int32), ("score", "f8")])
_NUM_BUCKETS = 256  # of images; one at a time is ranked in memory


class Competition:
    """Classes that compete for the places of an image.

    Of equal scores, the one that came first is better.

    Args:
        members: ``[K]``, whether a class takes part.
        limit: Places of an image; None if every detection has one.
        num_images: I.
    """

    def __init__(self, members: BoolArray, limit: int | None, num_images: int) -> None:
        self.members, self.limit = members, limit
        self._count = np.zeros(num_images, np.int64)
        self._last_score = np.full(num_images, -np.inf)
        self._last_row = np.zeros(num_images, np.int64)

    @property
    def has_detections(self) -> BoolArray:
        """``[I]``, whether any of the classes was found in an image."""
        return self._count > 0

    @property
    def is_full(self) -> bool:
        """Whether some image has more detections than places."""
        return self.num_full > 0

    @property
    def num_full(self) -> int:
        """How many images have more detections than places."""
        return 0 if self.limit is None else int((self._count > self.limit).sum())

    def count(self, found: Detections) -> None:
        """Take note of detections, before any of them is judged."""
        np.add.at(self._count, found.image[self.members[found.label]], 1)

    def rank(self, records: Records) -> None:
        """Find the last detection that has a place, given all detections of some images."""
        assert self.limit is not None
        records = records[self.members[records["label"]]]
        records = records[np.lexsort((records["row"], -records["score"], records["image"]))]
        image = records["image"]
        place = np.arange(len(image)) - np.searchsorted(image, image)
        last = records[place == self.limit - 1]
        self._last_score[last["image"]] = last["score"]
        self._last_row[last["image"]] = last["row"]

    def admits(self, found: Detections, row: IntArray) -> BoolArray:
        """Return ``[n]``: whether a detection has a place; ``row`` counts them as they came."""
        score, last = found.score, self._last_score[found.image]
        admitted: BoolArray = (score > last) | (
            (score == last) & (row <= self._last_row[found.image])
        )
        return admitted


@dataclass(frozen=True)
class Competitions:
    """All ways in which the classes of an evaluation compete.

    Args:
        together: All classes.
        at: All classes for k places, by k.
        alone: ``[K]``, the one of each class with its group; empty where none was asked for.
    """

    together: Competition
    at: Mapping[int, Competition]
    alone: Sequence[Competition]

    @classmethod
    def of(
        cls,
        num_images: int,
        num_classes: int,
        *,
        limit: int | None,
        recall_at: Sequence[int],
        groups: Sequence[str],
    ) -> "Competitions":
        """Return competitions that no detection has entered.

        Args:
            num_images: I.
            num_classes: K.
            limit: Places of an image, for all classes and for each group.
            recall_at: Places of an image, for all classes.
            groups: ``[K]``, of each class; empty for no competitions within groups.
        """
        everyone = np.ones(num_classes, np.bool_)
        names = np.array(groups)
        by_group = {
            name: Competition(names == name, limit, num_images) for name in dict.fromkeys(groups)
        }
        return cls(
            Competition(everyone, limit, num_images),
            {k: Competition(everyone, k, num_images) for k in recall_at},
            [by_group[name] for name in groups],
        )

    @property
    def distinct(self) -> list[Competition]:
        """Each competition once."""
        return [self.together, *self.at.values(), *dict.fromkeys(self.alone)]


class ImageRanking:
    """The scores of all detections on disk, by image, to find out which have a place."""

    def __init__(self, num_images: int) -> None:
        self._per_bucket = -(-max(num_images, 1) // _NUM_BUCKETS)
        self._spool = KeyedSpool(_RECORD, _NUM_BUCKETS)

    def add(self, found: Detections, row: IntArray) -> None:
        """Take note of detections; ``row`` counts them as they came."""
        self._spool.append(
            found.image // self._per_bucket,
            row=row,
            image=found.image,
            label=found.label,
            score=found.score,
        )

    def decide(self, competitions: Sequence[Competition]) -> None:
        """Rank the detections of every image for those competitions that are full."""
        full = [competition for competition in competitions if competition.is_full]
        for bucket in range(_NUM_BUCKETS if full else 0):
            records = self._spool.read(bucket)
            for competition in full:
                competition.rank(records)

    def close(self) -> None:
        """Remove the scores from the disk."""
        self._spool.close()
