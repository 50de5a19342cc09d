"""Tests for pipelines.train: a training that was killed or stopped ends as one that never was."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.artifacts import DetectorCheckpoint
from pipelines.config import validate_settings
from pipelines.errors import ConfigError, DatasetError, RunError
from pipelines.train import TrainReport, train_detector
from pipelines.training.checkpoints import Pair, Saved, newest_whole, read_whole
from pipelines.training.observer import Observer
from pipelines.training.records import StepRecord, Timing
from pipelines.training.resuming import find_start
from pipelines.training.run_lock import RunLock

STEPS = 12
Tree = dict[str, Any]


def same_weights(left: Path, right: Path) -> bool:
    """Tell whether two runs ended with the same bits."""
    one, other = (DetectorCheckpoint.load(run / "checkpoint.safetensors") for run in (left, right))
    same_names = one.model.keys() == other.model.keys()
    return same_names and all(one.model[name].equal(other.model[name]) for name in one.model)


def start(settings: Path, run: Path, *options: str) -> "subprocess.Popen[str]":
    """Start a training of 12 steps with a pair every third, in a process of its own."""
    command = [sys.executable, "-m", "wtn_cli", "train", "--config", str(settings), "-o", str(run),
               "--iterations", str(STEPS), "--set", "schedule.checkpoint_every=3"]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, text=True, env=environment
    )


def ended(process: "subprocess.Popen[str]") -> str:
    """Wait for a training that must succeed; return what it told."""
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    return told


def kill_at(process: "subprocess.Popen[str]", iteration: int, seconds: float) -> None:
    """Kill a training some time after it tells of an iteration, or of a later one."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("train ") and int(line.split()[1].partition("/")[0]) >= iteration:
            break
    time.sleep(seconds)
    process.kill()
    process.communicate()


def test_a_run_that_is_killed_three_times_ends_as_one_that_never_was(
    settings_toml: Path, tmp_path: Path
) -> None:
    """SIGKILL at random moments, then --resume auto: weights and metrics are the same bits."""
    seed = random.randrange(2**32)
    drawn = random.Random(seed)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted = start(settings_toml, whole)

    after = sorted(drawn.sample(range(1, STEPS), 3))
    for iteration in after:
        process = start(settings_toml, killed, "--resume", "auto")
        kill_at(process, iteration, drawn.random() / 50)
    told = ended(start(settings_toml, killed, "--resume", "auto"))

    ended(uninterrupted)
    message = f"killed after {after}, seed {seed}: {told}"
    assert (killed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes(), (
        message
    )
    assert same_weights(whole, killed), message


def trained(
    tree: Tree,
    run: Path,
    observer: Observer | None = None,
    saved: Saved | None = None,
) -> TrainReport:
    """Train with a pair every iteration, all of which are kept."""
    changed = {"schedule": {"checkpoint_every": 1}, "checkpoints": {"keep_last": 9}}
    merged = {**tree, **{key: tree.get(key, {}) | value for key, value in changed.items()}}
    return train_detector(validate_settings(merged), run, [observer or Observer()], saved=saved)


@pytest.mark.parametrize(
    "change",
    [
        {"head": {"groups": 8, "dropout": 0.3, "reconstructed_count": 2}},
        {"head": {"method": "zsd"}},
        {"backbone": {"frozen_batch_norm": False, "trainable_stages": 5}},
        {"engine": {"channels_last": True}},
        {"engine": {"precision": "float16", "accumulation": 2}},
        {"schedule": {"log_every": 2, "iterations": 4, "steps": [2], "warmup_iterations": 3}},
        {"data": {"workers": 1}},
    ],
    ids=["dropout", "zsd", "batch-norm", "layout", "float16", "schedule", "worker"],
)
def test_whatever_is_trained_goes_on_exactly(
    change: Tree, settings_tree: Tree, tmp_path: Path
) -> None:
    """From the first iteration on, in another folder, it comes to the same state and records."""
    for key, value in change.items():
        settings_tree[key] = settings_tree.get(key, {}) | value
    whole, rest = tmp_path / "whole", tmp_path / "rest"
    trained(settings_tree, whole)

    trained(settings_tree, rest, saved=read_whole(Pair(whole / "checkpoints", 1)))

    assert same_weights(whole, rest)
    one, other = (newest_whole(run / "checkpoints")[0] for run in (whole, rest))
    assert one is not None
    assert other is not None
    assert one.state.optimizers.keys() == other.state.optimizers.keys()
    assert all(one.state.optimizers[n].equal(t) for n, t in other.state.optimizers.items())
    assert (one.state.step, one.state.progress) == (other.state.step, other.state.progress)
    records = [(run / "metrics.jsonl").read_text().splitlines() for run in (whole, rest)]
    assert records[1] == records[0][1:]


def test_a_run_goes_on_in_another_folder(settings_tree: Tree, tmp_path: Path) -> None:
    """A run that was moved goes on where it is, and can be made longer."""
    run, moved = tmp_path / "run", tmp_path / "moved"
    trained(settings_tree, run)
    shutil.copytree(run, moved)
    settings_tree["schedule"]["iterations"] = 5

    report = trained(settings_tree, moved, saved=find_start("auto", moved).saved)

    assert (report.iterations, report.finished) == (5, True)
    lines = (moved / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2, 3, 4, 5]


class AtIteration(Observer):
    """Does something when it hears of an iteration."""

    def __init__(self, number: int, do: Callable[[], object]) -> None:
        self._number, self._do = number, do

    def recorded(self, record: StepRecord, timing: Timing) -> None:
        """Do it at its iteration."""
        if record.iteration == self._number:
            self._do()


def test_a_full_disk_leaves_the_last_pair(settings_tree: Tree, tmp_path: Path) -> None:
    """One message names the file, the reason, and how to go on; that works once there is space."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

    try:
        with pytest.raises(RunError, match=r"cannot be written \(.*File too large") as error:
            trained(settings_tree, run, AtIteration(3, fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert f"Go on with: wtn train --resume {run}" in str(error.value.mend)
    start_again = find_start("auto", run)
    assert start_again.saved is not None
    assert (start_again.saved.iteration, start_again.notes) == (2, ())
    assert not list(run.rglob("*.tmp"))
    trained(settings_tree, run, saved=start_again.saved)
    trained(settings_tree, whole)
    assert same_weights(run, whole)
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_images_that_vanish_leave_a_pair(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path
) -> None:
    """One message, and all iterations until then are kept; it goes on when they are back."""
    images, run, whole = tmp_path / "images", tmp_path / "run", tmp_path / "whole"
    shutil.copytree(world.images, images)
    settings_tree["data"]["images"] = str(images)

    with pytest.raises(DatasetError, match="holds 1 iterations"):
        trained(settings_tree, run, AtIteration(1, lambda: shutil.rmtree(images)))

    shutil.copytree(world.images, images)
    trained(settings_tree, run, saved=find_start("auto", run).saved)
    trained(settings_tree, whole)
    assert same_weights(run, whole)


def test_a_folder_that_another_process_trains_in_is_left_alone(
    settings_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message, and not a byte changes."""
    monkeypatch.setattr("pipelines.training.run_lock._PATIENCE", 0)
    run = tmp_path / "run"
    run.mkdir()
    with ThreadPoolExecutor(1) as other, RunLock(run):
        training = other.submit(trained, settings_tree, run)
        with pytest.raises(RunError, match=f"{run}: another process is training"):
            training.result()
        assert {path.name for path in run.iterdir()} <= {".lock"}


def test_a_later_state_of_the_run_is_not_thrown_away(settings_tree: Tree, tmp_path: Path) -> None:
    """Such as one that was written while this process waited for the folder."""
    trained(settings_tree, tmp_path)

    with pytest.raises(ConfigError, match="has come further, to iteration 3"):
        trained(settings_tree, tmp_path, saved=read_whole(Pair(tmp_path / "checkpoints", 1)))


def test_the_best_stays_where_it_is(
    settings_tree: Tree, world: SimpleNamespace, large_boxes: Path, tmp_path: Path
) -> None:
    """A run that goes on elsewhere has no file of an earlier best, so a later one is the best."""
    settings_tree["evaluation"] = {"every": 1, "boxes": large_boxes, "images": world.images}
    settings_tree["checkpoints"] = {"keep_best": "novel_AP50"}
    whole, rest = tmp_path / "whole", tmp_path / "rest"
    trained(settings_tree, whole)
    saved = read_whole(Pair(whole / "checkpoints", 2))
    assert saved.state.progress.best is not None

    trained(settings_tree, rest, saved=saved)

    assert (saved.checkpoint.model, saved.state.optimizers) == ({}, {})  # not held all run long
    best = DetectorCheckpoint.load(rest / "best.safetensors")
    assert best.iteration == 3


def test_time_that_is_over_stops_the_run(settings_tree: Tree, tmp_path: Path) -> None:
    """After the step that takes longer than is left; the rest comes to what it would have."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    trained(settings_tree, whole)

    first = trained({**settings_tree, "limits": {"max_hours": 1e-9}}, run)
    second = trained(settings_tree, run, saved=find_start("auto", run).saved)

    assert (first.finished, first.iterations) == (False, 1)
    assert first.go_on is not None
    assert first.go_on.endswith(f"Go on with: wtn train --resume {run}")
    assert (second.finished, second.go_on) == (True, None)
    assert same_weights(run, whole)
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_step_that_is_not_finite_is_replayed_exactly(settings_tree: Tree, tmp_path: Path) -> None:
    """What is kept of it meets the same images and losses again, in a folder of its own."""
    settings_tree["optimizer"] = {"learning_rate": 1e30}
    run, replay = tmp_path / "run", tmp_path / "replay"
    with pytest.raises(RunError, match="not finite at iteration 2"):
        trained(settings_tree, run)
    kept = run / "nonfinite-00000002"

    with pytest.raises(RunError, match="not finite at iteration 2"):
        trained(settings_tree, replay, saved=find_start(str(kept), replay).saved)

    again = replay / "nonfinite-00000002"
    assert (again / "batch.json").read_bytes() == (kept / "batch.json").read_bytes()
    first, second = (newest_whole(folder)[0] for folder in (kept, again))
    assert first is not None
    assert second is not None
    assert first.checkpoint.model.keys() == second.checkpoint.model.keys()
    assert all(first.checkpoint.model[n].equal(second.checkpoint.model[n]) for n in
               first.checkpoint.model)  # fmt: skip
