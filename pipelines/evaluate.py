"""Stage 4: score a detector, or a file of predictions, against boxes."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.config import Metric, Precision
from pipelines.data.annotations import Annotations
from pipelines.data.class_choice import choose_rows
from pipelines.data.image_sizes import ImageSizes, parse_image_sizes
from pipelines.data.predictions import iter_predictions
from pipelines.distributed import ALONE, Team
from pipelines.errors import ConfigError
from pipelines.metrics.blocks import checked_blocks
from pipelines.metrics.checks import PredictionChecks, refuse_disjoint, refuse_pixels
from pipelines.metrics.detector_evaluation import (
    AnnotatedImages,
    Detecting,
    Progress,
    evaluate_model,
)
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.ground_truth import GroundTruthFiles
from pipelines.metrics.groups import choose_classes, classes_of_head
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import PLAIN_SCORING, Scoring
from pipelines.models.calibration import shift_novel
from pipelines.models.checkpoints import load_detector
from pipelines.models.offline import load_head
from pipelines.storage import refuse_to_replace

__all__ = ["GroundTruthFiles", "evaluate_detector", "evaluate_predictions"]


def evaluate_detector(
    checkpoint: Path,
    head: Path | None,
    images: Sequence[Path],
    truth: GroundTruthFiles,
    *,
    scoring: Scoring = PLAIN_SCORING,
    novel_shift: float = 0.0,
    device: str = "auto",
    batch_size: int = 4,
    precision: Precision = "float32",
    predictions: Path | None = None,
    on_progress: Progress = lambda done, total: None,
    team: Team = ALONE,
) -> EvaluateReport:
    """Detect in the annotated images, and score the detections.

    Args:
        checkpoint: A trained detector.
        head: Exported from it; None computes that of all classes of its classifier, which serves
            every method, also the one that no head file serves (``zsd``).
        images: Folders or archives; none if the ground truth is an index that knows its images.
        truth: The annotation files.
        scoring: What is detected and scored, and how; classes that are left out do not compete. By
            default as many detections of an image count as training set, and as many are kept, or
            more where AR@k asks for them. In a joint evaluation each group of classes is detected
            with so many places of its own, of which the best of all compete again.
        novel_shift: Added to the logits of novel classes, see :func:`shift_novel`.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Images a pass.
        precision: Of convolutions and matrix products.
        predictions: Write the detections here, as an Open Images challenge CSV.
        on_progress: Called with the number of images done and in all.
        team: The processes that share the images; all of them get the report, which is that of one
            process.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    if predictions is not None:
        refuse_to_replace(predictions, [checkpoint, head, *images, *truth.paths])
    full = shift_novel(load_head(checkpoint, head), novel_shift)
    rows = choose_rows(scoring.classes or "all", full.vocabulary, full.groups)
    annotations = truth.load()
    evaluated = classes_of_head(full.vocabulary, full.groups, rows, annotations)
    if scoring.protocol.joint:
        evaluated.require_seen_and_novel()
    refuse_disjoint(evaluated.vocabulary, annotations)
    annotated = AnnotatedImages(annotations, truth.images(images))
    target = team.device(device)
    model = load_detector(checkpoint, full.subset(rows)).to(target)
    detecting = Detecting(target, batch_size, precision, on_progress, team)
    return evaluate_model(model, evaluated, annotated, scoring, detecting, predictions)


def evaluate_predictions(
    predictions: Path,
    truth: GroundTruthFiles,
    *,
    scoring: Scoring = PLAIN_SCORING,
    head: Path | None = None,
    seen_classes: Path | None = None,
    image_sizes: str | None = None,
) -> EvaluateReport:
    """Score a file of predictions, which may be larger than memory.

    Args:
        predictions: Open Images challenge CSV: ImageID,LabelName,Score,XMin,XMax,YMin,YMax.
        truth: The annotation files.
        scoring: What is scored, and how; by default all detections of an image count. A joint
            evaluation needs their number, and a file that holds as many of each group.
        head: Tells which class is seen and which is novel; its classes are scored.
        seen_classes: A class file that tells it in place of a head.
        image_sizes: For ``aewtn-release`` and ``coco``, which count in pixels: ``WIDTHxHEIGHT`` for
            all images, or a file of ``ImageID,height,width`` lines; not needed for an index that
            knows them.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    if scoring.protocol.joint:
        _require_places(scoring.protocol)
    annotations = truth.load()
    evaluated = choose_classes(annotations, scoring.classes, head, seen_classes)
    refuse_disjoint(evaluated.vocabulary, annotations)
    refuse_pixels(annotations)
    if scoring.protocol.joint:
        evaluated.require_seen_and_novel()
    sizes = _image_sizes(image_sizes, scoring.metric, annotations)
    checks = PredictionChecks(predictions, annotations, evaluated.vocabulary)
    blocks = checked_blocks(iter_predictions(predictions), checks)
    return scoring.report(annotations, blocks, evaluated, sizes.of)


def _require_places(protocol: Protocol) -> None:
    """Refuse a joint evaluation in which nobody competes: all detections of a file count."""
    if protocol.detections_per_image is None:
        raise ConfigError(
            "a joint evaluation of a file needs --max-detections: the classes compete for places",
            mend="Give --max-detections 100; the file must hold so many of each group, as "
            "--joint --save-predictions writes.",
        )


def _image_sizes(given: str | None, metric: Metric, annotations: Annotations) -> ImageSizes:
    if given is not None:
        return parse_image_sizes(given)
    if metric != "oid" and not annotations.sizes.any():
        raise ConfigError(
            f"the metric {metric} counts in pixels and needs the images' sizes",
            mend="Give --image-sizes 1024x768, or a file of ImageID,height,width lines.",
        )
    return ImageSizes(annotations.image_ids, annotations.sizes)
