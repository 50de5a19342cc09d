"""An ONNX graph with ONNX's own multi-class suppression, for images of any size.

Shapes: M RoIs, K classes, R RoI feature width, n pairs of class and box.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms

from pipelines.errors import ConfigError
from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.description import classes_record, preprocessing_record
from pipelines.exporters.formats import FORMATS
from pipelines.exporters.graph import DetectorGraph, example_image, image_shapes
from pipelines.exporters.onnx_rows import compress_rows
from pipelines.exporters.running import compare_on_resized_images

FILE = str(FORMATS["onnx"].file)
OPSET = 20
OUTPUTS = ("boxes", "scores", "labels")
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


def write(source: PlainDetector, folder: Path) -> None:
    """Trace the detector, turn it into ONNX, and add its classes and preprocessing.

    Rows of a head that is stored in fewer bits are stored so in the graph too.

    Raises:
        ConfigError: If a package is missing.
    """
    _require_packages()
    graph = DetectorGraph(source.model, _suppress)
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graph,
            (example_image(source.settings),),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(image_shapes(),),
            input_names=["image"],
            output_names=list(OUTPUTS),
            custom_translation_table={torch.ops.wtn.multiclass_nms.default: _non_max_suppression()},
            verbose=False,
        )
    assert program is not None  # it is None without dynamo
    compress_rows(program.model, source.head)
    program.model.metadata_props.update(_metadata(source))
    program.save(folder / FILE, external_data=False)


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Run the file in onnxruntime, and compare detections."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])

    def run(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        boxes, scores, labels = session.run(list(OUTPUTS), {"image": image[None].numpy()})
        return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels)

    return compare_on_resized_images(source, run, images)


def _require_packages() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"ONNX needs {', '.join(missing)}, which are not installed",
            mend='Install them with: pip install "wtn-cli[onnx]"',
        )


@torch.library.custom_op("wtn::multiclass_nms", mutates_args=())
def _suppress(boxes: Tensor, scores: Tensor, iou: float, threshold: float, limit: int) -> Tensor:
    """Return pairs ``[n, 2]`` of class and box, as ONNX's NonMaxSuppression finds them.

    Args:
        boxes: ``[M, 4]``.
        scores: ``[K, M]``.
        iou: Of two boxes of a class that overlap more, the lower scored goes.
        threshold: A score must exceed it.
        limit: Boxes kept of each class.
    """
    pairs = []
    for index, of_class in enumerate(scores):
        places = (of_class > threshold).nonzero().squeeze(1)
        kept = places[nms(boxes[places], of_class[places], iou)][:limit]
        pairs.append(torch.stack([torch.full_like(kept, index), kept], dim=1))
    return torch.cat(pairs)


@_suppress.register_fake
def _(boxes: Tensor, scores: Tensor, iou: float, threshold: float, limit: int) -> Tensor:
    size = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((size, 2), dtype=torch.int64)


def _non_max_suppression() -> Any:  # noqa: ANN401 - a function of onnxscript, which is untyped
    """Return the translation of :func:`_suppress` into ONNX's operators."""
    from onnxscript import opset20

    op: Any = opset20

    def translate(boxes: Any, scores: Any, iou: float, threshold: float, limit: int) -> Any:  # noqa: ANN401
        first = op.Constant(value_ints=[0])
        picked = op.NonMaxSuppression(  # [n, 3]: image, class, box
            op.Unsqueeze(boxes, first),
            op.Unsqueeze(scores, first),
            op.Constant(value_ints=[limit]),
            op.Constant(value_floats=[iou]),
            op.Constant(value_floats=[threshold]),
        )
        columns = [op.Constant(value_ints=[value]) for value in (1, 3, 1)]
        return op.Slice(picked, *columns)

    return translate


def _metadata(source: PlainDetector) -> dict[str, str]:
    """Return what a program must know to use the graph, as texts."""
    head, detector = source.head, source.settings.detector
    values = {
        "names": dict(enumerate(head.vocabulary.names)),
        **classes_record(head),
        "preprocessing": preprocessing_record(source.settings),
        "score_threshold": detector.score_threshold,
        "nms_iou": detector.nms_iou,
        "input": "image: float32 [1, 3, height, width], RGB in 0..1, resized; normalisation and "
        "padding are in the graph",
        "outputs": "boxes [n, 4] in pixels of the input, scores [n], labels [n] from 0",
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advice to itself; what fails still raises."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
