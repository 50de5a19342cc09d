"""The paper's world: 500 classes of Open Images with boxes, and novel ones of two datasets.

The user brings it; every file is made by one command from official files. The settings are the
defaults of training, which are the paper's and the release's, and so is the metric: the evaluator
of the official release (xternalz/AE-WTN), which the paper's figures come from.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pipelines.config import Method
from pipelines.data.index import open_index
from pipelines.data.presets import OI_57_EVALUATED_IMAGES, OI_500_VALIDATION_IMAGES, VG_200
from pipelines.evaluate import GroundTruthFiles
from pipelines.study.paper import TABLE4, TABLE4_IMAGES
from pipelines.study.worlds import (
    NOVEL_AP50,
    NOVEL_AR50,
    SEEN_AP50,
    EvaluationSet,
    Progress,
    World,
    WorldCost,
    refuse_missing,
    write_classes,
)

ITERATIONS = 180_000
BACKBONE, BACKBONE_FILE = "torchvision:resnet50@IMAGENET1K_V1", "resnet50.pth"
OI_500_TRAIN, OI_500_VAL = "oi-500/train.safetensors", "oi-500/val.safetensors"
OI_57_INDEX, VG_200_INDEX = "oi-57.safetensors", "vg-200.safetensors"
CLASSIFIER, SIMILARITY = "classifier.safetensors", "similarity.safetensors"
_OI_500 = (
    "wtn prepare oi-500 --boxes challenge-2018-train-annotations-bbox.csv "
    "--image-labels challenge-2018-train-annotations-human-imagelabels.csv "
    "--validation-ids val_sizes.txt --classes challenge-2018-class-descriptions-new.csv "
    "--hierarchy bbox_labels_600_hierarchy.json --images train -o {data}/oi-500"
)
MADE_BY = {
    CLASSIFIER: "wtn extract-weights oidv2-resnet_v1_101.ckpt --classes classes-trainable.txt "
    f"--class-names class-descriptions.csv -o {{data}}/{CLASSIFIER}",
    OI_500_TRAIN: _OI_500,
    OI_500_VAL: _OI_500,
    OI_57_INDEX: "wtn prepare oi-57 --boxes validation-annotations-bbox.csv "
    "--image-labels validation-annotations-human-imagelabels-boxable.csv "
    "--classes novel-class-descriptions.csv --hierarchy bbox_labels_600_hierarchy.json "
    f"--image-sizes val_600_sizes.txt --images validation -o {{data}}/{OI_57_INDEX}",
    VG_200_INDEX: "wtn prepare vg-200 --boxes vg-annotations-bbox.csv "
    "--classes vg-class-descriptions.csv --image-sizes vg_sizes.txt "
    f"--images VG_100K --images VG_100K_2 -o {{data}}/{VG_200_INDEX}",
}
"""What makes each file: files are named as they are published, folders of images as they unpack."""
_CHALLENGE_IMAGES = 1_743_042  # of the 2018 challenge's training file, validation included
_TIMED_AS = {"lsda": "faster-rcnn", "zsd": "faster-rcnn", "ae-wtn-cosine": "ae-wtn"}


@dataclass(frozen=True)
class OpenImagesSource:
    """What ``wtn prepare`` and ``wtn extract-weights`` made of the official files.

    Args:
        data: Folder that holds the files of ``MADE_BY``; ``resnet50.pth`` in it is the backbone,
            else torchvision's; ``similarity.safetensors`` is optional, and ``wtn similarity`` makes
            none of the official classifier, whose network it cannot run.
        words: Word vectors of the classifier's classes, made by ``wtn extract-weights``.
        iterations: Training steps of each detector; the schedule keeps its proportions.
    """

    data: Path
    words: Path | None = None
    iterations: int = ITERATIONS
    name: str = field(default="open-images", init=False)
    seeded: bool = field(default=False, init=False)
    notes: Mapping[str, str] = field(default_factory=dict, init=False)

    @property
    def lacks(self) -> Mapping[str, str]:
        """Why it cannot serve some rows."""
        reasons = {}
        if self.words is None:
            reasons["words"] = "it needs word vectors of the classes: --words FILE"
        if not (self.data / SIMILARITY).exists():
            reasons["similarity"] = (
                f"it needs {self.data / SIMILARITY}, which wtn similarity cannot make: it has no "
                "ResNet-101 of TF-Slim, the official classifier's network"
            )
        return reasons

    @property
    def cost(self) -> WorldCost:
        """What a plan reckons with, from the paper's Table 4."""
        times = {name: TABLE4[_TIMED_AS.get(name, name)].milliseconds for name in get_args(Method)}
        gpus, memory = 8 // TABLE4_IMAGES, TABLE4["ae-wtn"].gigabytes
        return WorldCost(
            device="cuda",
            train_images=_CHALLENGE_IMAGES - OI_500_VALIDATION_IMAGES,
            evaluation_images=OI_500_VALIDATION_IMAGES + OI_57_EVALUATED_IMAGES + VG_200["images"],
            classes=5000,
            width=2048,
            seen=486,
            seconds_per_image={name: ms / 1000 / TABLE4_IMAGES for name, ms in times.items()},
            time_basis=f"on one GPU, {gpus} times the paper's Table 4: {min(times.values())} to "
            f"{max(times.values())} ms an iteration of {TABLE4_IMAGES} images on each of {gpus} "
            "GPUs, whose model it does not name",
            memory_gigabytes=gpus * memory,
            memory_basis=f"{gpus} times the paper's {memory} GB of GPU memory for {TABLE4_IMAGES} "
            "images; at most",
            image_gigabytes=576,
            image_basis="an estimate: 561 GB of Open Images V4 with boxes, 15 GB of Visual Genome",
        )

    def missing(self) -> tuple[str, ...]:
        """Return the files that are not in the data folder, each with the command that makes it."""
        data = shlex.quote(str(self.data))
        needed = {str(self.data / name): by.format(data=data) for name, by in MADE_BY.items()}
        if self.words is not None:
            needed[str(self.words)] = "wtn extract-weights VECTORS --classes ... --class-names ..."
        return tuple(f"{path}: {by}" for path, by in needed.items() if not Path(path).exists())

    def world(self, folder: Path) -> World:
        """Return the world; its own folder holds only the lists of classes to score."""
        similarity = self.data / SIMILARITY
        return World(
            settings=self._settings(),
            evaluations={
                SEEN_AP50: self._evaluation("detection", OI_500_VAL),
                NOVEL_AP50: self._evaluation(str(_classes_of(OI_57_INDEX, folder)), OI_57_INDEX),
                NOVEL_AR50: self._evaluation(str(_classes_of(VG_200_INDEX, folder)), VG_200_INDEX),
            },
            words=self.words,
            similarity=similarity if similarity.exists() else None,
        )

    def refuse_other(self, folder: Path, seed: int) -> None:
        """Refuse nothing: its own folder is written anew each time."""

    def prepare(self, folder: Path, seed: int, device: str, on_progress: Progress) -> World:
        """List the classes that are scored; everything else is used where it is.

        Raises:
            DatasetError: If files are missing; lists all of them.
        """
        refuse_missing(self)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (OI_57_INDEX, VG_200_INDEX):
            classes = open_index(self.data / name).annotations.vocabulary
            write_classes(_classes_of(name, folder), zip(classes.ids, classes.names, strict=True))
        return self.world(folder)

    def _evaluation(self, classes: str, index: str) -> EvaluationSet:
        truth = GroundTruthFiles(self.data / index)
        return EvaluationSet(classes, (), truth, metric="aewtn-release")

    def _settings(self) -> dict[str, Any]:
        """Return the defaults, with the schedule in proportion to the iterations."""
        file = self.data / BACKBONE_FILE
        iterations = self.iterations
        return {
            "classifier": self.data / CLASSIFIER,
            "data": {"boxes": self.data / OI_500_TRAIN},
            "backbone": {"weights": str(file) if file.exists() else BACKBONE},
            "schedule": {
                "iterations": iterations,
                "warmup_iterations": min(500, iterations // 10),
                "steps": (iterations * 2 // 3, iterations * 8 // 9),
            },
        }


def _classes_of(index: str, folder: Path) -> Path:
    return folder / f"{Path(index).stem}-classes.csv"
