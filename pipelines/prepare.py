"""Stage 0: make one index per split of the files that a dataset comes in."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pipelines.data.annotation_sources import AnnotationSource, Notes
from pipelines.data.dataset import Dataset, PrepareOptions, Progress
from pipelines.data.index import FORMAT, INDEX_REVISION, is_index, read_index_header, write_index
from pipelines.data.source_hashes import SourceHashes, key_of, state_of_images
from pipelines.data.split_plans import SplitPlan, refuse_other_counts
from pipelines.errors import ArtifactError, ConfigError
from pipelines.memory import peak_rss_bytes
from pipelines.provenance import Provenance, provenance_of
from pipelines.storage import FORMAT_VERSION, refuse_to_replace

_REPLACE = "Name another file with --output, or replace it with --force."


@dataclass(frozen=True)
class PrepareReport:
    """What a split holds, and what it cost to prepare.

    Args:
        output: The index.
        up_to_date: Whether it was there already, made of the same files in the same way.
        key: SHA-256 over the settings and the contents of the files.
        counts: Those of ``SplitPlan.apply``, and of what was done to all boxes that were read:
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
    paths = [path for plan in plans for _, path in _files(source, plan, options)]
    for plan in plans:
        refuse_to_replace(plan.output, paths)
    with SourceHashes(paths) as hashes:
        images = [state_of_images(path) for path in options.images]
        jobs = [_Job(source, plan, options, hashes, images) for plan in plans]
        todo = [job for job in jobs if overwrite or not job.is_done()]
        if todo:
            on_progress("reading", 0, 1)
            dataset = Dataset.read(source, options)
            on_progress("reading", 1, 1)
        for job in todo:
            job.write(dataset, on_progress, in_place=job is todo[-1])
        return [job.report(up_to_date=job not in todo, started=started) for job in jobs]


class _Job:
    """One split, from its plan to its file."""

    def __init__(
        self,
        source: AnnotationSource,
        plan: SplitPlan,
        options: PrepareOptions,
        hashes: SourceHashes,
        images: Sequence[str],
    ) -> None:
        self._source, self._plan, self._options = source, plan, options
        self._hashes, self._images = hashes, images

    @cached_property
    def _parents(self) -> list[Provenance]:
        return self._hashes.parents(_files(self._source, self._plan, self._options))

    @cached_property
    def _key(self) -> str:
        options = self._options
        settings = {
            "format": f"{FORMAT} {FORMAT_VERSION}",
            "revision": INDEX_REVISION,
            "source": self._source.settings(),
            "expand": self._plan.expand,
            "policy": options.policy,
            "drop_unknown_classes": options.drop_unknown_classes,
            "images": self._images,
        }
        return key_of(self._parents, settings)

    def is_done(self) -> bool:
        """Return whether the file is there and up to date.

        Raises:
            ConfigError: If it is another file.
            ArtifactError: If it is an index that is damaged or of another revision, or another
                artifact.
            MismatchError: If it does not hold the expected counts.
        """
        output = self._plan.output
        if not output.exists():
            return False
        try:
            header = read_index_header(output) if is_index(output) else {}
        except ArtifactError as error:
            raise ArtifactError(error.what, where=error.where, mend=_REPLACE) from error
        if header.get("key") == self._key:
            refuse_other_counts(header["counts"], self._plan.expected, output)
            return True
        raise ConfigError(
            "the file is there already, and made of other files or in another way",
            where=output,
            mend=_REPLACE,
        )

    def write(self, dataset: Dataset, on_progress: Progress, *, in_place: bool) -> None:
        """Write the split; in place, its rows take the memory of the dataset's."""
        split, counts = self._plan.apply(dataset.annotations, dataset.bare, in_place=in_place)
        split = replace(split, sizes=dataset.sizes_of(split, on_progress))
        writing = f"writing {self._plan.output.name}"
        on_progress(writing, 0, 1)
        write_index(
            self._plan.output,
            split,
            key=self._key,
            policy=self._options.policy,
            provenance=provenance_of(*self._parents),
            counts={**counts, **dataset.counts},
            notes=dataset.notes,
            images=dataset.images,
        )
        on_progress(writing, 1, 1)

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
