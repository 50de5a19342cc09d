"""The splits of the paper, each from the official files (Kuen et al., ICCV 2019, section 4).

The counts are those of the files of the official release (xternalz/AE-WTN), and the paper's where
the release is not complete.
"""

from pathlib import Path

from pipelines.data.annotation_sources import OpenImagesSource
from pipelines.data.box_policy import ReadPolicy
from pipelines.data.image_ids import read_image_ids
from pipelines.data.split_plans import SplitPlan, refuse_other_counts

OI_500_VALIDATION_IMAGES = 100_000
OI_57_LABELS = {"classes_with_labels": 57, "present_labels": 28_786, "absent_labels": 15_699}
OI_57_LABELLED_IMAGES = 27_164
OI_57_EVALUATED_IMAGES = 31_061
VG_200 = {"boxes": 39_784, "images": 24_690, "classes_with_boxes": 200}


def oi_500(validation_ids: Path, folder: Path, *, any_counts: bool) -> tuple[SplitPlan, ...]:
    """Split the training file of the 2018 challenge, which holds the validation images too.

    Training does without them; validation is expanded along the hierarchy, as evaluation needs it.

    Args:
        validation_ids: ``val_sizes.txt`` of the release, or
            ``challenge-2018-image-ids-valset-od.csv``.
        folder: Where ``train.safetensors`` and ``val.safetensors`` go.
        any_counts: Accept other files than the official ones.

    Raises:
        MismatchError: If there are not 100,000 validation images and 500 classes.
    """
    if not any_counts:
        found = {"validation_ids": len(read_image_ids(validation_ids))}
        refuse_other_counts(found, {"validation_ids": OI_500_VALIDATION_IMAGES}, validation_ids)
    expected = {} if any_counts else {"classes": 500}
    val, train = folder / "val.safetensors", folder / "train.safetensors"
    return (
        SplitPlan(val, only_images=validation_ids, expand=True, expected=expected),
        SplitPlan(train, exclude_images=validation_ids, expected=expected),
    )


def oi_57(source: OpenImagesSource, output: Path, *, any_counts: bool) -> SplitPlan:
    """Expand the validation set of Open Images V4 along the hierarchy, and keep the novel classes.

    The released label file is to be taken as it is. Its name says that it is expanded, but it lacks
    39,204 labels that follow from others in it along the 600-class hierarchy, such as the absence
    of koalas where mammals are verified to be absent, and so does what the paper measured.

    Args:
        source: Boxes, labels, or both; those of the release are marked as expanded.
        output: The index.
        any_counts: Accept other files than the official ones.
    """
    expected = {"classes": 57}
    if source.image_labels and source.boxes:
        expected["verified_images"] = OI_57_EVALUATED_IMAGES
    elif source.image_labels and source.expanded:
        expected["images"] = OI_57_LABELLED_IMAGES
    if source.image_labels and source.expanded:
        expected |= OI_57_LABELS
    return SplitPlan(output, expand=True, expected={} if any_counts else expected)


def vg_200(output: Path, policy: ReadPolicy, *, any_counts: bool) -> SplitPlan:
    """Take the Visual Genome boxes that the official release ships, bad ones included.

    Args:
        output: The index.
        policy: What to do with bad boxes; what is left under another than ``keep`` is not counted.
        any_counts: Accept another file than the official one.
    """
    return SplitPlan(output, expected={} if any_counts or policy != "keep" else VG_200)
