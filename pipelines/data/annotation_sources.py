"""What ``wtn prepare`` makes a split of: the files of one dataset, and how they are read."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from pipelines.data.annotation_files import read_hierarchy
from pipelines.data.annotations import Annotations
from pipelines.data.box_policy import ReadPolicy
from pipelines.data.class_files import read_vocabulary
from pipelines.data.coco import CategoryKey, read_coco
from pipelines.data.image_sizes import read_image_sizes
from pipelines.data.index import is_index
from pipelines.data.name_matching import read_aliases
from pipelines.data.open_images import read_boxes, read_image_labels
from pipelines.data.splits import assemble
from pipelines.data.visual_genome import read_image_data, read_visual_genome
from pipelines.data.voc import read_voc
from pipelines.errors import ConfigError, DatasetError
from pipelines.storage import read_header

Notes: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class AnnotationSource:
    """The files of a dataset; a subclass names them in fields, and reads them."""

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the role and path of each file."""
        for field in fields(self):
            value = getattr(self, field.name)
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Path):
                    yield field.name, item

    def settings(self) -> dict[str, Any]:
        """Return all that is no file, and says how the files are read."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        settings = {n: v for n, v in values.items() if isinstance(v, str | int | float)}
        return settings | {"kind": type(self).__name__}

    def read(self, policy: ReadPolicy) -> tuple[Annotations, Notes]:
        """Read the files, and say what is worth knowing; raises WTNError if they are bad.

        The arrays are the caller's alone, to change as it likes.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class OpenImagesSource(AnnotationSource):
    """Tables of Open Images, or of the same columns.

    Args:
        classes: Class list; sets the order of the classes. It may list classes without boxes.
        boxes: Box CSVs; an image may be in several.
        image_labels: CSVs of verified image-level labels; without any, boxes are exhaustive.
        hierarchy: Hierarchy JSON.
        expanded: Whether boxes and labels are expanded along it already.

    Raises:
        ConfigError: If there are neither boxes nor labels.
    """

    classes: Path
    boxes: tuple[Path, ...] = ()
    image_labels: tuple[Path, ...] = ()
    hierarchy: Path | None = None
    expanded: bool = False

    def __post_init__(self) -> None:
        if not (self.boxes or self.image_labels):
            raise ConfigError(
                "there is nothing to prepare", mend="Pass --boxes, --image-labels, or both."
            )

    def read(self, policy: ReadPolicy) -> tuple[Annotations, Notes]:
        """Read all files; raises WTNError if they are bad."""
        for path in (*self.boxes, *self.image_labels):
            _refuse_artifact(path)
        vocabulary = read_vocabulary(self.classes)
        split = assemble(
            [read_boxes(path, policy) for path in self.boxes],
            [read_image_labels(path) for path in self.image_labels],
            vocabulary,
            read_hierarchy(self.hierarchy, vocabulary) if self.hierarchy else None,
            in_place=True,
        )
        return replace(split, expanded=self.expanded), {}


@dataclass(frozen=True)
class CocoSource(AnnotationSource):
    """An instances file of COCO.

    Args:
        annotations: The JSON file.
        class_ids: Whether a class's id is its category's number or its name.
    """

    annotations: Path
    class_ids: CategoryKey = "id"

    def read(self, policy: ReadPolicy) -> tuple[Annotations, Notes]:
        """Read the file; raises DatasetError if it is bad."""
        return read_coco(self.annotations, policy, class_ids=self.class_ids), {}


@dataclass(frozen=True)
class VocSource(AnnotationSource):
    """The XML files of Pascal VOC.

    Args:
        annotations: Their folder.
    """

    annotations: Path

    def read(self, policy: ReadPolicy) -> tuple[Annotations, Notes]:
        """Read the files; raises DatasetError if one is bad."""
        return read_voc(self.annotations, policy), {}


@dataclass(frozen=True)
class VisualGenomeSource(AnnotationSource):
    """The objects of Visual Genome, matched to classes by name.

    Args:
        objects: ``objects.json``.
        classes: Class list with readable names.
        sizes: ``image_data.json``, or lines of ``ImageID,height,width``.
        aliases: ``object_alias.txt``.
        exclude_classes: Class list of those that have boxes already.
        min_boxes: Leave out classes with fewer objects.
    """

    objects: Path
    classes: Path
    sizes: Path
    aliases: Path | None = None
    exclude_classes: Path | None = None
    min_boxes: int = 1

    def read(self, policy: ReadPolicy) -> tuple[Annotations, Notes]:
        """Read the files; notes how the names were understood."""
        is_json = self.sizes.suffix == ".json"
        sizes = read_image_data(self.sizes) if is_json else read_image_sizes(self.sizes)
        split, report = read_visual_genome(
            self.objects,
            read_vocabulary(self.classes),
            sizes,
            policy=policy,
            aliases=read_aliases(self.aliases) if self.aliases else (),
            exclude=read_vocabulary(self.exclude_classes).ids if self.exclude_classes else (),
            min_boxes=self.min_boxes,
        )
        return split, asdict(report)


def _refuse_artifact(path: Path) -> None:
    if is_index(path):
        raise DatasetError(
            f"this is a {read_header(path)['format']} file already, not a CSV",
            where=path,
            mend="Train, evaluate and check-data take an index as it is; to prepare one, give the "
            "CSV that it was made of.",
        )
