"""What a form of other programs asks of a detector, and the forms that ask less."""

from pipelines.errors import MismatchError
from pipelines.exporters.base import PlainDetector

OTHERWISE = "These forms serve it: torchvision, onnx, pt2, directory."
_DEPTHS = {"resnet18": 18, "resnet50": 50}


def refuse_projection(source: PlainDetector) -> None:
    """Raise MismatchError if the head is not one matrix and one bias."""
    if source.head.projection is not None:
        raise MismatchError(
            "zsd projects and normalises the features before they meet the class rows, which no "
            "plain head does",
            mend="These forms serve it: onnx, pt2. wtn predict takes the checkpoint as it is.",
        )


def refuse_normalized_features(source: PlainDetector, form: str) -> None:
    """Raise MismatchError unless the class rows meet the features as the box head makes them."""
    refuse_projection(source)
    if source.settings.normalizes_features:
        raise MismatchError(
            f"the box head brings its features to one length ({source.method}), "
            f"which that of {form} does not",
            mend=OTHERWISE,
        )


def resnet_depth(source: PlainDetector, form: str) -> int:
    """Return the depth of the backbone; raises MismatchError if it is not a ResNet."""
    name = source.settings.backbone.name
    if name not in _DEPTHS:
        raise MismatchError(
            f"{form} has no backbone {name}, only {' and '.join(_DEPTHS)} of those here",
            mend=OTHERWISE,
        )
    return _DEPTHS[name]
