"""What an export tells of itself: its classes, how images are prepared, what it is made of."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pipelines.artifacts import DetectionHead
from pipelines.config import ArchitectureSettings
from pipelines.errors import RunError
from pipelines.exporters.base import PlainDetector
from pipelines.exporters.graph import SIZE_DIVISOR

PREPROCESSING = "preprocessor_config.json"
_BILINEAR = 2  # PIL's and transformers' number of it


def classes_record(head: DetectionHead, *, softmax: bool = False) -> dict[str, Any]:
    """Return the classes by label: index, id, name and group.

    A sigmoid head has no background; before a softmax it is row 0, and the classes follow.
    """
    rows = zip(head.vocabulary.ids, head.vocabulary.names, head.groups, strict=True)
    classes = [
        {"index": index, "id": class_id, "name": name, "group": group}
        for index, (class_id, name, group) in enumerate(rows, start=int(softmax))
    ]
    if softmax:
        return {"activation": "softmax", "background_index": 0, "classes": classes}
    return {"activation": "sigmoid", "background_index": None, "classes": classes}


def expect_classes(
    where: Path, found: object, head: DetectionHead, *, softmax: bool = False
) -> None:
    """Raise RunError unless a record that was read back is that of the head's classes."""
    if found != classes_record(head, softmax=softmax):
        raise RunError(
            "the classes are not in it as they were written",
            where=where,
            mend="Check the disk, and export again.",
        )


def preprocessing_record(settings: ArchitectureSettings) -> dict[str, Any]:
    """Return how an image is prepared, in the words of Hugging Face's image processors."""
    backbone, detector = settings.backbone, settings.detector
    return {
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": detector.min_size, "longest_edge": detector.max_size},
        "resample": _BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(backbone.image_mean),
        "image_std": list(backbone.image_std),
        "do_pad": True,
        "size_divisor": SIZE_DIVISOR,
    }


def config_record(source: PlainDetector) -> dict[str, Any]:
    """Return what the detector is, by timm's and transformers' names where they have one."""
    vocabulary = source.head.vocabulary
    labels = unique_labels(vocabulary.ids, vocabulary.names)
    body, pool = source.model.backbone, source.model.roi_heads.box_roi_pool
    return {
        "architecture": "faster_rcnn",
        "library_name": "wtn",
        "num_classes": len(labels),
        "num_features": source.head.weight.shape[1],
        "activation": "sigmoid",
        "label_names": list(vocabulary.ids),
        "label_descriptions": dict(zip(vocabulary.ids, vocabulary.names, strict=True)),
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
        "method": source.method,
        "settings": source.settings.model_dump(mode="json"),
        "roi_size": pool.output_size[0],
        "sampling_ratio": pool.sampling_ratio,
        "stages": dict(body.body.return_layers),
        "stage_channels": [block[0].in_channels for block in body.fpn.inner_blocks],
    }


def unique_labels(ids: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
    """Return the names, with the id behind those that several classes have."""
    counts = Counter(names)
    pairs = zip(ids, names, strict=True)
    return [name if counts[name] == 1 else f"{name} ({class_id})" for class_id, name in pairs]


def write_json(path: Path, value: object) -> None:
    """Write a JSON value."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
