"""What the order of the images costs where every read of an archive takes long."""

import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from pipelines.benchmarks.boxed_images import dataset_of
from pipelines.config import DataSettings
from pipelines.data.image_bytes import Archive
from pipelines.data.image_order import ImageOrder, uniform_order
from pipelines.data.images import ImageStore
from pipelines.data.loader import TrainingLoader
from pipelines.data.samplers import TrainingSampler
from pipelines.data.sequential_order import SequentialOrder
from pipelines.errors import ConfigError

_BATCH_SIZE = 8  # of the paper
_BUFFER: int = DataSettings.model_fields["shuffle_buffer"].default
_TIMED = 256  # steps, after as many images as the buffer holds


@dataclass(frozen=True)
class StorageCost:
    """What a sampler makes of storage, read by one process once the shuffle buffer is full.

    Args:
        sampler: Which.
        images: That were asked for.
        images_per_second: Read and decoded.
        reads: Of archives.
        mean_read_bytes: Of these.
        bytes_read_share: All that was read, as a share of what so many images have.
    """

    sampler: str
    images: int
    images_per_second: float
    reads: int
    mean_read_bytes: float
    bytes_read_share: float


class _SlowArchive(Archive):
    """An archive whose reads take longer, and are noted down."""

    def __init__(self, path: Path, size: int, latency: float, reads: list[int]) -> None:
        super().__init__(path, size)
        self._latency, self._reads = latency, reads

    def read(self, start: int, length: int) -> bytes:
        time.sleep(self._latency)
        self._reads.append(length)
        return super().read(start, length)


def compare_samplers(store: ImageStore, latency: float) -> tuple[StorageCost, ...]:
    """Measure random and sequential order.

    Args:
        store: The images, in archives.
        latency: Seconds that each read takes longer.

    Raises:
        ConfigError: If an image lies outside archives, where nobody lies side by side.
    """
    dataset = dataset_of(store)
    layout = store.layout([dataset.image_id(row) for row in range(len(dataset))])
    if not layout.length.all():
        raise ConfigError(
            "a latency tells something about archives alone",
            where=store.places,
            mend="Pack the images: tar -cf images.tar FOLDER",
        )
    orders: dict[str, ImageOrder | SequentialOrder] = {
        "uniform": uniform_order(len(dataset)),
        "sequential": SequentialOrder.of(layout.order, layout.length, _BUFFER),
    }
    return tuple(_cost(sampler, store, order, latency) for sampler, order in orders.items())


def _cost(
    sampler: str, store: ImageStore, order: ImageOrder | SequentialOrder, latency: float
) -> StorageCost:
    reads: list[int] = []
    slow = partial(_SlowArchive, latency=latency, reads=reads)
    dataset = dataset_of(ImageStore.from_columns(store.sources, store.columns(), slow))
    steps = _BUFFER // _BATCH_SIZE
    looks = TrainingSampler(
        order, batch_size=_BATCH_SIZE, iterations=steps + _TIMED, flip=0.5, seed=0
    )
    batches = iter(TrainingLoader(dataset.reading_ahead(2 * _BUFFER), looks, workers=0))
    for _ in islice(batches, steps):
        pass
    reads.clear()
    started = time.perf_counter()
    ids = [image_id for batch in batches for image_id in batch.image_ids]
    seconds = time.perf_counter() - started
    own = int(store.layout(ids).length.sum())
    return StorageCost(
        sampler, len(ids), len(ids) / seconds, len(reads), sum(reads) / len(reads), sum(reads) / own
    )
