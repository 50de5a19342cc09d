"""Real photographs in small: mosaics of Tiny-ImageNet tiles, and an ImageNet classifier."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.errors import DatasetError
from pipelines.evaluate import GroundTruthFiles
from pipelines.extract import extract_weights
from pipelines.study.worlds import (
    NOVEL_AP50,
    NOVEL_AR50,
    SEEN_AP50,
    EvaluationSet,
    Progress,
    World,
)

ITERATIONS = 1000
NEEDED = (
    "tin200/class-descriptions.csv",
    *(
        f"tin200/{split}{suffix}"
        for split in ("train", "val-seen", "val-novel")
        for suffix in (".zip", "-annotations-bbox.csv")
    ),
    "classifiers/mobilenet_v2_imagenet1k.safetensors",
    "classifiers/imagenet1k-classes.csv",
)


@dataclass(frozen=True)
class Tin200Source:
    """Mosaics of 4x4 tiles with boxes for 150 of the 1000 ImageNet classes, 50 of them novel.

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

    def prepare(self, folder: Path, seed: int, on_progress: Progress) -> World:
        """Extract the classifier; images and boxes are used where they are.

        Raises:
            DatasetError: If a file is missing.
        """
        missing = [name for name in NEEDED if not (self.data / name).exists()]
        if missing:
            raise DatasetError(
                f"{missing[0]} is missing ({len(missing)} of {len(NEEDED)} files)",
                where=self.data,
                mend=f"The world needs: {', '.join(NEEDED)}.",
            )
        folder.mkdir(parents=True, exist_ok=True)
        network = self.data / "classifiers/mobilenet_v2_imagenet1k.safetensors"
        classifier = folder / "classifier.safetensors"
        names = self.data / "classifiers/imagenet1k-classes.csv"
        extract_weights(str(network), classifier, classes=names)
        novel = self._evaluation("novel", folder)
        return World(
            settings=self._settings(classifier, network),
            evaluations={
                SEEN_AP50: self._evaluation("seen", folder),
                NOVEL_AP50: novel,
                NOVEL_AR50: novel,
            },
            words=self.words,
        )

    def _evaluation(self, group: str, folder: Path) -> EvaluationSet:
        """Return the validation set of a group; only classes of the set are scored."""
        classes = folder / f"{group}-classes.csv"
        with (self.data / NEEDED[0]).open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["Split"] == group]
        with classes.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("LabelName", "DisplayName"))
            writer.writerows((row["LabelName"], row["DisplayName"]) for row in rows)
        base = self.data / "tin200" / f"val-{group}"
        truth = GroundTruthFiles(base.with_name(f"{base.name}-annotations-bbox.csv"))
        return EvaluationSet(str(classes), (base.with_suffix(".zip"),), truth)

    def _settings(self, classifier: Path, network: Path) -> dict[str, Any]:
        """Return settings that train on a CPU core in a quarter of an hour."""
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
