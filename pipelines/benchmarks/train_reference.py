"""Torchvision's reference training loop, run from a checkout as it is.

Only its ``train_one_epoch`` runs, so its evaluator and what that needs are not imported.
"""

import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path

import torch
from torch.amp import GradScaler
from torch.optim import SGD

from pipelines.benchmarks.stand_ins import imports_from, require_files, stand_in
from pipelines.benchmarks.train_models import drawn_detector
from pipelines.benchmarks.train_setup import PLAIN, TrainSetup, draw_batch, train_settings

REPOSITORY = "pytorch/vision"
_FOLDER = Path("references") / "detection"
_FILES = tuple(str(_FOLDER / name) for name in ("engine.py", "utils.py"))
_OF_EVALUATION = (("coco_eval", "CocoEvaluator"), ("coco_utils", "get_coco_api_from_dataset"))
_NOT_FIRST_EPOCH = 1  # in the first it warms the rate up


def reason_to_skip(setup: TrainSetup, checkout: Path | None) -> str | None:
    """Return why the loop is not measured, or None.

    Raises:
        ConfigError: If the folder is no checkout.
    """
    if checkout is None:
        return "no checkout of pytorch/vision was named with --reference"
    require_files(checkout, _FILES, REPOSITORY)
    on_gpu = torch.device(setup.device).type == "cuda"
    if setup.precision == "float32" or (on_gpu and setup.precision == "float16"):
        return None
    return f"its engine.py has no {setup.precision} on this device"


class ReferenceTurn:
    """Takes steps with ``train_one_epoch``, of the same detector on the same images.

    It gets what its own loader gives it, float32 images, and steps with torch's SGD.

    Args:
        setup: Sizes, device and precision.
        checkout: Of pytorch/vision.
    """

    def __init__(self, setup: TrainSetup, checkout: Path) -> None:
        settings = train_settings(setup, PLAIN, {})
        self._train, self._device = _import_loop(checkout), torch.device(setup.device)
        self._model = drawn_detector(setup, settings)
        self._optimizer = SGD(
            [parameter for parameter in self._model.parameters() if parameter.requires_grad],
            lr=settings.optimizer.learning_rate,
            momentum=settings.optimizer.momentum,
            weight_decay=settings.optimizer.weight_decay,
        )
        batch = draw_batch(setup)
        self._batch = (batch.pixels, batch.targets)
        self._scaler = GradScaler(self._device.type) if setup.precision == "float16" else None

    def __call__(self, steps: int) -> None:
        """Take steps, and then let go of the gradients."""
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.cuda.amp", FutureWarning)
            warnings.filterwarnings("ignore", "User provided device_type of 'cuda'", UserWarning)
            self._train(
                self._model,
                self._optimizer,
                [self._batch] * steps,
                self._device,
                epoch=_NOT_FIRST_EPOCH,
                print_freq=steps,
                scaler=self._scaler,
            )
        self._optimizer.zero_grad()


def _import_loop(checkout: Path) -> Callable[..., object]:
    """Return the loop; its modules have names that anybody may use, and are not kept."""
    stand_ins = [stand_in(name, **{member: None}) for name, member in _OF_EVALUATION]
    with imports_from(checkout / _FOLDER, stand_ins):
        train: Callable[..., object] = import_module("engine").train_one_epoch
    for name in ("engine", "utils"):
        del sys.modules[name]
    return train
