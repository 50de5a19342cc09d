"""Boxes of Visual Genome, given to the classes of a classifier by their names.

An image is named by its number, as its file is. Shapes: n objects, I images, K classes.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.data.annotations import Annotations, Source
from pipelines.data.box_policy import ReadPolicy
from pipelines.data.image_sizes import LARGEST_SIDE, ImageSizes
from pipelines.data.json_file import Entries, read_json
from pipelines.data.name_matching import AMBIGUOUS, EXCLUDED, UNMATCHED, NameMeanings, normalise
from pipelines.data.pixel_boxes import PixelBoxes
from pipelines.data.tables import BoolArray, IntArray
from pipelines.data.visual_genome_objects import VisualGenomeObjects
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary

_MOST_NAMES = 50  # that the report lists


@dataclass(frozen=True)
class MatchReport:
    """How the objects of a file found their classes; every object is counted once.

    Args:
        objects: All in the file.
        matched: Those whose name means one class, which is kept.
        excluded: Those whose name means excluded classes only.
        ambiguous: Those whose name means several classes; they are left out.
        unmatched: Those whose name means no class.
        rare: Those of classes with too few objects.
        by_class: How many objects each kept class has, the most frequent first.
        ambiguous_names: The ids of the classes that each ambiguous name means.
        colliding_names: The ids of the classes that a matched name means besides an excluded one,
            such as a second "Sheep".
        unmatched_names: How many objects bear each name, the most frequent 50.
    """

    objects: int
    matched: int
    excluded: int
    ambiguous: int
    unmatched: int
    rare: int
    by_class: Mapping[str, int]
    ambiguous_names: Mapping[str, tuple[str, ...]]
    colliding_names: Mapping[str, tuple[str, ...]]
    unmatched_names: Mapping[str, int]


def read_visual_genome(
    objects_json: Path,
    vocabulary: Vocabulary,
    sizes: ImageSizes,
    *,
    policy: ReadPolicy = "error",
    aliases: Iterable[Sequence[str]] = (),
    exclude: Collection[str] = (),
    min_boxes: int = 1,
) -> tuple[Annotations, MatchReport]:
    """Read the objects whose name is the name of a class.

    The first name of an object counts; letter case, blanks and aliases aside. Excluded classes are
    set aside first, so with the classifier's vocabulary and the 500 detection classes excluded this
    is the rule of VG-200 as its released annotations suggest it (xternalz/AE-WTN,
    ``vg-annotations-bbox.csv``; the paper does not state it). Images without such an object are
    left out: Visual Genome lists what people mentioned, so its silence says nothing about them.

    Args:
        objects_json: The file, unpacked.
        vocabulary: ``[K]``, with readable names.
        sizes: Of the images with such an object; see :func:`read_image_data`.
        policy: What to do with bad boxes, as for ``check_boxes``.
        aliases: Groups of names that mean the same, from ``read_aliases``.
        exclude: Ids of classes that have boxes already, so that only novel ones stay.
        min_boxes: Leave out classes with fewer objects, counted before ``policy``.

    Returns:
        The annotations, whose classes are those of ``vocabulary`` with objects, in its order; and
        how the names were understood.

    Raises:
        DatasetError: If the file is not such a file; names the object. Also as ``check_boxes``.
        MismatchError: If no class is left, or the size of an image is not known.
    """
    objects = VisualGenomeObjects(objects_json)
    meanings = NameMeanings(objects.names, vocabulary, aliases, exclude)
    label = meanings.label[objects.name]  # [n]
    counts = np.bincount(label[label >= 0], minlength=len(vocabulary))
    classes = np.flatnonzero(counts >= max(min_boxes, 1))
    if not len(classes):
        raise MismatchError(
            f"no class has {max(min_boxes, 1)} of the {len(label)} objects",
            where=objects_json,
            mend="Objects are matched by name: pass a vocabulary with readable names.",
        )
    kept = np.isin(label, classes)
    images, image = np.unique(objects.image[kept], return_inverse=True)
    boxes = PixelBoxes(
        Source(objects_json, "annotation"),
        rows=objects.ids[kept],
        image=image,
        label=np.searchsorted(classes, label[kept]),
        corners=objects.corners[kept],
        group_of=np.zeros(len(image), np.bool_),
    )
    ids = [objects.image_ids[position] for position in images.tolist()]
    annotations = boxes.annotate(ids, sizes.of(ids), vocabulary.subset(classes.tolist()), policy)
    return annotations, _report(objects, meanings, label, kept)


def read_image_data(path: Path) -> ImageSizes:
    """Read the sizes of Visual Genome's images from its image_data.json.

    Raises:
        DatasetError: If the file is not such a file; names the image.
    """
    content = read_json(path, lambda entry: entry)
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise DatasetError("not a list of images", where=path, mend="Pass image_data.json.")
    images = Entries(path, "image", content)
    ids = images.texts("image_id" if images.any_has("image_id") else "id")
    images.refuse_repeated("image_id", ids)
    sides = (images.whole_numbers(side, 1, LARGEST_SIDE).tolist() for side in ("height", "width"))
    pairs = zip(*sides, strict=True)
    return replace(ImageSizes.from_mapping(dict(zip(ids, pairs, strict=True))), source=path)


def _report(
    objects: VisualGenomeObjects, meanings: NameMeanings, label: IntArray, kept: BoolArray
) -> MatchReport:
    by_class = np.bincount(label[kept], minlength=len(meanings.vocabulary))
    frequent = np.argsort(-by_class, kind="stable")[: np.count_nonzero(by_class)]
    return MatchReport(
        objects=len(label),
        matched=int(kept.sum()),
        excluded=int((label == EXCLUDED).sum()),
        ambiguous=int((label == AMBIGUOUS).sum()),
        unmatched=int((label == UNMATCHED).sum()),
        rare=int((label >= 0).sum() - kept.sum()),
        by_class={meanings.vocabulary.ids[row]: int(by_class[row]) for row in frequent.tolist()},
        ambiguous_names=meanings.ambiguous,
        colliding_names=meanings.colliding,
        unmatched_names=_unmatched_names(objects, label),
    )


def _unmatched_names(objects: VisualGenomeObjects, label: IntArray) -> dict[str, int]:
    counts = np.bincount(objects.name[label == UNMATCHED], minlength=len(objects.names))
    totals: Counter[str] = Counter()
    for code in np.flatnonzero(counts).tolist():
        totals[normalise(objects.names[code])] += int(counts[code])
    return dict(totals.most_common(_MOST_NAMES))
