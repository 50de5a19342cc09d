"""One of several processes that train the small detector of conftest.py together.

Usage, with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT: CONFTEST OUTPUT, a file of weights and
losses that the leader writes. One process and two do all of CASES; three find out whether they go
on to the bit.
"""

import os
import runpy
import sys

import torch

from pipelines.distributed import Team, joined
from pipelines.errors import RunError
from pipelines.training.optimizers import Optimizers
from pipelines.training.step import TrainingStep

CASES = {  # by method: what it changes, and the steps
    "ae-wtn": ({"head": {"dropout": 0.2, "reconstructed_count": 3}}, 20),
    "wtn+": ({"engine": {"accumulation": 2}}, 20),
    "faster-rcnn": ({}, 20),
    "zsd": ({"backbone": {"frozen_batch_norm": False}}, 3),
}


class Training:
    """A small detector in training, with this process's share of each batch."""

    def __init__(self, small: dict, team: Team, device: torch.device, method: str) -> None:
        changes, _ = CASES[method]
        if team.size == 3:
            changes = {**changes, "schedule": {"batch_size": 6}}
        settings = small["resolve"](method, **changes)
        self.model = small["small_detector"](settings, known=3 if method == "zsd" else 2)
        if team.rank:  # everybody starts from the leader's weights
            torch.nn.init.normal_(self.model.roi_heads.bbox_pred.weight)
        self.optimizers = Optimizers(self.model, settings.optimizer, settings.schedule)
        self.step = TrainingStep(self.model, self.optimizers, settings, device, team)
        self._team, self._draw, self._size = team, small["draw_batch"], settings.schedule.batch_size

    def take(self, first: int, last: int, *, spoiled: bool = False) -> object:
        """Take steps; return what the last came to."""
        share = self._size // self._team.size
        mine = slice(self._team.rank * share, (self._team.rank + 1) * share)
        for iteration in range(first, last + 1):
            images, targets = (2 * each for each in self._draw(iteration))
            if spoiled:
                images = [image * torch.nan for image in images]
            outcome = self.step(iteration, images[mine], targets[mine])
        return outcome

    def state(self) -> dict:
        """Return a copy of all weights and of what the optimizers gathered."""
        parts = {**self.model.state_dict(), **self.optimizers.state()}
        return {name: tensor.clone() for name, tensor in parts.items()}


def same_in_all(training: Training, team: Team) -> bool:
    """Tell whether all processes have the same weights, to the bit."""
    weights = training.model.state_dict().values()
    sums = team.gather_objects([weight.double().sum().item() for weight in weights])
    return all(each == sums[0] for each in sums)


def settled(training: Training, team: Team) -> dict:
    """Move weights of the last process apart, and settle: by a little, and by a lot."""
    weight = training.model.roi_heads.bbox_pred.weight
    last = team.rank == team.size - 1
    errors = []
    for distance in (1e-4, 0.1):
        with torch.no_grad():
            weight += distance * last
        try:
            training.step.settle()
            errors.append(None)
        except RunError as error:
            errors.append(str(error))
    return {"errors": team.gather_objects(errors), "same": same_in_all(training, team)}


def train(small: dict, team: Team, device: torch.device, method: str) -> dict:
    """Take the steps; return what came of them."""
    training, (_, steps) = Training(small, team, device, method), CASES[method]
    outcome = training.take(1, steps)
    same = same_in_all(training, team)
    before = training.state()
    refused = training.take(steps + 1, steps + 1, spoiled=team.rank == team.size - 1)
    weight = "roi_heads.bbox_pred.weight"
    return {
        "losses": outcome.losses,
        "weights": {name: before[name] for name in training.model.state_dict()},
        "same": same,
        "refused": not refused.finite and torch.equal(before[weight], training.state()[weight]),
        "settled": settled(training, team),
    }


def resume(small: dict, team: Team, device: torch.device, method: str) -> bool:
    """Tell whether training that goes on after two of four steps ends with the same bits."""
    whole, halves = (Training(small, team, device, method) for _ in range(2))
    whole.take(1, 4)
    halves.take(1, 2)
    weights, gathered = halves.model.state_dict(), halves.optimizers.state()
    again = Training(small, team, device, method)
    again.model.load_state_dict(weights)
    again.optimizers.load_state(gathered)
    again.take(3, 4)
    ended, expected = again.state(), whole.state()
    return all(torch.equal(ended[name], expected[name]) for name in expected)


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Team(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    case, names = (resume, ["ae-wtn", "wtn+"]) if place.size == 3 else (train, list(CASES))
    with joined(place, "cpu") as cpu:
        found = {name: case(runpy.run_path(sys.argv[1]), place, cpu, name) for name in names}
    if place.is_leader:
        torch.save(found, sys.argv[2])
