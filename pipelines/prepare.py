"""Stage 0: make one index per split of the files that a dataset comes in.

Shapes: n boxes, I images.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.data.annotation_files import refuse_unknown_classes
from pipelines.data.annotation_sources import AnnotationSource, Notes
from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable
from pipelines.data.box_policy import ReadPolicy, check_boxes
from pipelines.data.image_sizes import ImageSizes, read_image_sizes
from pipelines.data.index import FORMAT, is_index, read_index_header, write_index
from pipelines.data.source_hashes import SourceHashes, key_of
from pipelines.data.split_plans import SplitPlan, count_split
from pipelines.data.splits import annotated_images
from pipelines.data.tables import BoolArray
from pipelines.errors import ConfigError, DatasetError
from pipelines.memory import peak_rss_bytes
from pipelines.provenance import Provenance, provenance_of
from pipelines.storage import FORMAT_VERSION, refuse_to_replace
from pipelines.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pipelines.data.images import ImageStore

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PrepareOptions:
    """What all splits of a dataset share.

    Args:
        policy: What to do with bad boxes, as for ``check_boxes``.
        drop_unknown_classes: Leave out boxes of classes outside the class list, instead of
            refusing them.
        images: Folders, zip and tar files of the images; their sizes are read from their headers
            where no file tells them.
        image_sizes: Lines of ``ImageID,height,width``.
    """

    policy: ReadPolicy = "error"
    drop_unknown_classes: bool = False
    images: tuple[Path, ...] = ()
    image_sizes: Path | None = None


@dataclass(frozen=True)
class PrepareReport:
    """What a split holds, and what it cost to prepare.

    Args:
        output: The index.
        up_to_date: Whether it was there already, made of the same files in the same way.
        key: SHA-256 over the settings and the contents of the files.
        counts: Those of ``count_split``, and of what was done to all boxes that were read:
            ``boxes_read``, ``boxes_dropped`` and ``boxes_clipped`` by the policy,
            ``boxes_of_other_classes`` and ``labels_of_other_classes``, which the split leaves out.
        notes: What else the files' reader has to tell.
        seconds: Wall clock since the start of the command's work.
        boxes_per_second: Boxes read by that time, or None if it was up to date.
        peak_memory_bytes: The most resident memory that the process ever held.
        index_bytes: Size of the file.
    """

    output: Path
    up_to_date: bool
    key: str
    counts: Mapping[str, int]
    notes: Notes
    seconds: float
    boxes_per_second: float | None
    peak_memory_bytes: int
    index_bytes: int


def prepare_splits(
    source: AnnotationSource,
    plans: Sequence[SplitPlan],
    options: PrepareOptions,
    *,
    overwrite: bool = False,
    on_progress: Progress = lambda phase, done, total: None,
) -> list[PrepareReport]:
    """Read a dataset once, and write an index for each of its splits.

    Args:
        source: The files.
        plans: The splits.
        options: What they share.
        overwrite: Replace what is there, even if it is up to date.
        on_progress: Called with what is going on, how much of it is done, and of how much.

    Returns:
        A report for each plan.

    Raises:
        WTNError: For files that are bad or do not belong together; the split that it concerns is
            not written.
        ConfigError: If there is an output that was made of other files or in another way.
    """
    started = time.perf_counter()
    for plan in plans:
        refuse_to_replace(plan.output, (path for _, path in _files(source, plan, options)))
    with SourceHashes(
        path for plan in plans for _, path in _files(source, plan, options)
    ) as hashes:
        jobs = [_Job(source, plan, options, hashes) for plan in plans]
        todo = [job for job in jobs if overwrite or not job.is_done()]
        if todo:
            on_progress("reading", 0, 1)
            dataset = _Dataset.read(source, options)
            on_progress("reading", 1, 1)
        for job in todo:
            job.write(dataset, on_progress)
        return [job.report(up_to_date=job not in todo, started=started) for job in jobs]


class _Dataset(NamedTuple):
    """All that was read, and what to make it a split with."""

    annotations: Annotations
    bare: BoolArray
    counts: dict[str, int]
    notes: Notes
    sizes: ImageSizes | None
    images: "ImageStore | None"

    @classmethod
    def read(cls, source: AnnotationSource, options: PrepareOptions) -> "_Dataset":
        read, notes = source.read("unchecked")
        if not options.drop_unknown_classes:
            refuse_unknown_classes(read.boxes, read.vocabulary)
        boxes, clipped = _treat(read.boxes, options.policy)
        counts = {
            "boxes_read": len(read.boxes),
            "boxes_dropped": len(read.boxes) - len(boxes),
            "boxes_clipped": clipped,
            "boxes_of_other_classes": _count_unknown(read.boxes, read.vocabulary),
            "labels_of_other_classes": _count_unknown(read.labels, read.vocabulary),
        }
        return cls(
            replace(read, boxes=boxes),
            ~annotated_images(read),
            counts,
            notes,
            read_image_sizes(options.image_sizes) if options.image_sizes else None,
            _open_images(options.images),
        )


class _Job:
    """One split, from its plan to its file."""

    def __init__(
        self,
        source: AnnotationSource,
        plan: SplitPlan,
        options: PrepareOptions,
        hashes: SourceHashes,
    ) -> None:
        self._source, self._plan, self._options, self._hashes = source, plan, options, hashes

    @cached_property
    def _parents(self) -> list[Provenance]:
        return self._hashes.parents(_files(self._source, self._plan, self._options))

    @cached_property
    def _key(self) -> str:
        options = self._options
        settings = {
            "format": f"{FORMAT} {FORMAT_VERSION}",
            "source": self._source.settings(),
            "expand": self._plan.expand,
            "policy": options.policy,
            "drop_unknown_classes": options.drop_unknown_classes,
            "images": [_state(path) for path in options.images],
        }
        return key_of(self._parents, settings)

    def is_done(self) -> bool:
        """Return whether the file is there and up to date; raises ConfigError if it is another."""
        output = self._plan.output
        if not output.exists():
            return False
        if is_index(output) and read_index_header(output)["key"] == self._key:
            return True
        raise ConfigError(
            "the file is there already, and made of other files or in another way",
            where=output,
            mend="Name another file with --output, or replace it with --force.",
        )

    def write(self, dataset: _Dataset, on_progress: Progress) -> None:
        """Take the split out of the dataset and write it."""
        split = self._plan.apply(dataset.annotations, dataset.bare)
        split = replace(split, sizes=_sizes(split, dataset, on_progress))
        on_progress("writing", 0, 1)
        write_index(
            self._plan.output,
            split,
            key=self._key,
            policy=self._options.policy,
            provenance=provenance_of(*self._parents),
            counts=count_split(split) | dataset.counts,
            notes=dataset.notes,
            images=dataset.images,
        )
        on_progress("writing", 1, 1)

    def report(self, *, up_to_date: bool, started: float) -> PrepareReport:
        """Describe the file, from its header."""
        output = self._plan.output
        header = read_index_header(output)
        seconds = time.perf_counter() - started
        return PrepareReport(
            output,
            up_to_date=up_to_date,
            key=header["key"],
            counts=header["counts"],
            notes=header["notes"],
            seconds=seconds,
            boxes_per_second=None if up_to_date else header["counts"]["boxes_read"] / seconds,
            peak_memory_bytes=peak_rss_bytes(),
            index_bytes=output.stat().st_size,
        )


def _files(
    source: AnnotationSource, plan: SplitPlan, options: PrepareOptions
) -> list[tuple[str, Path]]:
    """Return the role and path of every file that a split depends on, but for the images."""
    lists = {
        "image_sizes": options.image_sizes,
        "only_images": plan.only_images,
        "exclude_images": plan.exclude_images,
    }
    return [*source.files(), *((role, path) for role, path in lists.items() if path is not None)]


def _state(path: Path) -> list[str | int]:
    """Tell whether a folder or archive of images changed, without reading all of it."""
    try:
        state = path.stat()
    except OSError as error:
        raise DatasetError("no such folder or archive", where=path) from error
    return [str(path.resolve()), 0 if path.is_dir() else state.st_size, state.st_mtime_ns]


def _open_images(sources: Sequence[Path]) -> "ImageStore | None":
    if not sources:
        return None
    from pipelines.data.images import open_images  # imports torch, so only when it is needed

    return open_images(*sources)


def _treat(boxes: BoxTable, policy: ReadPolicy) -> tuple[BoxTable, int]:
    """Return the boxes that a policy leaves, and how many of them it cut to the image."""
    if policy != "clip":
        return check_boxes(boxes, policy), 0
    outside = np.asarray(((boxes.boxes < 0) | (boxes.boxes > 1)).any(axis=1))
    numbered = check_boxes(replace(boxes, rows=np.arange(len(boxes))), policy)
    kept = numbered.rows
    return replace(numbered, rows=boxes.rows[kept]), int(np.count_nonzero(outside[kept]))


def _count_unknown(table: BoxTable | ImageLabelTable | None, vocabulary: Vocabulary) -> int:
    if table is None:
        return 0
    unknown = np.array([name not in vocabulary for name in table.class_ids], np.bool_)
    return int(unknown[table.label].sum())


def _sizes(split: Annotations, dataset: _Dataset, on_progress: Progress) -> NDArray[np.int32]:
    """Return the size of every image ``[I, 2]``, 0 where nothing tells it."""
    if dataset.images is not None:
        _refuse_missing(split, dataset.images)
    sizes = split.sizes.copy()
    if dataset.sizes is not None:
        sizes = dataset.sizes.known(split.image_ids).astype(np.int32)
    unknown = np.flatnonzero(sizes[:, 0] == 0)
    missing = [split.image_ids[row] for row in unknown.tolist()]
    if missing and dataset.images is not None:
        sizes[unknown] = dataset.images.sizes(missing, partial(on_progress, "image sizes"))
    elif missing and dataset.sizes is not None:
        sizes[unknown] = dataset.sizes.of(missing)
    return sizes


def _refuse_missing(split: Annotations, images: "ImageStore") -> None:
    missing = np.flatnonzero(images.positions(split.image_ids) < 0)
    if len(missing):
        raise DatasetError(
            f"{len(missing)} of {len(split.image_ids)} annotated images are missing, first "
            f"{split.image_ids[int(missing[0])]!r}",
            where=images.origin,
            mend="Images are named <ImageID>.jpg; leave some out with --exclude-images.",
        )
