"""What a training would take, in numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameters:
    """How many numbers a detector has.

    Args:
        total: All of them.
        trained: Those that an optimizer changes.
        transfer: Those of the transfer network, which the finished detector does without.
    """

    total: int
    trained: int
    transfer: int


@dataclass(frozen=True)
class Speed:
    """How fast the first steps went.

    Args:
        steps: That were taken.
        seconds_per_iteration: Their median without the first, loading of data included.
        images_per_second: At this speed, of all processes.
        data_wait: Share of the time, from 0 to 1, that these steps waited for data.
        memory_bytes: The most that was in use, of the GPU or else resident in this process.
        loss: Of the first step.
        bad_images: Why an image of these steps was skipped, once for each.
    """

    steps: int
    seconds_per_iteration: float
    images_per_second: float
    data_wait: float
    memory_bytes: int
    loss: float
    bad_images: tuple[str, ...] = ()


@dataclass(frozen=True)
class DiskUse:
    """What a run folder needs.

    Args:
        checkpoint_bytes: Of a detector.
        state_bytes: Of what beside it lets a run go on.
        needed_bytes: For all that are kept, and for one that is being written, besides what those
            that are there give back. Storage without hard links needs room for one more detector:
            the newest has two names.
        free_bytes: Where the run folder is, or will be; None if nobody knows.
    """

    checkpoint_bytes: int
    state_bytes: int
    needed_bytes: int
    free_bytes: int | None

    @property
    def fits(self) -> bool:
        """Whether there is room, as far as anybody knows."""
        return self.free_bytes is None or self.needed_bytes <= self.free_bytes


@dataclass(frozen=True)
class PlannedEvaluation:
    """The evaluations during training.

    Args:
        times: How many.
        images: Of each.
        figures: The names of what each measures.
        seconds: For each, reckoned from its first images with the detector as it is at first,
            which finds more candidates than a trained one.
    """

    times: int
    images: int
    figures: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class TrainingPlan:
    """What a training would take.

    Args:
        device: That it would run on.
        processes: That would share each batch.
        precision: Of convolutions and matrix products.
        parameters: Of the detector.
        images: With boxes.
        boxes: To train on.
        seen: Number of classes with boxes and a classifier row.
        other: Number of classes with boxes only.
        novel: Number of classes with a classifier row only.
        iterations: Steps that are left to take.
        batch_size: Images of a step, of all processes.
        passes: How often an image would be shown in them, on average.
        speed: Of the first of these steps.
        hours: For all of them at this speed, evaluations included.
        disk: For the checkpoints.
        evaluation: None if there is none.
    """

    device: str
    processes: int
    precision: str
    parameters: Parameters
    images: int
    boxes: int
    seen: int
    other: int
    novel: int
    iterations: int
    batch_size: int
    passes: float
    speed: Speed
    hours: float
    disk: DiskUse
    evaluation: PlannedEvaluation | None
