"""Copies of a detector in several processes that train as one."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipelines.distributed import Team


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
    replica = DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)
    for parameter in waiting:
        parameter.requires_grad_(True)
    return replica
