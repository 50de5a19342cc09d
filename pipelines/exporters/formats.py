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
        files: What it consists of; a form of one file is that file, and else a folder.
    """

    module: str
    target: str
    exactness: str
    files: tuple[str, ...]

    @property
    def file(self) -> str | None:
        """The only file, if there is only one."""
        return self.files[0] if len(self.files) == 1 else None


FORMATS: dict[str, Format] = {
    "directory": Format(
        "directory",
        "wtn; JSON and safetensors for any tool",
        "exact",
        (
            "config.json",
            "model.safetensors",
            "classes.json",
            "preprocessor_config.json",
            "README.md",
        ),
    ),
    "torchvision": Format(
        "torchvision",
        "torch and torchvision alone",
        "exact",
        ("model.py", "model.pth", "config.json", "classes.json"),
    ),
    "onnx": Format("onnx", "onnxruntime; ONNX opset 20", "exact", ("detector.onnx",)),
    "pt2": Format(
        "exported_program",
        "torch.export.load",
        "exact within the 10,000 best candidates",
        ("detector.pt2",),
    ),
    "detectron2": Format(
        "detectron2", "detectron2", "head exact", ("model.pth", "config.yaml", "classes.json")
    ),
    "mmdetection": Format(
        "mmdetection", "MMDetection 3", "head exact", ("model.pth", "config.py", "classes.json")
    ),
    "detic": Format(
        "detic",
        "Detic-style zero-shot heads (.npy)",
        "head exact; a head only",
        ("zeroshot_weights.npy", "names.txt", "head.pth", "config.yaml", "classes.json"),
    ),
}
APPROXIMATE_SOFTMAX = Format(
    "torchvision_softmax",
    "stock torchvision without our code",
    "approximate",
    ("model.pth", "config.json", "classes.json"),
)
