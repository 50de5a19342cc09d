"""A step whose loss is not finite: what is kept of it, and what is told about it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.data.batches import Batch
from pipelines.errors import RunError
from pipelines.training.step import StepOutcome

_NAMED = 8  # images, in a message


def batch_as_json(
    iteration: int, batch: Batch, outcome: StepOutcome, class_ids: Sequence[str]
) -> dict[str, Any]:
    """Return what a step failed on as JSON values.

    Args:
        iteration: Of the step.
        batch: That it saw; a mirrored image has mirrored boxes.
        outcome: Of the step.
        class_ids: Of the D classes.
    """
    images = [
        {
            "image_id": image_id,
            "size": [image.shape[2], image.shape[1]],
            "boxes": target["boxes"].tolist(),
            "labels": [class_ids[label - 1] for label in target["labels"].tolist()],
        }
        for image_id, image, target in zip(
            batch.image_ids, batch.images, batch.targets, strict=True
        )
    ]
    losses = {n: v if math.isfinite(v) else str(v) for n, v in outcome.losses.items()}
    return {"iteration": iteration, "losses": losses, "images": images}


def not_finite(culprits: Sequence[str]) -> str:
    """Return ``a is not finite``, or ``a, b and c are not finite``."""
    *others, last = culprits
    return f"{', '.join(others)} and {last} are not finite" if others else f"{last} is not finite"


def nonfinite_error(
    iteration: int, batch: Batch, outcome: StepOutcome, kept: Path, *, replay: str, go_on: str
) -> RunError:
    """Return the error that ends a run.

    Args:
        iteration: Of the step.
        batch: That the step saw.
        outcome: Of the step.
        kept: The folder that holds the state before the step, and the batch.
        replay: The command that takes the step again.
        go_on: How the run goes on from its last checkpoint.
    """
    more = len(batch.image_ids) - _NAMED
    images = ", ".join([*batch.image_ids[:_NAMED], *([f"{more} more"] if more > 0 else [])])
    return RunError(
        f"{not_finite(outcome.culprits)} at iteration {iteration}, on the images {images}",
        where=kept,
        mend="Lower optimizer.learning_rate, warm up longer (schedule.warmup_iterations), or leave "
        f"out such steps with --skip-nonfinite. Take the step again with: {replay}\n{go_on}",
    )
