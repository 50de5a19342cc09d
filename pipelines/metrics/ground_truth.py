"""What detections are judged against: annotation files, and the images that they are about."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.data.annotation_files import load_annotations
from pipelines.data.annotations import Annotations
from pipelines.data.images import ImageStore, open_images
from pipelines.data.index import is_index, open_index
from pipelines.data.splits import expand, keep_images, mask_of
from pipelines.errors import ConfigError, DatasetError
from pipelines.metrics.checks import refuse_labels_of_other_images


@dataclass(frozen=True)
class GroundTruthFiles:
    """The annotation files.

    Args:
        boxes: Open Images box CSV, or an index made by ``wtn prepare``; boxes are taken as they
            are.
        image_labels: Verified image-level labels; without them the boxes are taken as exhaustive.
        hierarchy: Expands both along the classes above (boxes, positive labels) and below
            (negative labels); an index has its own, and may be expanded already.
    """

    boxes: Path
    image_labels: Path | None = None
    hierarchy: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are given."""
        return tuple(p for p in (self.boxes, self.image_labels, self.hierarchy) if p is not None)

    def load(self) -> Annotations:
        """Read and expand the files."""
        read = load_annotations(
            self.boxes,
            image_labels=self.image_labels,
            hierarchy=self.hierarchy,
            policy="keep",
        )
        if len(read.boxes) == 0:
            raise DatasetError("no boxes to evaluate against", where=self.boxes)
        if self.image_labels is not None:
            refuse_labels_of_other_images(read, self.image_labels)
        return read if read.hierarchy is None else expand(read)

    def images(self, sources: Sequence[Path], option: str = "--images") -> ImageStore:
        """Open the images: those given, or those that the index knows.

        Args:
            sources: Folders or archives.
            option: That gives them, for the message.

        Raises:
            ConfigError: If there are none.
            DatasetError: If a source is missing or holds no image.
        """
        known = open_index(self.boxes).images() if not sources and is_index(self.boxes) else None
        if known is not None:
            return known
        if not sources:
            raise ConfigError(
                f"{option} missing",
                mend="Give the folder or archive of images, or an index that knows them.",
            )
        return open_images(*sources)


def first_images(annotations: Annotations, count: int) -> Annotations:
    """Return the annotations of the first so many images with boxes."""
    boxed = np.unique(annotations.boxes.image)[:count]
    return keep_images(annotations, mask_of(len(annotations.image_ids), boxed))
