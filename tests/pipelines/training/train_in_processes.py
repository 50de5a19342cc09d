"""One of several processes that train the small detector of conftest.py together.

Usage, with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT: CONFTEST OUTPUT, a file of weights and
losses that the leader writes.
"""

import os
import runpy
import sys

import torch

from pipelines.distributed import Team, joined
from pipelines.training.optimizers import Optimizers
from pipelines.training.step import TrainingStep

CASES = {
    "ae-wtn": {"head": {"dropout": 0.2, "reconstructed_count": 3}},
    "wtn+": {"engine": {"accumulation": 2}},
    "faster-rcnn": {},
    "zsd": {"backbone": {"frozen_batch_norm": False}},
}
STEPS = 20


def train(small: dict, team: Team, device: torch.device, method: str) -> dict:
    """Take the steps; return losses, weights, and whether all processes have the same ones."""
    settings = small["resolve"](method, **CASES[method])
    model = small["small_detector"](settings)
    if team.rank:  # everybody starts from the leader's weights
        torch.nn.init.normal_(model.roi_heads.bbox_pred.weight)
    optimizers = Optimizers(model, settings.optimizer, settings.schedule)
    step = TrainingStep(model, optimizers, settings, device, team)
    share = slice(team.rank * (4 // team.size), (team.rank + 1) * (4 // team.size))
    for iteration in range(1, STEPS + 1):
        images, targets = small["draw_batch"](iteration)
        outcome = step(iteration, images[share], targets[share])
    every = team.gather_objects([t.double().sum().item() for t in model.state_dict().values()])
    before = model.roi_heads.bbox_pred.weight.clone()
    images, targets = small["draw_batch"](0)
    spoiled = [image * torch.nan if team.rank == team.size - 1 else image for image in images]
    refused = step(STEPS + 1, spoiled[share], targets[share])
    return {
        "losses": outcome.losses,
        "weights": model.state_dict(),
        "same": all(sums == every[0] for sums in every),
        "refused": not refused.finite and torch.equal(before, model.roi_heads.bbox_pred.weight),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Team(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    with joined(place, "cpu") as cpu:
        found = {name: train(runpy.run_path(sys.argv[1]), place, cpu, name) for name in CASES}
    if place.is_leader:
        torch.save(found, sys.argv[2])
