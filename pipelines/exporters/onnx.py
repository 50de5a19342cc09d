"""An ONNX graph with ONNX's own multi-class suppression, for images of any size.

Shapes: n detections.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from pipelines.errors import ConfigError
from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.description import classes_record, expect_classes, preprocessing_record
from pipelines.exporters.formats import FORMATS
from pipelines.exporters.graph import DetectorGraph, example_image, image_shapes
from pipelines.exporters.onnx_nms import best_first, translations
from pipelines.exporters.onnx_rows import compress_rows, expect_rows
from pipelines.exporters.running import compare_on_resized_images

(FILE,) = FORMATS["onnx"].files
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
    graph = DetectorGraph(source.model, best_first)
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graph,
            (example_image(source.settings),),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(image_shapes(),),
            input_names=["image"],
            output_names=list(OUTPUTS),
            custom_translation_table=translations(),
            verbose=False,
        )
    assert program is not None  # it is None without dynamo
    compress_rows(program.model, source.head)
    program.model.metadata_props.update(_metadata(source))
    program.save(folder / FILE, external_data=False)


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Run the file in onnxruntime, and compare its rows and classes, and detections.

    Raises:
        RunError: If rows or classes are not what was written.
    """
    import onnxruntime

    expect_rows(folder / FILE, source.head)
    session = onnxruntime.InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])

    about = session.get_modelmeta().custom_metadata_map
    classes = {key: json.loads(about[key]) for key in ("background_index", "classes")}
    expect_classes(folder / FILE, {"activation": about["activation"], **classes}, source.head)

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
