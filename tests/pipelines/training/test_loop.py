"""Tests for pipelines.training.loop, on a model of one weight."""

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipelines.artifacts import ClassifierWeights
from pipelines.config import OptimizerSettings, TrainSettings, validate_settings
from pipelines.data.batches import Batch, Example, Target
from pipelines.errors import ConfigError, DatasetError, Interrupted, RunError
from pipelines.training.checkpoints import Pair, newest_whole, pairs_in
from pipelines.training.loop import Ending, Evaluate, TrainingLoop
from pipelines.training.optimizers import Optimizers
from pipelines.training.origin import Origin
from pipelines.training.progress import Progress
from pipelines.training.run_folder import RunFolder
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
    """A run of five steps on white images, two a step.

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
        self.folder = RunFolder(folder, self.settings, self.origin)

    def take(self, bad: tuple[int, ...] = (), evaluate: Evaluate | None = None) -> Ending:
        """Take the steps; those in ``bad`` meet an image that makes a loss NaN."""
        batches = (self._batch(number in bad) for number in range(1, 6))
        loop = TrainingLoop(self.trainee, batches, self.folder, self.progress, self.settings,
                            device=CPU, stop=self.stop, evaluate=evaluate)  # fmt: skip
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


def test_rates_follow_the_schedule(tmp_path: Path) -> None:
    """A step at 3 is felt in the fourth iteration."""
    run = Run(tmp_path, schedule={"steps": [3], "log_every": 1})

    run.take()

    rates = [record["learning_rates"]["lr"] for record in run.metrics()]
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.001, 0.001])


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path: Path) -> None:
    """Loss, iteration and images are named, and what is kept is the state before the step."""
    run = Run(tmp_path, schedule={"checkpoint_every": 1})

    with pytest.raises(RunError, match=r"loss_b and loss is not finite at iteration 3") as error:
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


def test_a_metric_that_is_not_measured_is_refused(tmp_path: Path) -> None:
    """The nearest one is named, and all there are."""
    run = Run(tmp_path, evaluation={"every": 1, "boxes": "b"},
              checkpoints={"keep_best": "novel_AP"})  # fmt: skip

    with pytest.raises(ConfigError, match=r"'novel_AP', which no evaluation") as error:
        run.take(evaluate=figures({1: 0.1}, run))

    assert error.value.mend == "Did you mean 'novel_AP50'? There are: novel_AP50, seen_AP50."


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
    folder = RunFolder(tmp_path, run.settings, run.origin, source)

    folder.begin(None)

    assert {path.name for path in tmp_path.iterdir()} == {
        "mine.png", "nonfinite-00000009", "settings.toml", "metrics.jsonl", "timings.jsonl",
    }  # fmt: skip
