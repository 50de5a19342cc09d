"""The detector that a training starts from."""

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import TrainSettings
from pipelines.models.checkpoints import class_row_source
from pipelines.models.detection import build_detector
from pipelines.models.heads import build_head
from pipelines.models.losses import label_tables
from pipelines.training.inputs import TrainInputs


def build_model(settings: TrainSettings, inputs: TrainInputs) -> GeneralizedRCNN:
    """Return the detector; what is not loaded is drawn from torch's random generator."""
    source = class_row_source(
        inputs.classifier.weight, inputs.classifier.vocabulary, inputs.detection
    )
    head = build_head(settings.head, source, settings.detector.roi_width)
    tables = label_tables(inputs.detection, inputs.hierarchy)
    state = inputs.backbone.tensors if inputs.backbone else None
    return build_detector(
        settings.backbone,
        settings.detector,
        head,
        tables,
        state,
        normalize_features=settings.normalizes_features,
    )
