"""Real photographs in small: mosaics of Tiny-ImageNet tiles, and an ImageNet classifier.

The user brings the files of ``NEEDED``, whose formats are in ``docs/formats.md``; those of the
results may not be passed on, by ImageNet's terms, but a folder of other mosaics does as well.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pipelines.config import Method
from pipelines.evaluate import GroundTruthFiles
from pipelines.extract import extract_weights
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

ITERATIONS = 1000
# At 1, as in the paper, the first losses are in the hundreds and training diverges.
LSDA_SCALE = 0.1
# With standardised rows and no normalised hidden layer, rows of norm 36 (the root of d) meet RoI
# features of norm 39: the first classification loss is 2311 and training diverges at iteration 4.
# So the gradient is shortened (Pascanu et al., ICML 2013), to the norm that the drawn world has.
MAX_GRADIENT_NORM = 5.0
CLASSIFIER = "classifier.safetensors"
NETWORK = "classifiers/mobilenet_v2_imagenet1k.safetensors"
NEEDED = (
    "tin200/class-descriptions.csv",
    *(
        f"tin200/{split}{suffix}"
        for split in ("train", "val-seen", "val-novel")
        for suffix in (".zip", "-annotations-bbox.csv")
    ),
    NETWORK,
    "classifiers/imagenet1k-classes.csv",
)
_SECONDS_PER_IMAGE = 0.15  # on one core of a server CPU


@dataclass(frozen=True)
class Tin200Source:
    """Mosaics of 4x4 tiles of ImageNet classes: 150 with boxes to train on, and 50 novel ones.

    Args:
        data: Folder that holds the files of ``NEEDED``.
        words: Word vectors of the 1000 classes, made by ``wtn extract-weights``.
        iterations: Training steps of each detector.
        scale: Enlarge the mosaics of 256 pixels so many times.
    """

    data: Path
    words: Path | None = None
    iterations: int = ITERATIONS
    scale: int = 1
    name: str = field(default="tin200", init=False)
    seeded: bool = field(default=False, init=False)
    notes: Mapping[str, str] = field(default_factory=dict, init=False)

    @property
    def lacks(self) -> Mapping[str, str]:
        """Why it cannot serve some rows."""
        reasons = {
            "similarity": "there are no images of single classes besides those it is evaluated on"
        }
        if self.words is None:
            reasons["words"] = "it needs word vectors of the classes: --words FILE"
        return reasons

    @property
    def cost(self) -> WorldCost:
        """What a plan reckons with."""
        seconds = _SECONDS_PER_IMAGE * self.scale**2
        return WorldCost(
            device="cpu",
            train_images=1406,
            evaluation_images=390,
            classes=1000,
            width=1280,
            seen=150,
            seconds_per_image=dict.fromkeys(get_args(Method), seconds),
            time_basis=f"{seconds:g} s an image, measured on one core of a server CPU"
            + (", times the pixels" if self.scale != 1 else ""),
            memory_gigabytes=1.3 * self.scale**2,
            memory_basis="resident memory of one training, measured at --scale 1",
            image_gigabytes=0.05,
            image_basis="the archives of mosaics",
        )

    def missing(self) -> tuple[str, ...]:
        """Return the files that are not in the data folder."""
        missing = [str(path) for name in NEEDED if not (path := self.data / name).exists()]
        if self.words is not None and not self.words.exists():
            missing.append(f"{self.words}: wtn extract-weights VECTORS --classes ...")
        return tuple(missing)

    def world(self, folder: Path) -> World:
        """Return the world whose classifier is in a folder, extracted or not."""
        novel = self._evaluation("novel", folder)
        return World(
            settings=self._settings(folder / CLASSIFIER, self.data / NETWORK),
            evaluations={
                SEEN_AP50: self._evaluation("seen", folder),
                NOVEL_AP50: novel,
                NOVEL_AR50: novel,
            },
            method_settings={"lsda": {"head.lsda.scale": LSDA_SCALE}},
            training_settings={
                "wtn-input-norm": {"optimizer.max_gradient_norm": MAX_GRADIENT_NORM}
            },
            words=self.words,
        )

    def refuse_other(self, folder: Path, seed: int) -> None:
        """Refuse nothing: its own folder is written anew each time."""

    def prepare(self, folder: Path, seed: int, device: str, on_progress: Progress) -> World:
        """Extract the classifier; images and boxes are used where they are.

        Raises:
            DatasetError: If a file is missing.
        """
        refuse_missing(self)
        folder.mkdir(parents=True, exist_ok=True)
        extract_weights(
            str(self.data / NETWORK),
            folder / CLASSIFIER,
            classes=self.data / "classifiers/imagenet1k-classes.csv",
        )
        for group in ("seen", "novel"):
            self._write_classes(group, folder)
        return self.world(folder)

    def _write_classes(self, group: str, folder: Path) -> None:
        """Write the classes of a group: only those are scored."""
        with (self.data / NEEDED[0]).open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["Split"] == group]
        classes = ((row["LabelName"], row["DisplayName"]) for row in rows)
        write_classes(_classes_of(group, folder), classes)

    def _evaluation(self, group: str, folder: Path) -> EvaluationSet:
        base = self.data / "tin200" / f"val-{group}"
        truth = GroundTruthFiles(base.with_name(f"{base.name}-annotations-bbox.csv"))
        return EvaluationSet(str(_classes_of(group, folder)), (base.with_suffix(".zip"),), truth)

    def _settings(self, classifier: Path, network: Path) -> dict[str, Any]:
        """Return settings that train on a CPU core in about ten minutes."""
        mosaics = self.data / "tin200"
        return {
            "classifier": classifier,
            "data": {
                "images": mosaics / "train.zip",
                "boxes": mosaics / "train-annotations-bbox.csv",
                "sampler": "uniform",
                "group_by_aspect_ratio": False,
                "workers": 0,
            },
            "backbone": {
                "name": "mobilenet_v2",
                "weights": str(network),
                "fpn_channels": 64,
                "image_mean": (0.5, 0.5, 0.5),  # what the classifier was trained with
                "image_std": (0.5, 0.5, 0.5),
            },
            "detector": {
                "roi_width": 1280,  # the classifier's width, which LSDA needs
                "min_size": 256 * self.scale,
                "max_size": 256 * self.scale,
                "anchor_sizes": [16 * self.scale * 2**level for level in range(5)],
                "rois_per_image": 64,
                "proposals_train": 200,
                "proposals_test": 100,
                "detections_per_image": 100,
            },
            "optimizer": {"learning_rate": 0.01},
            "schedule": {
                "iterations": self.iterations,
                "batch_size": 4,
                "warmup_iterations": self.iterations // 10,
                "steps": (self.iterations * 3 // 4, self.iterations * 9 // 10),
            },
        }


def _classes_of(group: str, folder: Path) -> Path:
    return folder / f"{group}-classes.csv"
