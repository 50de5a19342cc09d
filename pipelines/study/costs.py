"""What one training of a world takes here, by the world's cost and by trainings that have ended."""

from collections.abc import Sequence
from contextlib import suppress

import torch

from pipelines.config import TrainSettings
from pipelines.devices import device_named
from pipelines.errors import ArtifactError
from pipelines.models.detection import build_detector
from pipelines.models.heads import ClassRowSource, build_head
from pipelines.models.losses import LabelTables
from pipelines.study.runs import Row
from pipelines.study.workers import Slot
from pipelines.study.worlds import WorldCost


def side_by_side(slots: Sequence[Slot], cost: WorldCost) -> int:
    """Return how many trainings at a time take what one of the world's cost does.

    That is told of a core or of a GPU: nothing is known of another device, nor of a shared GPU.
    """
    devices = [device_named(slot.device) for slot in slots]
    shared = len({device.index or 0 for device in devices}) < len(devices)
    known = all(device.type == cost.device for device in devices)
    return len(slots) if known and not (shared and cost.device == "cuda") else 1


def slowness(finished: Sequence[Row], cost: WorldCost) -> list[float]:
    """Return how many times the expected seconds each training took whose log can be read."""
    factors = []
    for row in finished:
        settings = row.settings()
        images = settings.schedule.iterations * settings.schedule.batch_size
        expected = images * cost.seconds_per_image[settings.head.method]
        with suppress(ArtifactError):
            factors.append(row.log().seconds / expected)
    return factors


def checkpoint_bytes(settings: TrainSettings, cost: WorldCost) -> int:
    """Return the size of a checkpoint: the detector, its head, and the classifier's rows.

    The detector is put together without memory for its numbers.
    """
    with torch.device("meta"):
        rows = torch.empty(cost.classes, cost.width)
        seen = torch.arange(cost.seen)
        head = build_head(
            settings.head, ClassRowSource(rows, seen, seen, seen[:0]), settings.detector.roi_width
        )
        tables = LabelTables(*(torch.empty(0) for _ in LabelTables._fields))
        model = build_detector(settings.backbone, settings.detector, head, tables)
    state = [*model.state_dict().values(), rows]
    return int(sum(tensor.numel() * tensor.element_size() for tensor in state))
