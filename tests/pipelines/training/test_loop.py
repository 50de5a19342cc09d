"""Tests for pipelines.training.loop, on a model of one weight."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import OptimizerSettings, TrainSettings, validate_settings
from pipelines.data.batches import Batch, Example, Target
from pipelines.errors import DatasetError, Interrupted, RunError
from pipelines.training.checkpoints import Pair, newest_whole, pairs_in
from pipelines.training.loop import Ending, Evaluate, TrainingLoop
from pipelines.training.observer import Observer
from pipelines.training.optimizers import Optimizers
from pipelines.training.origin import Origin
from pipelines.training.plan import DiskUse
from pipelines.training.progress import Progress
from pipelines.training.run_folder import RunFolder
from pipelines.training.run_lock import RunLock
from pipelines.training.step import TrainingStep
from pipelines.training.stopping import StopRequest
from pipelines.training.trainee import Trainee
from pipelines.vocabulary import Vocabulary

CPU = torch.device("cpu")


class Model(nn.Module):
    """Pulls its weight towards the mean of the images; the second loss is NaN on image "bad"."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Return one loss that trains and one that may be NaN."""
        mean = torch.stack([image.mean() for image in images]).mean()
        bad = any(bool(target["labels"][0] == 2) for target in targets)
        return {
            "loss_a": (self.weight - mean).square().sum(),
            "loss_b": self.weight.sum() * (float("nan") if bad else 0.0),
        }


class Run:
    """A run of five steps on white images, two a step; it goes on with what is in its folder.

    Args:
        folder: Of the run.
        settings: Changes of the settings.
    """

    def __init__(self, folder: Path, **settings: dict[str, Any]) -> None:
        schedule = {"iterations": 5, "batch_size": 2, "warmup_iterations": 0, "log_every": 3}
        tree = {"classifier": "c", "data": {"boxes": "b"}} | settings
        tree["schedule"] = schedule | settings.get("schedule", {})
        self.settings: TrainSettings = validate_settings(tree)
        self.model, self.progress, self.stop = Model(), Progress(), StopRequest()
        options = OptimizerSettings(weight_decay=0, momentum=0)
        optimizers = Optimizers(self.model, options, self.settings.schedule)
        step = TrainingStep(self.model, optimizers, self.settings, CPU)
        self.trainee = Trainee(self.model, optimizers, step)  # type: ignore[arg-type]
        weights = ClassifierWeights(torch.ones(1, 2), None, Vocabulary(("x",), ("x",)), "f")
        self.origin = Origin(weights, Vocabulary(("/m/1", "/m/2"), ("one", "two")), {})
        saved, _ = newest_whole(folder / "checkpoints")
        if saved is not None:
            self.progress = self.trainee.restore(saved)
        source = saved.pair if saved is not None else None
        self.folder = RunFolder(folder, self.settings, self.origin, RunLock(folder), source)

    def take(
        self,
        bad: tuple[int, ...] = (),
        evaluate: Evaluate | None = None,
        observers: Sequence[Observer] = (),
    ) -> Ending:
        """Take the steps; those in ``bad`` meet an image that makes a loss NaN."""
        remaining = range(self.progress.iteration + 1, 6)
        batches = (self._batch(number in bad) for number in remaining)
        loop = TrainingLoop(self.trainee, batches, self.folder, self.progress, self.settings,
                            device=CPU, stop=self.stop, evaluate=evaluate,
                            observers=observers)  # fmt: skip
        return loop.run()

    def metrics(self) -> list[dict[str, Any]]:
        """Return the records of metrics.jsonl."""
        text = (self.folder.folder / "metrics.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def _batch(self, bad: bool) -> Batch:
        white = torch.full((3, 4, 2), 255, dtype=torch.uint8)
        target = {"boxes": torch.tensor([[0.0, 0.0, 1.0, 2.0]]), "labels": torch.tensor([1 + bad])}
        return Batch.of([Example(white, target, "bad" if bad else "good")] * 2)


def distance(steps: int) -> float:
    """Return how far the weight is from the images; a step of rate 0.01 goes 2 % of the way."""
    return 0.98**steps


def test_records_average_over_their_window(tmp_path: Path) -> None:
    """A record comes first, last and in between, with the mean of each loss since the last."""
    run = Run(tmp_path)

    ending = run.take()

    first, second, last = run.metrics()
    assert [first["iteration"], second["iteration"], last["iteration"]] == [1, 3, 5]
    assert first["losses"]["loss_a"] == pytest.approx(1)
    window = (distance(1) ** 2 + distance(2) ** 2) / 2
    assert second["losses"] == pytest.approx({"loss_a": window, "loss_b": 0, "loss": window})
    assert (ending.finished, ending.losses) == (True, last["losses"])
    timings = (tmp_path / "timings.jsonl").read_text().splitlines()
    assert [json.loads(line)["seconds_left"] for line in timings][-1] == 0


def test_the_disk_is_reckoned_at_the_start(tmp_path: Path) -> None:
    """Before the first checkpoint, and once: what is not there yet is all needed."""
    heard: list[tuple[DiskUse, int]] = []

    class Listener(Observer):
        def reckoned(self, disk: DiskUse) -> None:
            heard.append((disk, len(pairs_in(tmp_path / "checkpoints"))))

    Run(tmp_path, schedule={"checkpoint_every": 1}).take(observers=[Listener()])

    ((disk, saved),) = heard
    assert saved == 0
    assert disk.checkpoint_bytes == 4 + 8  # a weight, and a row of two numbers


def test_rates_follow_the_schedule(tmp_path: Path) -> None:
    """A step at 3 is felt in the fourth iteration."""
    run = Run(tmp_path, schedule={"steps": [3], "log_every": 1})

    run.take()

    rates = [record["learning_rates"]["lr"] for record in run.metrics()]
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.001, 0.001])


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path: Path) -> None:
    """Loss, iteration and images are named, and what is kept is the state before the step."""
    run = Run(tmp_path, schedule={"checkpoint_every": 1})

    with pytest.raises(RunError, match=r"loss_b and loss are not finite at iteration 3") as error:
        run.take(bad=(3,))

    kept = tmp_path / "nonfinite-00000003"
    assert "on the images bad, bad" in error.value.what
    assert f"wtn train --resume {kept} -o {kept / 'replay'}" in str(error.value.mend)
    seen = json.loads((kept / "batch.json").read_text())
    assert seen["losses"] == {"loss_a": pytest.approx(distance(2) ** 2), "loss_b": "nan",
                              "loss": "nan"}  # fmt: skip
    image = {"image_id": "bad", "size": [2, 4], "boxes": [[0, 0, 1, 2]], "labels": ["/m/2"]}
    assert (seen["iteration"], seen["images"]) == (3, [image, image])
    saved, notes = newest_whole(kept)
    assert saved is not None
    assert (saved.iteration, notes) == (2, [])
    assert saved.checkpoint.model["weight"].item() == pytest.approx(1 - distance(2))


def test_steps_are_left_out_up_to_a_number(tmp_path: Path) -> None:
    """Two of them may be; they move no weight, are no loss, and the iterations go on."""
    run = Run(tmp_path, limits={"skip_nonfinite": 2})

    assert run.take(bad=(2, 3)).finished

    assert run.model.weight.item() == pytest.approx(1 - distance(3))
    assert [record["skipped"] for record in run.metrics()] == [0, 2, 2]
    assert [record["losses"] != {} for record in run.metrics()] == [True, False, True]


def test_one_step_too_many_is_not_left_out(tmp_path: Path) -> None:
    """With two tolerated the third ends the run, and is kept for replay."""
    run = Run(tmp_path, limits={"skip_nonfinite": 2})

    with pytest.raises(RunError, match="at iteration 5"):
        run.take(bad=(2, 3, 5))

    saved, _ = newest_whole(tmp_path / "nonfinite-00000005")
    assert saved is not None
    assert (saved.iteration, saved.state.progress.skipped) == (4, 2)


def test_the_newest_pairs_are_kept(tmp_path: Path) -> None:
    """Of a pair an iteration the last two stay, and the newest has a name of its own."""
    Run(tmp_path, schedule={"checkpoint_every": 1}).take()

    assert [pair.iteration for pair in pairs_in(tmp_path / "checkpoints")] == [5, 4]
    newest = tmp_path / "checkpoints" / "iteration-00000005.safetensors"
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == newest.read_bytes()


def figures(values: Mapping[int, float], run: Run) -> Callable[[], dict[str, float]]:
    """Return an evaluation whose metric has these values by iteration."""
    return lambda: {"novel_AP50": values[run.progress.iteration], "seen_AP50": 0.5}


def test_the_best_checkpoint_is_kept(tmp_path: Path) -> None:
    """That of iteration 2, though later ones are newer; a value that is undefined is none."""
    run = Run(tmp_path, evaluation={"every": 1, "boxes": "b"},
              checkpoints={"keep_best": "novel_AP50", "keep_last": 1})  # fmt: skip

    run.take(evaluate=figures({1: 0.1, 2: 0.3, 3: 0.2, 4: float("nan"), 5: 0.3}, run))

    assert [pair.iteration for pair in pairs_in(tmp_path / "checkpoints")] == [5]
    best = tmp_path / "best.safetensors"
    assert best.read_bytes() != (tmp_path / "checkpoint.safetensors").read_bytes()
    assert run.progress.best is not None
    assert run.progress.best.iteration == 2
    found = [r["evaluation"]["novel_AP50"] for r in run.metrics() if "evaluation" in r]
    assert found == [0.1, 0.3, 0.2, None, 0.3]


EVALUATED: dict[str, dict[str, Any]] = {
    "evaluation": {"every": 2, "boxes": "b"},
    "checkpoints": {"keep_best": "novel_AP50"},
}
VALUES = {2: 0.1, 4: 0.3, 5: 0.2}


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("error", [Killed, RunError("no room")])
@pytest.mark.parametrize("at", [2, 4, 5])
def test_an_evaluation_that_did_not_end_is_done_again(
    at: int, error: BaseException | type[BaseException], tmp_path: Path
) -> None:
    """No step before it is lost; records, the best and the end are those of an unbroken run."""
    whole, broken = Run(tmp_path / "whole", **EVALUATED), Run(tmp_path / "broken", **EVALUATED)
    whole.take(evaluate=figures(VALUES, whole))

    def fail() -> dict[str, float]:
        if broken.progress.iteration == at:
            raise error
        return figures(VALUES, broken)()

    with pytest.raises((Killed, RunError)):
        broken.take(evaluate=fail)
    again = Run(tmp_path / "broken", **EVALUATED)
    assert again.progress.iteration == at
    assert again.take(evaluate=figures(VALUES, again)).finished

    assert again.metrics() == whole.metrics()
    assert again.progress == whole.progress
    assert not again.progress.evaluation_is_open
    one, other = (DetectorCheckpoint.load(run / "best.safetensors")
                  for run in (tmp_path / "whole", tmp_path / "broken"))  # fmt: skip
    assert (one.iteration, other.iteration) == (4, 4)


def test_a_kill_between_an_evaluation_and_its_pair_records_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record was written, but nothing vouches for it: it comes again."""
    run = Run(tmp_path, **EVALUATED)

    def end(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "note_evaluation", end)
        with pytest.raises(Killed):
            run.take(evaluate=figures(VALUES, run))
    again = Run(tmp_path, **EVALUATED)
    again.take(evaluate=figures(VALUES, again))

    assert [r["iteration"] for r in again.metrics() if "evaluation" in r] == [2, 4, 5]


def test_a_stop_before_an_evaluation_leaves_it_for_later(tmp_path: Path) -> None:
    """Who is told to stop after the last step stops, and only the evaluation is left to do."""
    run = Run(tmp_path, **EVALUATED, schedule={"iterations": 2})
    run.stop.make()
    run.progress.iteration = 1

    with pytest.raises(Interrupted, match="stopped after 2 of 2 iterations"):
        run.take(evaluate=figures(VALUES, run))

    again = Run(tmp_path, **EVALUATED, schedule={"iterations": 2})
    assert (again.progress.iteration, again.progress.evaluation_is_open) == (2, True)


def test_a_stop_with_the_last_step_ends_as_finished(tmp_path: Path) -> None:
    """There is nothing to go on with; the caller hears that it was asked to stop."""
    run = Run(tmp_path)
    run.stop.make()
    run.progress.iteration = 4

    ending = run.take()

    assert (ending.finished, ending.asked_to_stop) == (True, True)


def test_what_was_half_written_is_swept(tmp_path: Path) -> None:
    """Temporary files of a run that was killed go when it goes on; those of others stay."""
    Run(tmp_path, schedule={"checkpoint_every": 1, "iterations": 5}).take()
    (tmp_path / "nonfinite-00000003").mkdir()
    names = (".checkpoint.safetensors", ".best.safetensors", ".settings.toml", ".metrics.jsonl",
             "checkpoints/.iteration-00000009.safetensors", "nonfinite-00000003/.batch.json",
             )  # fmt: skip
    for name in names:
        (tmp_path / f"{name}.ab_12xyz.tmp").touch()
    (tmp_path / "notes.tmp").touch()

    Run(tmp_path).take()

    assert list(tmp_path.rglob("*.tmp")) == [tmp_path / "notes.tmp"]


def test_whichever_write_it_is_killed_in_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the files of a run reach the disk it may end there, and comes to the same.

    The process has no time to clean up: its temporary file stays.
    """
    settings = {**EVALUATED, "schedule": {"checkpoint_every": 1, "iterations": 5}}
    fsync, unlink, left = os.fsync, Path.unlink, [-1]
    whole = Run(tmp_path / "whole", **settings)

    def count_down(file: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        fsync(file)

    def unlink_if_alive(path: Path, missing_ok: bool = False) -> None:
        if left[0] != 0:
            unlink(path, missing_ok)

    monkeypatch.setattr("pipelines.storage.os.fsync", count_down)
    monkeypatch.setattr(Path, "unlink", unlink_if_alive)
    whole.take(evaluate=figures(VALUES, whole))
    writes = -1 - left[0]

    for number in range(1, writes + 1):
        folder, left[0] = tmp_path / str(number), number
        run = Run(folder, **settings)
        with pytest.raises(Killed):
            run.take(evaluate=figures(VALUES, run))
        assert left[0] == 0
        assert len(list(folder.rglob("*.tmp"))) <= 1
        left[0] = -1
        again = Run(folder, **settings)
        again.take(evaluate=figures(VALUES, again))
        assert again.model.weight.equal(whole.model.weight)
        assert again.progress == whole.progress
        for name, iteration in (("checkpoint.safetensors", 5), ("best.safetensors", 4)):
            assert DetectorCheckpoint.load(folder / name).iteration == iteration
        assert again.metrics() == whole.metrics()
        assert not list(folder.rglob("*.tmp"))


def test_a_stop_waits_for_the_step_and_saves(tmp_path: Path) -> None:
    """The step is taken, and the command that goes on is told."""
    run = Run(tmp_path)
    run.stop.make()

    with pytest.raises(Interrupted, match="stopped after 1 of 5 iterations") as error:
        run.take()

    assert error.value.mend is not None
    assert error.value.mend.endswith(f"Go on with: wtn train --resume {tmp_path}")
    assert [pair.iteration for pair in pairs_in(tmp_path / "checkpoints")] == [1]


def test_data_that_end_early_leave_a_pair(tmp_path: Path) -> None:
    """An error of the data ends the run between two steps, and what was trained is saved."""
    run = Run(tmp_path)

    def two_then_none() -> Iterator[Batch]:
        yield run._batch(bad=False)
        yield run._batch(bad=False)
        raise DatasetError("the archive is gone", where="a.zip", mend="Bring it back.")

    loop = TrainingLoop(run.trainee, two_then_none(), run.folder, run.progress, run.settings,
                        device=CPU, stop=run.stop)  # fmt: skip

    with pytest.raises(DatasetError, match=r"Bring it back\. .* holds 2 iterations"):
        loop.run()

    assert [pair.iteration for pair in pairs_in(tmp_path / "checkpoints")] == [2]


def test_a_second_signal_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is a request; one a moment later is the same press, and a later one interrupts."""
    now = SimpleNamespace(seconds=10.0)
    monkeypatch.setattr("pipelines.training.stopping.time.monotonic", lambda: now.seconds)
    stop = StopRequest()

    with stop.by_signals():
        signal.raise_signal(signal.SIGINT)
        assert stop.is_made
        now.seconds += 0.5
        signal.raise_signal(signal.SIGINT)
        now.seconds += 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_that_is_replaced_takes_its_own_with_it(tmp_path: Path) -> None:
    """Pictures, card and what was kept of failed steps, but not of the one that is replayed."""
    names = ("losses.png", "learning-rates.png", "evaluation.png", "model-card.md", "mine.png")
    for name in names:
        (tmp_path / name).write_text("old")
    for name in ("nonfinite-00000003", "nonfinite-00000009"):
        (tmp_path / name).mkdir()
    run = Run(tmp_path)
    source = Pair(tmp_path / "nonfinite-00000009", 8)
    folder = RunFolder(tmp_path, run.settings, run.origin, RunLock(tmp_path), source)

    folder.begin(None)

    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {
        "mine.png", "nonfinite-00000009", "settings.toml", "metrics.jsonl",
        "timings.jsonl",
    }  # fmt: skip
