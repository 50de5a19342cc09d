"""Sizes of the procedural world, each with the networks and the detector that suit it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pipelines.config import Method
from pipelines.data.shapes import ShapesSettings
from pipelines.models.tiny import STAGE_CHANNELS
from pipelines.study.paper import TABLE4, TABLE4_IMAGES
from pipelines.study.worlds import DeviceType
from pipelines.training.classifier import BATCH_SIZE, Network


@dataclass(frozen=True)
class ShapesPreset:
    """A size of the world.

    Args:
        name: Of the world's folder.
        sizes: Of the world.
        iterations: Training steps of each detector.
        network: The classifier, and the detector's backbone.
        width: d, of the classifier's features.
        epochs: Of the classifier's training.
        crops_a_step: Of the same.
        device: Where the classifier is trained; None stands for the study's.
        settings: Of the detector's training: sections that differ from the defaults.
        cost_device: What the figures of time and memory are of.
        seconds_per_image: Of the detector's training, by method.
        time_basis: Where these come from, in words.
        memory_gigabytes: Of one training.
        memory_basis: Where that comes from.
        image_gigabytes: Of all images of a world on disk.
        image_basis: Where that comes from.
    """

    name: str
    sizes: ShapesSettings
    iterations: int
    network: Network
    width: int
    epochs: int
    crops_a_step: int
    device: str | None
    settings: Mapping[str, Mapping[str, Any]]
    cost_device: DeviceType
    seconds_per_image: Mapping[str, float]
    time_basis: str
    memory_gigabytes: float
    memory_basis: str
    image_gigabytes: float
    image_basis: str


_SECONDS_PER_IMAGE = 0.026  # on one core of a server CPU

SMALL = ShapesPreset(
    name="shapes",
    sizes=ShapesSettings(),
    iterations=1000,
    network="tiny",
    width=STAGE_CHANNELS[-1],
    epochs=4,
    crops_a_step=BATCH_SIZE,
    device="cpu",  # where the same seed gives the same file; a GPU would save little
    settings={
        "data": {"workers": 0},  # decoding is cheap here; a second process would only compete
        "backbone": {"trainable_stages": 5, "fpn_channels": 64},
        "detector": {
            "roi_width": 256,
            "min_size": 128,
            "max_size": 128,
            "anchor_sizes": (16, 24, 36, 54, 80),
            "aspect_ratios": (1.0,),
            "proposals_train": 200,
            "proposals_test": 50,
            "rois_per_image": 32,  # RoIAlign's backward pass is most of a step on a CPU
            "foreground_fraction": 0.5,
            "detections_per_image": 100,
        },
        "optimizer": {"learning_rate": 0.015, "max_gradient_norm": 5.0},
    },
    cost_device="cpu",
    seconds_per_image=dict.fromkeys(get_args(Method), _SECONDS_PER_IMAGE),
    time_basis=f"{_SECONDS_PER_IMAGE} s an image, measured on one core of a server CPU",
    memory_gigabytes=1.1,
    memory_basis="resident memory of one training, measured",
    image_gigabytes=0.2,
    image_basis="scenes and crops of a world, measured",
)
"""960 classes, 100 of them with boxes; minutes a training on a CPU core."""

_SCENE, _PAPER_PIXELS = 256, 800 * 1067  # the paper's images, most of which are 4 by 3
_MILLISECONDS, _GIGABYTES = TABLE4["ae-wtn"]

PAPER = ShapesPreset(
    name="shapes-paper",
    sizes=ShapesSettings(
        accents=6,
        num_seen=500,
        num_train=10_000,
        num_val_seen=1000,
        num_val_novel=4000,
        num_crops=125_000,
        min_crops=8,
        scene_size=_SCENE,
        crop_size=96,
    ),
    iterations=14_000,
    network="resnet50",
    width=2048,
    epochs=20,
    crops_a_step=256,
    device=None,
    settings={
        "data": {"workers": 8},
        "detector": {
            "roi_width": 2048,
            "min_size": _SCENE,
            "max_size": _SCENE,
            "anchor_sizes": (32, 48, 72, 108, 160),
            "aspect_ratios": (1.0,),
            "proposals_train": 500,
            "proposals_test": 200,
            "rois_per_image": 128,  # a scene holds five objects at most
            "detections_per_image": 100,
        },
        "optimizer": {"learning_rate": 0.02, "max_gradient_norm": 5.0},
        "schedule": {"batch_size": 16},
    },
    cost_device="cuda",
    seconds_per_image=dict.fromkeys(
        get_args(Method), _MILLISECONDS / 1000 / TABLE4_IMAGES * _SCENE**2 / _PAPER_PIXELS
    ),
    time_basis=f"an estimate: the paper's {_MILLISECONDS} ms for {TABLE4_IMAGES} images on one GPU "
    "(Table 4), by the number of pixels; drawing a world takes 6 minutes on one core, its "
    "classifier perhaps 20 more",
    memory_gigabytes=_GIGABYTES,
    memory_basis=f"of the GPU, an estimate: the paper's for {TABLE4_IMAGES} images, which have 1.6 "
    "times the pixels of 16 scenes; making a world takes about 8 GB of main memory",
    image_gigabytes=4.0,
    image_basis="of each seed: 125,000 crops of 27 kB and 15,000 scenes of 34 kB",
)
"""As many classes as the paper's, 5160, 500 of them with boxes, d = R = 2048; for a GPU."""
