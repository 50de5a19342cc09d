"""The forms in which other programs take a detector; known without importing torch."""

from dataclasses import dataclass
from typing import Literal

FormatName = Literal[
    "directory", "torchvision", "onnx", "pt2", "detectron2", "mmdetection", "detic"
]


@dataclass(frozen=True)
class Format:
    """A form of a detector.

    Args:
        module: In this package, with ``write`` and ``check`` of
            :class:`pipelines.exporters.base.Exporter`.
        target: Who takes it.
        exactness: What is exact in it, and what is not.
        file: Name of the only file, if there is only one; else the form is a folder.
    """

    module: str
    target: str
    exactness: str
    file: str | None = None


FORMATS: dict[str, Format] = {
    "directory": Format("directory", "wtn; JSON and safetensors for any tool", "exact"),
    "torchvision": Format("torchvision", "torch and torchvision alone", "exact"),
    "onnx": Format("onnx", "onnxruntime; ONNX opset 20", "exact", "detector.onnx"),
    "pt2": Format(
        "exported_program",
        "torch.export.load",
        "exact within the 10,000 best candidates",
        "detector.pt2",
    ),
    "detectron2": Format("detectron2", "detectron2", "head exact"),
    "mmdetection": Format("mmdetection", "MMDetection 3", "head exact"),
    "detic": Format("detic", "Detic-style zero-shot heads (.npy)", "head exact; a head only"),
}
APPROXIMATE_SOFTMAX = Format(
    "torchvision_softmax", "stock torchvision without our code", "approximate"
)
