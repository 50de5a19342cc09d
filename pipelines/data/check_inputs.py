"""The dataset that is to be checked, as its files have it: nothing is treated or left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.checks import mentions_in_boxes, mentions_in_labels
from pipelines.data.class_files import read_class_lines
from pipelines.data.findings import Mentions
from pipelines.data.images import ImageStore, open_images
from pipelines.data.index import is_index, open_index
from pipelines.data.open_images import read_boxes, read_image_label_lines
from pipelines.data.tables import IntArray
from pipelines.provenance import sha256
from pipelines.storage import refuse_to_replace


@dataclass(frozen=True)
class CheckInputs:
    """The files of a dataset.

    Args:
        boxes: Open Images box CSV, or an index.
        classes: Class list, to look for classes that are unknown or unused.
        image_labels: Verified image-level labels; an index may hold its own.
        images: Folders, zip and tar files, to look at the images with annotations; an index knows
            its own.
    """

    boxes: Path
    classes: Path | None = None
    image_labels: Path | None = None
    images: Sequence[Path] = ()


@dataclass(frozen=True)
class UncheckedDataset:
    """What the files hold.

    Args:
        inputs: The files.
        boxes: Good and bad ones.
        labels: Verified image-level labels, or None.
        label_lines: The line of each in its file; None where an index holds them.
        classes: The line of each class in the class list, or None without a list.
        images: Where the images are, or None.
        digests: SHA-256 of the files that an index was made from.
    """

    inputs: CheckInputs
    boxes: BoxTable
    labels: ImageLabelTable | None
    label_lines: IntArray | None
    classes: dict[str, int] | None
    images: ImageStore | None
    digests: frozenset[str] = frozenset()

    @classmethod
    def load(cls, inputs: CheckInputs) -> "UncheckedDataset":
        """Read the annotations and list the images.

        Raises:
            DatasetError: If a file cannot be read at all.
            ArtifactError: If an index is not complete.
        """
        classes = read_class_lines(inputs.classes) if inputs.classes else None
        images = open_images(*inputs.images) if inputs.images else None
        labels, lines, digests = None, None, frozenset[str]()
        if is_index(inputs.boxes):
            index = open_index(inputs.boxes)
            boxes, labels = index.annotations.boxes, index.annotations.labels
            images = images or index.images()
            digests = frozenset(parent["sha256"] for parent in index.provenance.get("parents", ()))
        else:
            boxes = read_boxes(inputs.boxes, "unchecked")
        if inputs.image_labels is not None:
            labels, lines = read_image_label_lines(inputs.image_labels)
        return cls(inputs, boxes, labels, lines, classes, images, digests)

    @property
    def label_file(self) -> Path:
        """The file with the labels, which an index may be."""
        return self.inputs.image_labels or self.inputs.boxes

    def mentions(self) -> Mentions:
        """Return the annotated images, each once; those of an index are all in its boxes."""
        in_boxes = mentions_in_boxes(self.boxes, self.inputs.boxes)
        if self.labels is None or self.label_lines is None:
            return in_boxes
        return in_boxes.followed_by(
            mentions_in_labels(self.labels, self.label_lines, self.label_file)
        )

    def refuse_to_replace(self, output: Path) -> None:
        """Raise ConfigError if an output is a file that the dataset, or its index, is made of."""
        refuse_to_replace(output, self._files_like(output))

    def _files_like(self, output: Path) -> Iterator[Path | None]:
        """Yield all files that ``output`` could be."""
        inputs = self.inputs
        yield from (inputs.boxes, inputs.classes, inputs.image_labels, *inputs.images)
        for source in self.boxes.sources:
            yield source.file(output.stem)
        if self.images is not None:
            yield from self.images.sources
            if output.stem in self.images:
                yield Path(self.images.where(output.stem))
        if self.digests and output.is_file() and sha256(output) in self.digests:
            yield output  # whatever it is called now
