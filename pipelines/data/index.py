"""One file for one split: all that a dataset's files say, in arrays that are read where they lie.

Shapes: n rows, I images. ``wtn prepare`` writes the file; it is memory-mapped when opened, so it
opens in no time whatever its size. Processes that are forked after it was opened share its memory;
one that is sent it, such as a spawned worker, gets a copy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.config import BoxPolicy
from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable, Source
from pipelines.data.array_file import map_arrays, starts_as_array_file, write_arrays
from pipelines.data.images import ImageStore
from pipelines.data.index_layout import REMAKE, refuse_other_layout
from pipelines.data.string_table import StringTable
from pipelines.errors import ArtifactError, DatasetError
from pipelines.provenance import Provenance
from pipelines.storage import expect_keys, read_header_of, vocabulary_from_json, vocabulary_to_json

IndexPolicy: TypeAlias = BoxPolicy | Literal["keep"]

FORMAT = "wtn.dataset-index"
# Raise it with every change after which the same files make another index: when an array, a key of
# the header or a count is added, renamed or computed in another way, or a box is treated otherwise.
INDEX_REVISION = 1
MADE_BY = "wtn prepare"
_KEYS = (
    "key", "vocabulary", "box_classes", "label_classes", "hierarchy", "expanded", "policy",
    "sources", "images", "counts", "notes",
)  # fmt: skip
_IMAGE_FILES = "image_files."


@dataclass(frozen=True)
class DatasetIndex:
    """A split and where its images are.

    Args:
        path: The file.
        key: SHA-256 over the format's revision, the settings and the contents of the sources.
        annotations: Read-only; arrays are mapped, ids are decoded when asked for.
        policy: What was done with bad boxes.
        provenance: The source files.
        counts: What ``wtn prepare`` counted.
    """

    path: Path
    key: str
    annotations: Annotations
    policy: IndexPolicy
    provenance: Provenance
    counts: Mapping[str, int]
    _image_sources: tuple[Path, ...]
    _image_columns: Mapping[str, NDArray[Any]]

    def images(self) -> ImageStore | None:
        """Return the images without listing them again, or None if the index was made without.

        Raises:
            DatasetError: If a folder or archive is no longer where it was.
            ArtifactError: If the index does not tell where in it the images are.
        """
        if not self._image_sources:
            return None
        for source in self._image_sources:
            if not source.exists():
                raise DatasetError(
                    f"the images are no longer where {self.path} knows them",
                    where=source,
                    mend="Pass --images with their new place, or prepare the index again with "
                    "--images and --force.",
                )
        try:
            return ImageStore.from_columns(self._image_sources, dict(self._image_columns))
        except DatasetError as error:
            raise ArtifactError(error.what, where=self.path, mend=REMAKE) from error


def is_index(path: Path) -> bool:
    """Return whether a file is an artifact of this program rather than a table."""
    return starts_as_array_file(path)


def read_index_header(path: Path) -> dict[str, Any]:
    """Return the header of an index, without its arrays.

    Raises:
        ArtifactError: If the file is not a complete index, or of another revision.
    """
    header = read_header_of(path, FORMAT, (), MADE_BY)
    revision = header.get("revision", 0)  # the first indexes named none
    if revision != INDEX_REVISION:
        raise ArtifactError(
            f"an index of revision {revision}, where this version of wtn-cli makes "
            f"and reads revision {INDEX_REVISION}",
            where=path,
            mend=REMAKE,
        )
    expect_keys(path, header, _KEYS, MADE_BY)
    return header


def files_behind(path: Path) -> list[Path]:
    """Return the annotation files, folders and archives that an index was made from.

    Raises:
        ArtifactError: If the file is not a complete index.
    """
    header = read_index_header(path)
    return [Path(file) for file in (*(file for file, _ in header["sources"]), *header["images"])]


def open_index(path: Path) -> DatasetIndex:
    """Open an index; nothing but its header is read.

    Raises:
        ArtifactError: If the file is not a complete index, or of another revision.
    """
    header = read_index_header(path)
    arrays = map_arrays(path)
    refuse_other_layout(path, arrays, labelled=header["label_classes"] is not None)
    image_ids = StringTable(arrays["image_ids"], arrays["image_id_ends"])
    annotations = Annotations(
        image_ids=image_ids,
        boxes=_boxes(header, arrays, image_ids),
        labels=_labels(header, arrays, image_ids),
        vocabulary=vocabulary_from_json(path, header["vocabulary"]),
        sizes=arrays["image_sizes"],
        hierarchy=header["hierarchy"],
        expanded=header["expanded"],
    )
    return DatasetIndex(
        path,
        key=header["key"],
        annotations=annotations,
        policy=header["policy"],
        provenance=header.get("provenance", {}),
        counts=header["counts"],
        _image_sources=tuple(map(Path, header["images"])),
        _image_columns={
            name.removeprefix(_IMAGE_FILES): array
            for name, array in arrays.items()
            if name.startswith(_IMAGE_FILES)
        },
    )


def write_index(
    path: Path,
    split: Annotations,
    *,
    key: str,
    policy: IndexPolicy,
    provenance: Provenance,
    counts: Mapping[str, int],
    notes: Mapping[str, Any] = MappingProxyType({}),
    images: ImageStore | None = None,
) -> None:
    """Write an index, one array at a time.

    Args:
        path: The file.
        split: By image.
        key: Of what it was made from.
        policy: What was done with bad boxes.
        provenance: The source files.
        counts: What to tell of it without reading it.
        notes: JSON values; what else to tell.
        images: Where the images are.
    """
    labels = split.labels
    header = {
        "revision": INDEX_REVISION,
        "key": key,
        "vocabulary": vocabulary_to_json(split.vocabulary),
        "box_classes": split.boxes.class_ids,
        "label_classes": None if labels is None else labels.class_ids,
        "hierarchy": split.hierarchy,
        "expanded": split.expanded,
        "policy": policy,
        "sources": [[str(source.path.resolve()), source.row] for source in split.boxes.sources],
        "images": [str(source.resolve()) for source in images.sources] if images else [],
        "counts": dict(counts),
        "notes": dict(notes),
    }
    write_arrays(path, FORMAT, _arrays(split, images), header, provenance)


def _arrays(split: Annotations, images: ImageStore | None) -> dict[str, NDArray[Any]]:
    ids, boxes, labels = split.image_ids, split.boxes, split.labels
    text = ids if isinstance(ids, StringTable) else StringTable.of(ids)
    arrays: dict[str, NDArray[Any]] = {
        "image_ids": text.text,
        "image_id_ends": text.ends,
        "image_sizes": split.sizes.astype(np.int32, copy=False),
        "boxes.image": boxes.image,
        "boxes.label": boxes.label,
        "boxes.corners": boxes.boxes,
        "boxes.group_of": boxes.group_of,
        "boxes.source": boxes.source,
        "boxes.row": boxes.rows,
    }
    if boxes.area is not None:
        arrays["boxes.area"] = boxes.area
    if labels is not None:
        arrays |= {
            "labels.image": labels.image,
            "labels.label": labels.label,
            "labels.positive": labels.positive,
        }
    if images is not None:
        arrays |= {_IMAGE_FILES + name: array for name, array in images.columns().items()}
    return arrays


def _boxes(
    header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], image_ids: Sequence[str]
) -> BoxTable:
    return BoxTable(
        image_ids=image_ids,
        image=arrays["boxes.image"],
        class_ids=tuple(header["box_classes"]),
        label=arrays["boxes.label"],
        boxes=arrays["boxes.corners"],
        group_of=arrays["boxes.group_of"],
        sources=tuple(Source(Path(file), row) for file, row in header["sources"]),
        source=arrays["boxes.source"],
        rows=arrays["boxes.row"],
        area=arrays.get("boxes.area"),
    )


def _labels(
    header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], image_ids: Sequence[str]
) -> ImageLabelTable | None:
    if header["label_classes"] is None:
        return None
    return ImageLabelTable(
        image_ids=image_ids,
        image=arrays["labels.image"],
        class_ids=tuple(header["label_classes"]),
        label=arrays["labels.label"],
        positive=arrays["labels.positive"],
    )
