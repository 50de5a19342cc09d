"""Two optimizers that step on one loss: SGD for the detector, AdamW for the transfer network.

Source: the release (xternalz/AE-WTN, solver/build.py and solver/lr_scheduler.py).
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, AdamW, Optimizer

from pipelines.config import OptimizerSettings, ScheduleSettings
from pipelines.errors import ArtifactError
from pipelines.models.wtn import NORMS, WeightTransfer

Groups = list[dict[str, object]]
FUSED_ON = ("cpu", "cuda")  # devices that SGD and AdamW have a fused kernel for (torch 2.11)
_KINDS = ("sgd", "adamw")


class Optimizers:
    """SGD and, when the head transfers weights, AdamW, with their schedules.

    The rates are those of the first step until :meth:`set_rates` moves them.

    Args:
        model: The detector; parameters that do not train are left out.
        optimizer: Rates and decays.
        schedule: Warm-up and steps.
        fused: Step in one kernel where the device has one, else as torch chooses.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: OptimizerSettings,
        schedule: ScheduleSettings,
        *,
        fused: bool = False,
    ) -> None:
        fused = fused and next(model.parameters()).device.type in FUSED_ON
        transfer = [module for module in model.modules() if isinstance(module, WeightTransfer)]
        sgd = SGD(
            _detector_groups(model, transfer, optimizer),
            lr=optimizer.learning_rate,
            momentum=optimizer.momentum,
            fused=fused or None,
        )
        self._max_gradient_norm = optimizer.max_gradient_norm
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._schedule = schedule
        self._all: list[Optimizer] = [sgd]
        if transfer:
            adamw = AdamW(
                _transfer_groups(transfer, optimizer.transfer_weight_decay),
                lr=optimizer.transfer_learning_rate,
                fused=fused or None,
            )
            self._all.append(adamw)
        for group in (group for one in self._all for group in one.param_groups):
            group["initial_lr"] = group["lr"]
        self.set_rates(0)

    @property
    def learning_rates(self) -> dict[str, float]:
        """The rate that each optimizer takes next, without the factor on biases."""
        names = ("lr", "lr_transfer")
        rates = [float(optimizer.param_groups[0]["lr"]) for optimizer in self._all]
        return dict(zip(names, rates, strict=False))

    def set_rates(self, iteration: int) -> None:
        """Set the rates of the step that comes after so many iterations."""
        gammas = (self._schedule.gamma, self._schedule.transfer_gamma)
        for optimizer, gamma in zip(self._all, gammas, strict=False):
            factor = rate_factor(iteration, self._schedule, gamma)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimizer in self._all:
            optimizer.zero_grad(set_to_none=True)

    def unscale(self, scaler: GradScaler) -> None:
        """Divide all gradients by the scale of the loss."""
        for optimizer in self._all:
            scaler.unscale_(optimizer)

    def step(self) -> None:
        """Take one step with each optimizer."""
        if self._max_gradient_norm is not None:
            detector = (p for group in self._all[0].param_groups for p in group["params"])
            clip_grad_norm_(detector, self._max_gradient_norm)
        for optimizer in self._all:
            optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """Return what the optimizers gathered, by ``optimizer.quantity.parameter``."""
        return {
            f"{kind}.{quantity}.{self._names[id(parameter)]}": value
            for kind, optimizer in zip(_KINDS, self._all, strict=False)
            for parameter, quantities in optimizer.state.items()
            for quantity, value in quantities.items()
            if isinstance(value, Tensor)  # None is momentum that there is not
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` returned.

        Raises:
            ArtifactError: If it is of other parameters.
        """
        gathered: dict[tuple[str, str], dict[str, Tensor]] = defaultdict(dict)
        for name, value in state.items():
            kind, quantity, parameter = name.split(".", 2)
            gathered[kind, parameter][quantity] = value
        for kind, optimizer in zip(_KINDS, self._all, strict=False):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            found = [
                _laid_out_as(p, gathered.pop((kind, self._names[id(p)]), {})) for p in parameters
            ]
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": dict(enumerate(found)), "param_groups": groups})
        if gathered:
            raise ArtifactError(f"state of {next(iter(gathered))[1]}, which does not train")


def rate_factor(iteration: int, schedule: ScheduleSettings, gamma: float) -> float:
    """Return the multiple of the base rate at an iteration: linear warm-up, then steps."""
    factor = gamma ** bisect_right(schedule.steps, iteration)
    if iteration >= schedule.warmup_iterations:
        return factor
    progress = iteration / schedule.warmup_iterations
    return factor * (schedule.warmup_factor * (1 - progress) + progress)


def _laid_out_as(parameter: nn.Parameter, quantities: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return quantities in the memory format of their parameter, which fused steps rely on."""
    found = dict(quantities)
    for name in quantities.keys() - {"step"}:
        if found[name].shape != parameter.shape:
            shapes = f"{list(found[name].shape)} for {list(parameter.shape)}"
            raise ArtifactError(f"{name} of another size: {shapes}")
        found[name] = torch.empty_like(parameter).copy_(found[name])
    return found


def _detector_groups(
    model: nn.Module, transfer: list[WeightTransfer], settings: OptimizerSettings
) -> Groups:
    """Put biases in a group of their own: a higher rate, and no weight decay."""
    elsewhere = {id(parameter) for module in transfer for parameter in module.parameters()}
    named = [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and id(parameter) not in elsewhere
    ]
    weights = [parameter for name, parameter in named if not name.endswith("bias")]
    biases = [parameter for name, parameter in named if name.endswith("bias")]
    bias_rate = settings.learning_rate * settings.bias_rate_factor
    return [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": biases, "weight_decay": 0.0, "lr": bias_rate},
    ]


def _transfer_groups(transfer: list[WeightTransfer], weight_decay: float) -> Groups:
    """Decay the linear layers, biases included, but not the normalisations."""
    return [
        {"params": list(_of_kind(transfer, norm=False)), "weight_decay": weight_decay},
        {"params": list(_of_kind(transfer, norm=True)), "weight_decay": 0.0},
    ]


def _of_kind(transfer: list[WeightTransfer], *, norm: bool) -> Iterator[nn.Parameter]:
    for module in transfer:
        for layer in module:
            if isinstance(layer, NORMS) == norm:
                yield from layer.parameters()
