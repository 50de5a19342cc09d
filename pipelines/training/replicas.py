"""Copies of a detector in several processes that train as one."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipelines.distributed import Team
from pipelines.errors import RunError

_SYNC_BUFFERS = (  # before each pass, which would send the classifier's rows too
    "forward_sync_buffers"  # torch 2.15
    if "forward_sync_buffers" in signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
DRIFT = 1e-3  # of a weight, beyond which it is not the rounding of another kind of GPU


def replicate(
    model: nn.Module, left_out: nn.Module | None, device: torch.device, team: Team
) -> nn.Module:
    """Return what stands for a model in passes over images: its gradients are averaged.

    Every process starts from the leader's weights. Batch norm that trains sees the images of all
    processes on GPUs; PyTorch has that for GPUs only.

    Args:
        model: On ``device``.
        left_out: A part of it whose gradients the step itself takes care of.
        device: Where the model is.
        team: The processes.
    """
    if team.size == 1:
        return model
    backbone = getattr(model, "backbone", None)
    if device.type == "cuda" and isinstance(backbone, nn.Module):
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
        model.backbone = convert(backbone)  # type: ignore[no-untyped-call]
    parts = [] if left_out is None else list(left_out.parameters())
    waiting = [parameter for parameter in parts if parameter.requires_grad]
    for parameter in waiting:
        parameter.requires_grad_(False)  # it takes what trains while it is built
    options: dict[str, Any] = {_SYNC_BUFFERS: False, "gradient_as_bucket_view": True}
    replica = DistributedDataParallel(model, **options)
    for parameter in waiting:
        parameter.requires_grad_(True)
    return replica


def settle(weights: Mapping[str, Tensor], gathered: Mapping[str, Tensor], team: Team) -> None:
    """Replace weights and what optimizers gathered by the leader's.

    On processors of one kind all replicas are the same, bit by bit: all get the same gradients. On
    others the network that makes the class rows, which each process trains by itself, is rounded
    otherwise, and would drift apart.

    Raises:
        RunError: In all processes, if a weight of one differs by more than that.
    """
    if team.size == 1:
        return
    drifted = [name for name, weight in weights.items() if _drifts(weight, team)]
    team.copy_leader(list(gathered.values()))
    for rank, names in enumerate(team.gather_objects(drifted)):
        if names:
            raise RunError(
                f"{names[0]} of process {rank} is not the leader's: the processes have drifted "
                "apart",
                mend="Go on from the last checkpoint with --resume auto.",
            )


def _drifts(weight: Tensor, team: Team) -> bool:
    """Replace a weight by the leader's; tell whether it was another one."""
    own = weight.clone()
    team.copy_leader([weight])
    if weight.numel() == 0:  # as the rows of other classes where there are none
        return False
    return bool((own - weight).abs().max() > DRIFT * (1 + weight.abs().max()))
