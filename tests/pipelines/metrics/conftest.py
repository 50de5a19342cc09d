"""Small worlds for the metrics: tables from rows, in pixels of a 1000 x 1000 image; and teams."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable, Source
from pipelines.data.predictions import PredictionTable
from pipelines.data.splits import assemble
from pipelines.distributed import Team
from pipelines.metrics.evaluation import Evaluated, Protocol, evaluate_blocks
from pipelines.metrics.rules import Rules
from pipelines.vocabulary import Vocabulary

SIDE = 1000

Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True)
class World:
    """What a metric is given."""

    boxes: BoxTable
    labels: ImageLabelTable | None
    predictions: PredictionTable

    @property
    def annotations(self) -> Annotations:
        """The ground truth as one split."""
        tables = [] if self.labels is None else [self.labels]
        vocabulary = Vocabulary(self.boxes.class_ids, self.boxes.class_ids)
        return assemble([self.boxes], tables, vocabulary)

    def evaluate(
        self,
        rules: Rules,
        class_ids: Sequence[str],
        protocol: Protocol,
        groups: Sequence[str] = (),
    ) -> Evaluated:
        """Score the predictions, given as one block."""
        blocks = [self.predictions]
        return evaluate_blocks(rules, self.annotations, blocks, class_ids, protocol, groups)


@dataclass(frozen=True)
class Threads(Team):
    """A team of threads, for which a call that one of them does not make ends in an error."""

    values: dict[int, object] = field(default_factory=dict)
    gate: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    def gather_objects(self, value: object) -> list[object]:
        """Return the value of every thread, by rank."""
        self.values[self.rank] = value
        self.gate.wait(10)
        gathered = [self.values[rank] for rank in range(self.size)]
        self.gate.wait(10)
        return gathered


@pytest.fixture
def together() -> Callable[[int, Callable[[Team], object]], list[object]]:
    """Return a function that gives what each of a team returns or raises, by rank."""
    return _together


def _together(size: int, work: Callable[[Team], object]) -> list[object]:
    values: dict[int, object] = {}
    gate = threading.Barrier(size)

    def run(rank: int) -> object:
        try:
            return work(Threads(rank=rank, size=size, values=values, gate=gate))
        except Exception as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))


@pytest.fixture(scope="session")
def tables() -> Callable[..., World]:
    """Return the builder of small worlds."""
    return _world


def _world(boxes: Rows, predictions: Rows, labels: Rows | None = None) -> World:
    """Take (image, class, box, group), (image, class, box, score) and (image, class, present)."""
    box_table = BoxTable.of(
        Source(Path("boxes.csv")),
        np.arange(len(boxes)) + 2,
        **_ids(boxes),
        boxes=_unit_boxes(boxes),
        group_of=np.array([row[3] for row in boxes], np.bool_),
    )
    score = np.array([row[3] for row in predictions], np.float64)
    found = PredictionTable(**_ids(predictions), boxes=_unit_boxes(predictions), score=score)
    if labels is None:
        return World(box_table, None, found)
    positive = np.array([row[2] for row in labels], np.bool_)
    return World(box_table, ImageLabelTable(**_ids(labels), positive=positive), found)


def _ids(rows: Rows) -> dict[str, Any]:
    image_ids = tuple(sorted({row[0] for row in rows}))
    class_ids = tuple(sorted({row[1] for row in rows}))
    return {
        "image_ids": image_ids,
        "image": np.array([image_ids.index(row[0]) for row in rows], np.int64),
        "class_ids": class_ids,
        "label": np.array([class_ids.index(row[1]) for row in rows], np.int64),
    }


def _unit_boxes(rows: Rows) -> np.ndarray:
    return np.array([row[2] for row in rows], np.float64).reshape(-1, 4) / SIDE
