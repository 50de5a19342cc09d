"""What one training of a world takes here, by the world's cost and by trainings that have ended."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipelines.config import TrainSettings
from pipelines.devices import device_named
from pipelines.environment.hardware import available_cpus
from pipelines.models.detection import build_detector
from pipelines.models.heads import ClassRowSource, build_head
from pipelines.models.losses import LabelTables
from pipelines.study.runs import Row
from pipelines.study.workers import Slot
from pipelines.study.worlds import WorldCost


def device_type(slots: Sequence[Slot]) -> str | None:
    """Return what kind of device all slots are on; None if they differ."""
    types = {device_named(slot.device).type for slot in slots}
    return types.pop() if len(types) == 1 else None


def at_full_speed(slots: Sequence[Slot], timed_on: str | None) -> int | None:
    """Return how many trainings at a time take as long as one; None if nothing tells.

    Args:
        slots: Where they run.
        timed_on: The kind of device whose hours are known: nothing tells those of another, nor
            of a GPU that several share. On processors more trainings than these are no faster.
    """
    if device_type(slots) != timed_on:
        return None
    if timed_on == "cpu":
        return min(len(slots), available_cpus())
    shared = len({device_named(slot.device).index or 0 for slot in slots}) < len(slots)
    return None if shared else len(slots)


def slowness(finished: Sequence[Row], cost: WorldCost, device: str | None) -> list[float]:
    """Return how many times the expected seconds each training took of which that is known.

    Args:
        finished: Rows that are trained.
        cost: Of the world.
        device: The kind on which a training must have run to count.
    """
    factors = []
    for row in finished:
        if _trained_on(row.training_record().machine) != device:
            continue
        settings = row.settings()
        images = settings.schedule.iterations * settings.schedule.batch_size
        expected = images * cost.seconds_per_image[settings.head.method]
        factors.append(row.log().seconds / expected)
    return [factor for factor in factors if not math.isnan(factor)]


def _trained_on(machine: Mapping[str, Any]) -> str:
    """Return the kind of device of a training's record; empty if it is not known."""
    return ("cuda" if "gpu" in machine else "cpu") if machine else ""


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
