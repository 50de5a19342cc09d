"""What detecting costs: ours with several vocabularies in turn, torchvision's with one.

Shapes: M RoIs of an image, K classes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops.boxes import clip_boxes_to_image

from pipelines.benchmarks.inference_models import (
    BACKGROUND_LOGIT,
    InferenceSetup,
    Prepared,
    class_rows,
    prepare,
    torchvision_detector,
)
from pipelines.benchmarks.stage_clock import seconds_of, stage_clock
from pipelines.memory import peak_rss_bytes
from pipelines.models.inference import in_precision
from pipelines.models.postprocess import Selection, select_detections

Result = TypeVar("Result")
Stages = Mapping[str, float]  # seconds by name
SECONDS = 60.0  # of one measurement, after which it is not repeated


@dataclass(frozen=True)
class TorchvisionCost:
    """What torchvision's detector costs, and post-processing the same logits its way and ours.

    Args:
        passes: The stages of each pass.
        peak_bytes: The most memory held until then; on a GPU, allocated there.
        postprocess_seconds: Of its ``postprocess_detections``, each run.
        our_postprocess_seconds: Of ours on the same logits and boxes, each run.
    """

    passes: tuple[Stages, ...]
    peak_bytes: int
    postprocess_seconds: tuple[float, ...]
    our_postprocess_seconds: tuple[float, ...]


@torch.inference_mode()
def our_passes(
    setup: InferenceSetup, classes: Sequence[int], runs: int
) -> Iterator[dict[int, Stages]]:
    """Yield round by round the stages of a pass with each vocabulary; the first is a warm-up.

    The vocabularies take turns, so that what else the machine does slows all of them down.
    """
    threads = torch.get_num_threads()
    try:
        prepared = prepare(setup)
        heads = {k: class_rows(prepared.x, k) for k in classes}
        for _ in range(runs + 1):
            stages = {}
            for k, head in heads.items():
                prepared.model.roi_heads.class_head = head
                stages[k] = _pass(prepared, prepared.model, setup)
            yield stages
    finally:
        torch.set_num_threads(threads)  # the caller's, who goes on in this process


@torch.inference_mode()
def our_peak_bytes(setup: InferenceSetup, classes: int) -> int:
    """Return the most memory that two passes need, in a process of their own."""
    prepared = _with_classes(setup, classes)
    for _ in range(2):
        _pass(prepared, prepared.model, setup)
    return _peak_bytes(setup)


@torch.inference_mode()
def torchvision_cost(setup: InferenceSetup, classes: int, runs: int) -> TorchvisionCost:
    """Measure torchvision's detector in a process of its own, after a warm-up if there is time."""
    prepared = _with_classes(setup, classes)
    stock = torchvision_detector(prepared.model)
    passes = _repeated(partial(_pass, prepared, stock, setup), runs, _total)
    peak = _peak_bytes(setup)
    theirs, ours = _postprocessors(prepared, stock)
    return TorchvisionCost(
        tuple(passes),
        peak,
        tuple(_repeated(partial(seconds_of, theirs, setup.device), runs, float)),
        tuple(_repeated(partial(seconds_of, ours, setup.device), runs, float)),
    )


def _with_classes(setup: InferenceSetup, classes: int) -> Prepared:
    prepared = prepare(setup)
    prepared.model.roi_heads.class_head = class_rows(prepared.x, classes)
    return prepared


def _pass(prepared: Prepared, model: GeneralizedRCNN, setup: InferenceSetup) -> Stages:
    with (
        in_precision(setup.precision, torch.device(setup.device)),
        stage_clock(model, setup.device) as seconds,
    ):
        model([prepared.image])
    return seconds


def _total(stages: Stages) -> float:
    return sum(stages.values())


def _repeated(
    run: Callable[[], Result], runs: int, seconds: Callable[[Result], float]
) -> list[Result]:
    """Run after a warm-up, until the time is over; what is slow from the start has no warm-up."""
    first = run()
    if seconds(first) > SECONDS / 2:
        return [first]
    done: list[Result] = []
    while len(done) < runs and sum(map(seconds, done)) < SECONDS:
        done.append(run())
    return done


def _peak_bytes(setup: InferenceSetup) -> int:
    if torch.device(setup.device).type == "cuda":
        return torch.cuda.max_memory_allocated(setup.device)
    return peak_rss_bytes()


def _postprocessors(
    prepared: Prepared, stock: GeneralizedRCNN
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return torchvision's post-processing and ours, of the same float32 logits and deltas.

    Torchvision's wants a column for background and the deltas once for each class: both are made
    beforehand, as its predictor would, and do not count.
    """
    heads, given = prepared.model.roi_heads, []
    hook = heads.register_forward_pre_hook(lambda module, inputs: given.extend(inputs))
    prepared.model([prepared.image])
    hook.remove()
    features, proposals, shapes = given[:3]
    x = heads.box_head(heads.box_roi_pool(features, proposals, shapes))
    logits, deltas = heads.class_head(x), heads.bbox_pred(x)
    background = torch.full_like(logits[:, :1], BACKGROUND_LOGIT)
    tiled = deltas.repeat(1, 1 + logits.shape[1])
    theirs = partial(
        stock.roi_heads.postprocess_detections,
        torch.cat([background, logits], dim=1),
        tiled,
        proposals,
        shapes,
    )
    chosen = Selection(heads.score_thresh, heads.nms_thresh, heads.detections_per_img)

    def ours() -> object:
        boxes: Tensor = heads.box_coder.decode(deltas, proposals).reshape(-1, 4)
        return select_detections(clip_boxes_to_image(boxes, shapes[0]), logits, chosen)

    return theirs, ours
