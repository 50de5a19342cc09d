"""The same training, done faster: memory format, compiled modules, optimizers of one kernel.

Targets need nothing here: what a label asks of the D classes is a table
(:class:`pipelines.models.losses.LabelTables`), so all RoIs find theirs in one indexing.
"""

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import EngineSettings
from pipelines.errors import ConfigError


def accelerate(model: GeneralizedRCNN, settings: EngineSettings, device: torch.device) -> None:
    """Change in place how a detector computes; what it computes differs by rounding.

    The names of its parameters stay, and so do checkpoints.

    Args:
        model: On ``device``.
        settings: What to change.
        device: Where the model is.

    Raises:
        ConfigError: If modules are to be compiled, and there is no compiler.
    """
    if settings.channels_last:
        _to_channels_last(model)
    if settings.compile:
        refuse_without_compiler(device)
        _compile(model)


def _to_channels_last(model: GeneralizedRCNN) -> None:
    """Lay out what convolves, and the images that it sees."""
    for module in (model.backbone, model.rpn.head):
        module.to(memory_format=torch.channels_last)
    model.backbone.register_forward_pre_hook(_lay_out)


def _lay_out(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    return (given[0].contiguous(memory_format=torch.channels_last),)


def _compile(model: GeneralizedRCNN) -> None:
    """Compile backbone and box head, with sizes of images and numbers of RoIs left open.

    A program made for the size of the first batch would round otherwise than the next, and a run
    that resumes meets another size first. Square images get a program of their own all the same.
    """
    for module in (model.backbone, model.roi_heads.box_head):
        module.compile(dynamic=True)  # in place, unlike torch.compile, which renames parameters


def refuse_without_compiler(device: torch.device) -> None:
    """Compile next to nothing, so that what is missing is told before the training begins.

    Raises:
        ConfigError: If something is.
    """
    try:
        torch.compile(_next_to_nothing)(torch.zeros(2, device=device))
    except (RuntimeError, OSError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ConfigError(
            f"torch.compile does not work here ({lines[0] if lines else type(error).__name__})",
            where="engine.compile",
            mend="Install a C++ compiler (and, for a GPU, triton), or leave engine.compile false.",
        ) from error


def _next_to_nothing(x: Tensor) -> Tensor:
    return x + 1
