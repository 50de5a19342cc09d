"""The whole path on a procedural world: every stage through its public function, in minutes.

The world has 960 classes (shape x colour x pattern) and boxes for 100 of them; the paper has
5000 and 500. Two detectors learn from the same boxes: plain Faster R-CNN, whose novel classes
borrow the row of their nearest seen class, and AE-WTN.
"""

import time
import zipfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pipelines.config import TrainSettings, validate_settings
from pipelines.data.shapes import ShapesSettings
from pipelines.data.shapes_world import ShapesSplit, ShapesWorld
from pipelines.drawing import montage
from pipelines.errors import Interrupted
from pipelines.evaluate import GroundTruthFiles, evaluate_detector
from pipelines.export import export_head
from pipelines.metrics.scorer import Scoring
from pipelines.predict import Detector
from pipelines.storage import atomic_path
from pipelines.study.runs import EVALUATION_BATCH, HEAD
from pipelines.study.shapes import ITERATIONS, ShapesSource, make_shapes_world
from pipelines.study.worlds import Progress
from pipelines.train import train_detector
from pipelines.training.observer import Observer
from pipelines.training.records import StepRecord, Timing
from pipelines.training.run_folder import CHECKPOINT

METHODS = {
    "faster-rcnn-nn": ("faster-rcnn", "Faster R-CNN, nearest neighbour"),
    "ae-wtn": ("ae-wtn", "AE-WTN"),
}


@dataclass(frozen=True)
class MethodResult:
    """AP50 of one method, between 0 and 1.

    Args:
        key: Its name in the JSON output.
        title: Its name in the table.
        seen: Mean over the classes with boxes.
        novel: Mean over the classes without.
    """

    key: str
    title: str
    seen: float
    novel: float


@dataclass(frozen=True)
class DemoReport:
    """What the demo found.

    Args:
        results: One a method.
        seconds: For everything.
        picture: Detections of AE-WTN: seen classes blue, novel classes red.
        classes: Classes of the classifier.
        seen: Those of them that have boxes.
        seed: Of everything random.
    """

    results: tuple[MethodResult, ...]
    seconds: float
    picture: Path
    classes: int
    seen: int
    seed: int

    def as_dict(self) -> dict[str, object]:
        """Return the report as ``{method: {"seen": x, "novel": x}, "seconds": x, ...}``."""
        methods = {r.key: {"seen": r.seen, "novel": r.novel} for r in self.results}
        facts = {"seconds": self.seconds, "picture": self.picture, "seed": self.seed}
        return methods | facts | {"classes": self.classes, "classes_with_boxes": self.seen}


def run_demo(
    output: Path,
    *,
    seed: int = 0,
    on_progress: Progress = lambda phase, done, total: None,
    world_settings: ShapesSettings | None = None,
    iterations: int = ITERATIONS,
) -> DemoReport:
    """Draw a world, train a classifier and two detectors on it, and compare them.

    Args:
        output: Folder for the world, the artifacts and the picture; what is there is replaced.
        seed: Of everything random.
        on_progress: Called with a phase and how far it is.
        world_settings: Size of the world; by default that of the shipped figures.
        iterations: Training steps of each detector.
    """
    started = time.perf_counter()
    sizes = replace(world_settings or ShapesSettings(), seed=seed)
    folder = output / "world"
    classes = make_shapes_world(folder, sizes, on_progress)
    world, settings = ShapesWorld.at(folder), ShapesSource(iterations).world(folder).settings
    results = []
    for key, (method, title) in METHODS.items():
        options = validate_settings({**settings, "head": {"method": method}, "seed": seed})
        scores = _train_and_score(options, output / method, world, title, on_progress)
        results.append(MethodResult(key, title, **scores))
    picture = _draw_picture(output, world)
    seconds = time.perf_counter() - started
    return DemoReport(tuple(results), seconds, picture, classes, sizes.num_seen, seed)


@dataclass(frozen=True)
class _Follower(Observer):
    """Tells how far the training of one method is."""

    title: str
    on_progress: Progress

    def recorded(self, record: StepRecord, timing: Timing) -> None:
        self.on_progress(f"train {self.title}", record.iteration, record.iterations)


def _train_and_score(
    settings: TrainSettings, run: Path, world: ShapesWorld, title: str, on_progress: Progress
) -> dict[str, float]:
    """Train and export one method; return AP50 on seen and on novel classes."""
    report = train_detector(
        settings,
        run,
        [_Follower(title, on_progress)],
        overwrite=True,
    )
    if report.asked_to_stop:
        raise Interrupted("stopped", where=run)
    head = run / HEAD
    export_head(report.checkpoint, head)
    scores = {}
    for group, split in (("seen", world.val_seen), ("novel", world.val_novel)):
        evaluated = evaluate_detector(
            report.checkpoint,
            head,
            [split.images],
            GroundTruthFiles(split.boxes, split.labels, world.hierarchy),
            scoring=Scoring(classes=group),
            batch_size=EVALUATION_BATCH,
            on_progress=partial(on_progress, f"evaluate {title} on {group} classes"),
        )
        scores[group] = evaluated.metrics.mean_average_precision()
    return scores


def _draw_picture(output: Path, world: ShapesWorld) -> Path:
    """Draw a row of seen scenes over a row of novel ones, each searched for its own classes."""
    run, columns = output / METHODS["ae-wtn"][0], 3
    drawn = []
    for group, split in (("seen", world.val_seen), ("novel", world.val_novel)):
        detector = Detector.load(run / CHECKPOINT, run / HEAD, classes=group, score_threshold=0.3)
        scenes = _unpack(split, columns, output / "scenes")
        drawn += [prediction.draw() for prediction in detector.predict_many(scenes)]
    picture = output / "picture.png"
    with atomic_path(picture) as temporary:
        montage(drawn, columns).save(temporary, format="PNG")
    return picture


def _unpack(split: ShapesSplit, count: int, folder: Path) -> list[Path]:
    """Extract the first scenes of a split."""
    with zipfile.ZipFile(split.images) as archive:
        names = sorted(archive.namelist())[:count]
        return [Path(archive.extract(name, folder)) for name in names]
