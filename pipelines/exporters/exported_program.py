"""A ``torch.export`` program, which runs with torch and torchvision and no model code.

Shapes: M RoIs, K classes, H, W height and width of an image in pixels.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torchvision.ops import nms

from pipelines.errors import MismatchError
from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.description import (
    PREPROCESSING,
    classes_record,
    expect_classes,
    preprocessing_record,
)
from pipelines.exporters.files import expect_tensors
from pipelines.exporters.formats import FORMATS
from pipelines.exporters.graph import (
    FILLERS,
    LEAST_SIDE,
    DetectorGraph,
    example_image,
    image_shapes,
)
from pipelines.exporters.running import compare_on_resized_images
from pipelines.models.detector_folder import CLASSES

(FILE,) = FORMATS["pt2"].files
CANDIDATES = 10_000  # 20 times the release's 500 detections of an image


def write(source: PlainDetector, folder: Path) -> None:
    """Trace the detector for images of all sizes, and save the program with its classes.

    Raises:
        MismatchError: If the detector's own images are smaller than what a program serves.
    """
    least = source.settings.detector.min_size
    if least < LEAST_SIDE:
        raise MismatchError(
            f"the detector's images have {least} pixels on the shorter side, and a traced program "
            f"serves {LEAST_SIDE} and more",
            mend="Take --format onnx.",
        )
    graph = DetectorGraph(source.model, suppress_in_classes)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torchvision's own shape rules
        program = torch.export.export(
            graph, (example_image(source.settings),), dynamic_shapes=(image_shapes(),)
        )
    records = {
        CLASSES: json.dumps(classes_record(source.head)),
        PREPROCESSING: json.dumps(preprocessing_record(source.settings)),
    }
    torch.export.save(program, folder / FILE, extra_files=records)


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Load the program, and compare its rows and classes, and detections in images it serves.

    Raises:
        RunError: If rows or classes are not what was written.
    """
    files = {CLASSES: ""}
    program = torch.export.load(folder / FILE, extra_files=files)
    expect_classes(folder / FILE, json.loads(files[CLASSES]), source.head)
    wanted = {"class_head.weight": source.head.weight, "class_head.bias": source.head.bias}
    expect_tensors(folder / FILE, {name: program.state_dict[name] for name in wanted}, wanted)
    module, resize = program.module(), source.model.transform.resize
    served = [
        image for image in images if min(resize(image.float(), None)[0].shape[1:]) >= LEAST_SIDE
    ]
    found = compare_on_resized_images(source, lambda image: module(image[None]), served)
    return replace(found, left_out=len(images) - len(served))


def suppress_in_classes(
    boxes: Tensor, scores: Tensor, iou: float, threshold: float, limit: int
) -> Tensor:
    """Return pairs ``[n, 2]`` of class and box that survive NMS within their class, best first.

    Each class is moved to a place of its own, in float64 (see pipelines.models.postprocess). In
    tracing an NMS counts on two survivors at least, so two fillers always are.

    Args:
        boxes: ``[M, 4]``.
        scores: ``[K, M]``.
        iou: Of two boxes of a class that overlap more, the lower scored goes.
        threshold: A score must exceed it.
        limit: Not needed here: at most ``CANDIDATES`` are looked at.
    """
    best, flat = scores.flatten().topk(torch.sym_min(CANDIDATES, scores.numel()))
    flat = flat[best > threshold].sort().values  # so that equal scores keep the order of classes
    classes, places = flat // scores.shape[1], flat % scores.shape[1]
    lone = torch.arange(FILLERS) + scores.shape[0]  # classes of their own, so none suppresses them
    corners = torch.cat([boxes[places], boxes.new_tensor([[0, 0, 1, 1]] * FILLERS)]).double()
    extent = boxes.max().double() - boxes.min().double() + 2
    apart = corners + (torch.cat([classes, lone]) * extent).unsqueeze(1)
    of_fillers = torch.full((FILLERS,), -1.0, dtype=torch.float64)
    kept = nms(apart, torch.cat([scores.flatten()[flat].double(), of_fillers]), iou)
    kept = kept[kept < places.shape[0]]
    return torch.stack([classes[kept], places[kept]], dim=1)
