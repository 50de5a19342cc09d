"""One step of a training: the gradients of a whole batch, then both optimizers or neither.

Shapes: B images of a process's share of the batch, m of one pass, D detection classes, R RoI
feature width.

A step is a function of the weights, the seed, the iteration and the batch. How the batch is cut, in
processes or in passes, changes it by rounding only, as long as images of different sizes do not
come together: those of a pass are padded to the largest, and padding moves the anchors
(``data.group_by_aspect_ratio`` keeps most of them alike). In time, rounding decides otherwise which
of two proposals stays. Batch norm that trains sees a pass at a time, of all processes on GPUs and
of one on CPUs.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from pipelines.config import TrainSettings
from pipelines.data.batches import Target
from pipelines.distributed import ALONE, Team
from pipelines.errors import ConfigError
from pipelines.models.heads import ClassWeightHead
from pipelines.models.inference import in_precision
from pipelines.models.sampling import Draw, samplers_of, seed_of
from pipelines.training.optimizers import Optimizers
from pipelines.training.replicas import replicate, settle
from pipelines.training.running_statistics import RunningStatistics

TRANSFER_STAGE = 3  # tells its random numbers apart from those of the two samplers
_WITH_AN_ORDER = 3  # processes; the sum of two numbers has none
_NAMES_OF_SCALER = ("scale", "_growth_tracker")


@dataclass(frozen=True)
class StepOutcome:
    """What a step came to.

    Args:
        losses: Each loss, and their sum as ``loss``; means over the batch of all processes.
        finite: Whether losses and gradients were; if not, nothing has changed in any process.
        overflowed: Whether a float16 gradient was too large for the scale of the loss, which has
            been lowered. Nothing else has changed; it happens, and is no failure.
    """

    losses: dict[str, float]
    finite: bool
    overflowed: bool = False

    @property
    def culprits(self) -> list[str]:
        """What is not finite: losses by name, or the gradient."""
        bad = [name for name, value in self.losses.items() if not math.isfinite(value)]
        return bad or ["the gradient"] * (not self.finite)


class TrainingStep:
    """Takes steps.

    The network that makes the class rows runs once a step, after all images: they meet rows that
    are held fixed and gather gradients, and only the means of these are exchanged for it. All
    processes then take them through their own copy of the network, which stays the same as the
    others'.

    Args:
        model: On ``device``, in training mode.
        optimizers: Of its parameters.
        settings: Batch, precision, passes and seed.
        device: Where the model is.
        team: The processes that share the batch.

    Raises:
        ConfigError: If they cannot share it evenly.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Optimizers,
        settings: TrainSettings,
        device: torch.device,
        team: Team = ALONE,
    ) -> None:
        self._model, self._optimizers, self._team, self._device = model, optimizers, team, device
        self._seed, self._precision = settings.seed, settings.engine.precision
        self._passes = settings.engine.accumulation
        _refuse_uneven(settings.schedule.batch_size, self._passes, team)
        self._head = _computing_head(model)
        self._images = replicate(model, self._head, device, team)
        self._unordered = team.size >= _WITH_AN_ORDER
        self._statistics, self._samplers = RunningStatistics(model), samplers_of(model)
        self._scaler = GradScaler(device.type, enabled=self._precision == "float16")

    def __call__(self, iteration: int, images: list[Tensor], targets: list[Target]) -> StepOutcome:
        """Take a step, unless something is not finite.

        Args:
            iteration: Counted from 1.
            images: B of float32 ``[3, H, W]``, on the device.
            targets: Of each image, on the device.
        """
        self._statistics.remember()
        if self._unordered:
            self._order(iteration, images, targets)
        self._optimizers.zero_grad()
        self._seed_transfer(iteration)
        held = None if self._head is None else self._head.hold_rows()
        losses = self._backward_images(iteration, images, targets)
        if self._head is not None and held is not None:
            self._seed_transfer(iteration)
            losses |= self._backward_rows(self._head, [held.weight, held.bias])
        outcome = self._judge(losses)
        if outcome.finite and not outcome.overflowed:
            self._optimizers.step()
            self._team.mean(self._statistics.of_batches)
        else:
            self._statistics.restore()
        self._scaler.update(None if outcome.finite else self._scaler.get_scale())
        return outcome

    def state(self) -> dict[str, float]:
        """Return what a step remembers besides weights and optimizers: the scale of the loss."""
        state: dict[str, float] = self._scaler.state_dict()
        return {name: state[name] for name in _NAMES_OF_SCALER if name in state}

    def load_state(self, state: dict[str, float]) -> None:
        """Take over what :meth:`state` returned."""
        if state:
            tracker = {"_growth_tracker": int(state["_growth_tracker"])}
            self._scaler.load_state_dict(self._scaler.state_dict() | state | tracker)

    def settle(self) -> None:
        """Give all processes the leader's weights and optimizers, which is what a checkpoint holds.

        Raises:
            RunError: If a process has drifted away from the leader.
        """
        settle(self._model.state_dict(), self._optimizers.state(), self._team)

    def _seed_transfer(self, iteration: int) -> None:
        """Make dropout and the classes drawn for reconstruction a function of the iteration."""
        torch.manual_seed(seed_of(self._seed, iteration, 0, TRANSFER_STAGE))

    def _order(self, iteration: int, images: list[Tensor], targets: list[Target]) -> None:
        """Let DistributedDataParallel decide how it sends gradients, by a pass that counts nothing.

        It does so after its first pass; a resumed run, whose first step is a later one, would add
        the gradients of that step in another order.
        """
        if self._head is not None:
            self._head.hold_rows()
        self._backward_images(iteration, images, targets)
        self._statistics.restore()
        self._unordered = False

    def _backward_images(
        self, iteration: int, images: list[Tensor], targets: list[Target]
    ) -> dict[str, Tensor]:
        """Gather the gradients of all losses that depend on images; return their means."""
        losses: dict[str, Tensor] = {}
        for part in self._parts(len(images)):
            first = self._team.rank * len(images) + part.start
            for sampler in self._samplers:
                sampler.draw = Draw(self._seed, iteration, first)
            with self._exchange(last=part.stop == len(images)):
                with in_precision(self._precision, self._device):
                    found = self._images(images[part], targets[part])
                shares = {name: loss.float() / self._passes for name, loss in found.items()}
                total = torch.stack(list(shares.values())).sum()
                torch.autograd.backward(self._scaler.scale(total))
            for name, share in shares.items():
                losses[name] = share.detach() + losses.get(name, 0)
        return losses

    def _parts(self, count: int) -> Iterator[slice]:
        size = count // self._passes
        return (slice(start, start + size) for start in range(0, count, size))

    def _exchange(self, *, last: bool) -> AbstractContextManager[object]:
        """Return the context in which gradients wait for the last pass to be exchanged."""
        if last or not isinstance(self._images, DistributedDataParallel):
            return nullcontext()
        waiting: AbstractContextManager[object] = self._images.no_sync()
        return waiting

    def _backward_rows(self, head: ClassWeightHead, held: list[Tensor]) -> dict[str, Tensor]:
        """Take the gradients of the held rows through the network that made them."""
        gradients = [
            rows.grad if rows.grad is not None else torch.zeros_like(rows) for rows in held
        ]
        self._team.mean(gradients)
        head.held = None
        rows, own = head.rows_and_losses()
        scaled = [self._scaler.scale(loss) for loss in own.values()]
        torch.autograd.backward([*rows, *scaled], [*gradients, *(None for _ in scaled)])
        return {name: loss.detach() for name, loss in own.items()}

    def _judge(self, losses: dict[str, Tensor]) -> StepOutcome:
        """Average the losses over all processes, and see whether a step may follow."""
        self._optimizers.unscale(self._scaler)
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        norm = get_total_norm(gradients).to(self._device)
        total = torch.stack(list(losses.values())).sum()
        values = torch.stack([*losses.values(), total, norm]).double()
        self._team.mean([values])
        *means, norm_mean = values.tolist()  # the one wait for the device
        finite = all(map(math.isfinite, means))
        overflowed = finite and not math.isfinite(norm_mean) and self._scaler.get_scale() > 1
        finite = finite and (overflowed or math.isfinite(norm_mean))
        return StepOutcome(dict(zip([*losses, "loss"], means, strict=True)), finite, overflowed)


def _computing_head(model: nn.Module) -> ClassWeightHead | None:
    """Return the model's class head, if a network makes its rows."""
    heads = (module for module in model.modules() if isinstance(module, ClassWeightHead))
    return next((head for head in heads if head.computes_rows), None)


def _refuse_uneven(batch: int, passes: int, team: Team) -> None:
    if batch % (passes * team.size):
        raise ConfigError(
            f"a batch of {batch} images cannot be shared by {team.size} processes with {passes} "
            "passes each",
            mend=f"Set schedule.batch_size to a multiple of {passes * team.size}.",
        )
