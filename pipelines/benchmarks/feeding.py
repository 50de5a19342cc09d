"""How many images a second worker processes bring into batches, against what a GPU takes.

Shapes: I images.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.benchmarks.boxed_images import dataset_of
from pipelines.benchmarks.drawn_photos import write_photos
from pipelines.benchmarks.slow_storage import StorageCost, compare_samplers
from pipelines.data.detection import DetectionDataset
from pipelines.data.image_order import uniform_order
from pipelines.data.images import open_images
from pipelines.data.loader import TrainingLoader
from pipelines.data.samplers import TrainingSampler
from pipelines.environment.hardware import available_cpus

APPETITES = (10.0, 50.0, 100.0)  # images/s, where nobody says what the GPU takes
_BATCH_SIZE = 8  # of the paper
_BATCHES = 16  # that each worker reads while it is timed; as many again before it
_DRAWN = 24
_MOST_IMAGES = 2000  # of a store: the first ones
_MOST_WORKERS = 16


@dataclass(frozen=True)
class WorkerSpeed:
    """What some worker processes bring.

    Args:
        workers: How many.
        images_per_second: Read, decoded, mirrored and put into batches: the median of the runs.
        per_worker: Of that, the part of each.
    """

    workers: int
    images_per_second: float
    per_worker: float


@dataclass(frozen=True)
class Appetite:
    """What keeps a GPU busy.

    Args:
        images_per_second: That it trains on.
        workers: Processes that bring as many, each as fast as in the largest number measured.
        cpus_suffice: Whether there is a processor for each of them.
    """

    images_per_second: float
    workers: int
    cpus_suffice: bool


@dataclass(frozen=True)
class Feeding:
    """How fast images come.

    Args:
        images: Different ones that were read, over and over.
        mean_bytes: Of their files.
        mean_pixels: Of the images.
        drawn: Whether they were drawn for the measurement.
        speeds: By number of workers.
        appetites: How many workers it takes.
        storage: What slow storage makes of the samplers, where a latency was given.
        runs: Of each number of workers.
        cpus: Processors that the process may use.
    """

    images: int
    mean_bytes: float
    mean_pixels: float
    drawn: bool
    speeds: tuple[WorkerSpeed, ...]
    appetites: tuple[Appetite, ...]
    storage: tuple[StorageCost, ...]
    runs: int
    cpus: int


def benchmark_feeding(
    photos: Sequence[Path] = (),
    *,
    appetites: Sequence[float] = APPETITES,
    workers: int | None = None,
    runs: int = 3,
    latency: float | None = None,
) -> Feeding:
    """Time what training does with images before they go to the GPU.

    Args:
        photos: Folders, zip and tar files; without any, JPEGs of 1024 x 768 are drawn.
        appetites: Images a second that a GPU takes.
        workers: The most processes to time; without it as many as there are processors, 16 at most.
        runs: How often each number of them is timed.
        latency: Seconds that each read of an archive is to take longer, to compare the samplers.

    Raises:
        ConfigError: If there is a latency and an image outside archives.
        DatasetError: If an image is bad.
    """
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn.zip"
        if not photos:
            write_photos(drawn, _DRAWN)
        store = open_images(*(photos or (drawn,)))
        dataset = dataset_of(store, _MOST_IMAGES)
        ids = [dataset.image_id(row) for row in range(len(dataset))]
        most = workers or min(available_cpus(), _MOST_WORKERS)
        speeds = [_speed(dataset, count, runs) for count in _doubling(most)]
        return Feeding(
            images=len(ids),
            mean_bytes=statistics.fmean(len(store.read_bytes(image_id)) for image_id in ids),
            mean_pixels=float(store.sizes(ids).astype(np.int64).prod(axis=1).mean()),
            drawn=not photos,
            speeds=tuple(speeds),
            appetites=tuple(_appetite(wanted, speeds[-1].per_worker) for wanted in appetites),
            storage=() if latency is None else compare_samplers(store, latency),
            runs=runs,
            cpus=available_cpus(),
        )


def _appetite(wanted: float, per_worker: float) -> Appetite:
    workers = math.ceil(wanted / per_worker)
    return Appetite(wanted, workers, workers <= available_cpus())


def _doubling(most: int) -> list[int]:
    """Return 1, 2, 4 and so on, and the most."""
    counts = [1 << power for power in range(most.bit_length())]
    return sorted({*counts, most})


def _speed(dataset: DetectionDataset, workers: int, runs: int) -> WorkerSpeed:
    rate = statistics.median(_rate(dataset, workers, seed) for seed in range(runs))
    return WorkerSpeed(workers, rate, rate / workers)


def _rate(dataset: DetectionDataset, workers: int, seed: int) -> float:
    """Return images a second once the workers are under way."""
    timed = _BATCHES * workers
    sampler = TrainingSampler(
        uniform_order(len(dataset)),
        batch_size=_BATCH_SIZE,
        iterations=2 * timed,
        flip=0.5,
        seed=seed,
    )
    batches = iter(TrainingLoader(dataset, sampler, workers))
    _exhaust(islice(batches, timed))
    started = time.perf_counter()
    _exhaust(batches)
    return timed * _BATCH_SIZE / (time.perf_counter() - started)


def _exhaust(batches: Iterable[object]) -> None:
    for _ in batches:
        pass
