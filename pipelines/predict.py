"""Stage 5: detect in pictures, list what was found, and draw it.

Shapes: H and W of a picture in pixels, K classes that are looked for.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import DetectionHead
from pipelines.config import Precision
from pipelines.data.class_choice import choose_rows
from pipelines.data.class_thresholds import read_thresholds
from pipelines.data.image_inputs import OnError, find_images, stop
from pipelines.data.image_prediction import Detection, Prediction
from pipelines.data.pictures import Picture, ReadPicture, read_file, read_picture
from pipelines.devices import resolve_device
from pipelines.errors import ConfigError, DatasetError
from pipelines.models.calibration import shift_novel
from pipelines.models.checkpoints import load_detector
from pipelines.models.inference import ImageDetections, detect
from pipelines.models.offline import load_head
from pipelines.models.reporting import ReportRules
from pipelines.vocabulary import Vocabulary

__all__ = ["Detection", "Detector", "Prediction"]


class Detector:
    """A detector at work: ``Detector.load(checkpoint, head).predict("photo.jpg").draw()``.

    Args:
        model: In evaluation mode; its labels are rows of ``head``.
        head: The K classes that are looked for.
        device: Where the model runs.
        rules: Which detections are reported.
        precision: Of convolutions and matrix products.
    """

    def __init__(
        self,
        model: GeneralizedRCNN,
        head: DetectionHead,
        device: torch.device,
        rules: ReportRules,
        precision: Precision = "float32",
    ) -> None:
        self._model, self._head = model.to(device), head
        self._device, self._rules, self._precision = device, rules, precision
        rules.set_up(model)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        head: str | Path | None = None,
        *,
        classes: str = "all",
        score_threshold: float = 0.5,
        thresholds: str | Path | None = None,
        all_labels: bool = False,
        top_k: int | None = None,
        novel_shift: float = 0.0,
        device: str = "auto",
        precision: Precision = "float32",
    ) -> Self:
        """Read a detector.

        Args:
            checkpoint: A trained detector, or a folder made by ``wtn export --format directory``.
            head: Exported from it; None computes that of all classes of its classifier, which
                serves every method, also the one that no head file serves (``zsd``).
            classes: Which of the head's classes to look for.
            score_threshold: Report what scores above this.
            thresholds: A CSV of ``LabelName,Threshold`` for the classes that have their own.
            all_labels: Report every class of an object, not only the one that scores highest.
            top_k: Report so many of an image's best at most.
            novel_shift: Added to the logits of novel classes, see :func:`shift_novel`.
            device: ``auto``, ``cpu``, ``cuda``, ...
            precision: Of convolutions and matrix products.

        Raises:
            WTNError: For inputs that are bad or do not belong together.
        """
        _refuse_settings(score_threshold, top_k)
        target = resolve_device(device)
        checkpoint, head = Path(checkpoint), None if head is None else Path(head)
        full = shift_novel(load_head(checkpoint, head), novel_shift)
        rows = choose_rows(classes, full.vocabulary, full.groups)
        above = np.full(len(full.vocabulary), score_threshold)
        if thresholds is not None:
            above = read_thresholds(Path(thresholds), full.vocabulary, score_threshold)
        rules = ReportRules(torch.tensor(above[rows], dtype=torch.float32), all_labels, top_k)
        chosen = full.subset(rows)
        return cls(load_detector(checkpoint, chosen), chosen, target, rules, precision)

    @property
    def vocabulary(self) -> Vocabulary:
        """The K classes that are looked for; ``Prediction.rows`` counts them."""
        return self._head.vocabulary

    def predict(self, picture: Picture) -> Prediction:
        """Detect in one picture.

        Args:
            picture: A file, which is turned as its EXIF orientation says; or pixels, which are
                taken as they are: a PIL image, a uint8 RGB tensor ``[3, H, W]`` or a uint8 RGB
                array ``[H, W, 3]``.

        Raises:
            ConfigError: If it is nothing of the kind.
            DatasetError: If it does not decode, or is too thin to be resized.
        """
        (found,) = self._detect([read_picture(picture)], stop)
        return found

    def predict_many(
        self, images: Iterable[str | Path], *, batch_size: int = 4, on_error: OnError = stop
    ) -> Iterator[Prediction]:
        """Detect in every picture, one by one, in their order.

        Args:
            images: Files, folders and patterns, as :func:`find_images` takes them.
            batch_size: Images a pass.
            on_error: Called for each bad picture, after what was found in those before it.

        Raises:
            DatasetError: From ``on_error``; by default it raises it.
        """
        remaining = iter(find_images([Path(image) for image in images], on_error))
        while batch := list(islice(remaining, batch_size)):
            yield from self._detect_files(batch, on_error)

    def _detect_files(self, files: Sequence[Path], on_error: OnError) -> Iterator[Prediction]:
        read: list[ReadPicture] = []
        for file in files:
            try:
                read.append(read_picture(file))
            except DatasetError as error:
                yield from self._detect(read, on_error)
                read = []
                on_error(error)
        yield from self._detect(read, on_error)

    def _detect(self, read: Sequence[ReadPicture], on_error: OnError) -> Iterator[Prediction]:
        pairs = ((str(picture.image or "the picture"), picture.pixels) for picture in read)
        try:
            found = list(
                detect(
                    self._model, pairs, self._device, max(1, len(read)), precision=self._precision
                )
            )
        except DatasetError as error:  # about one of them, and the others are fine
            if len(read) == 1:
                on_error(error)
                return
            for picture in read:
                yield from self._detect([picture], on_error)
            return
        for picture, of_picture in zip(read, found, strict=True):
            yield self._describe(picture, of_picture)

    def _describe(self, picture: ReadPicture, detections: ImageDetections) -> Prediction:
        classes, groups = self._head.vocabulary, self._head.groups
        boxes, scores, rows = (p.tolist() for p in self._rules.select(detections.found))
        objects = tuple(
            Detection(classes.ids[row], classes.names[row], groups[row], row, score, tuple(box))
            for box, score, row in zip(boxes, scores, rows, strict=True)
        )
        file, (height, width) = picture.image, detections.size
        pixels = (lambda: picture.pixels) if file is None else partial(read_file, file)
        return Prediction(file, width, height, objects, pixels)


def _refuse_settings(score_threshold: float, top_k: int | None) -> None:
    if not 0 <= score_threshold <= 1:
        raise ConfigError(f"a score threshold of {score_threshold} is not between 0 and 1")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k is {top_k}, and at least 1 makes sense")
