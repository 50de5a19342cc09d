"""Tests for wtn_cli.train: what a run that stops early leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.artifacts import DetectorCheckpoint
from wtn_cli import processes

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(wtn: Wtn, settings_toml: Path, tmp_path: Path) -> Path:
    """Return the folder of a finished run."""
    assert wtn("train", "--config", settings_toml, "-o", tmp_path / "run").returncode == 0
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, by their places in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_finished_run_is_not_overwritten(wtn: Wtn, settings_toml: Path, run: Path) -> None:
    """Training into its folder is refused, and not a byte of it changes; --force replaces it."""
    before = contents(run)
    command = ("train", "--config", settings_toml, "--seed", 1, "-o", run)

    refused = wtn(*command)

    assert refused.returncode == 2
    assert f"Error: {run}: the folder holds a trained detector\n" in refused.stderr
    assert "--force" in refused.stderr
    assert contents(run) == before

    assert wtn(*command, "--force").returncode == 0
    assert DetectorCheckpoint.load(run / "checkpoint.safetensors").config["seed"] == 1


def test_a_loss_that_explodes_ends_the_run(wtn: Wtn, settings_toml: Path, run: Path) -> None:
    """Losses and images are named, the exit code is 1, and what was before is set aside."""
    before = (run / "checkpoint.safetensors").read_bytes()

    ended = wtn("train", "--config", settings_toml, "--force", "-o", run,
                "--set", "optimizer.learning_rate=1e30")  # fmt: skip

    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"Error: {run / 'nonfinite-00000002'}: loss_classifier, " in ended.stderr
    assert "and loss are not finite at iteration 2, on the images img" in ended.stderr
    assert "\nLower optimizer.learning_rate" in ended.stderr
    assert (run / "previous-checkpoint.safetensors").read_bytes() == before
    assert not (run / "checkpoint.safetensors").exists()


def test_weights_that_explode_are_not_saved(wtn: Wtn, settings_toml: Path, run: Path) -> None:
    """When the last step ruins the weights, there is only the checkpoint from before."""
    before = (run / "checkpoint.safetensors").read_bytes()

    ended = wtn("train", "--config", settings_toml, "--force", "-o", run, "--iterations", 1,
                "--set", "optimizer.transfer_learning_rate=1e30",
                "--set", "optimizer.transfer_weight_decay=1e30")  # fmt: skip

    assert ended.returncode == 1
    assert "is not finite after iteration 1 (" in ended.stderr
    assert (run / "previous-checkpoint.safetensors").read_bytes() == before
    assert not (run / "checkpoint.safetensors").exists()


def test_a_run_that_fails_at_once_leaves_the_old_one(
    wtn: Wtn, settings_toml: Path, run: Path, tmp_path: Path
) -> None:
    """With --force nothing in the folder changes before the first step is taken."""
    before = contents(run)
    images = tmp_path / "images"
    images.mkdir()
    for number in range(6):
        (images / f"img{number}.png").write_bytes(b"broken")

    ended = wtn("train", "--config", settings_toml, "--images", images, "--force", "-o", run)

    assert ended.returncode == 3
    assert contents(run) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_saves_a_detector_that_exports(
    wtn: Wtn, number: signal.Signals, settings_toml: Path, tmp_path: Path
) -> None:
    """A terminal and a scheduler signal the worker too: exit 130, no traceback, a checkpoint."""
    run, head = tmp_path / "run", tmp_path / "head.safetensors"
    settings = ["--config", str(settings_toml), "--iterations", "100000", "--set", "data.workers=1"]
    command = [sys.executable, "-c", "from wtn_cli.app import main; main()"]
    with subprocess.Popen(
        [*command, "train", *settings, "-o", str(run)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        first_lines = [process.stderr.readline() for _ in range(3)]
        os.killpg(process.pid, number)
        stdout, stderr = process.communicate(timeout=60)

    assert first_lines[2].startswith("train 3/100000 eta ")
    assert process.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr
    assert f"Error: {run}: stopped after " in stderr
    assert f"{run / 'checkpoint.safetensors'} holds " in stderr
    assert DetectorCheckpoint.load(run / "checkpoint.safetensors").iteration >= 3
    assert wtn("export-head", run / "checkpoint.safetensors", "-o", head).returncode == 0


def test_settings_of_a_run_repeat_it(wtn: Wtn, run: Path, tmp_path: Path) -> None:
    """The settings.toml of a run, given back, trains to the same losses."""
    again = tmp_path / "again"

    assert wtn("train", "--config", run / "settings.toml", "-o", again).returncode == 0

    runs = [(folder / "metrics.jsonl").read_text().splitlines() for folder in (run, again)]
    first, second = ([json.loads(line)["losses"] for line in lines] for lines in runs)
    assert first == second


def test_flags_name_the_sampler_and_several_sources(
    wtn: Wtn, settings_toml: Path, world: SimpleNamespace
) -> None:
    """--images is given once for each source, and replaces those of the settings file."""
    ended = wtn("train", "--config", settings_toml, "--show-config", "--sampler", "repeat-factor",
                "--images", "a.zip", "--images", "b")  # fmt: skip

    data = tomllib.loads(ended.stdout)["data"]
    assert (data["sampler"], data["images"]) == ("repeat-factor", ["a.zip", "b"])

    ended = wtn("train", "--config", settings_toml, "--show-config")

    assert tomllib.loads(ended.stdout)["data"]["images"] == [str(world.images)]


def test_show_config_prints_a_settings_file(wtn: Wtn, settings_toml: Path, tmp_path: Path) -> None:
    """Every setting is printed as TOML that reads back, and nothing is trained."""
    ended = wtn("train", "--config", settings_toml, "--set", "seed=5", "--show-config")

    assert ended.returncode == 0, ended.stderr
    printed = tomllib.loads(ended.stdout)
    assert printed["seed"] == 5
    assert printed["head"]["alpha"] == 20
    assert not (tmp_path / "run").exists()


def test_show_config_needs_no_inputs(wtn: Wtn) -> None:
    """What is required is a comment where it belongs, and a bad setting is still an error."""
    bare, partly = wtn("train", "--show-config"), wtn("train", "--show-config", "--boxes", "b.csv")
    wrong = wtn("train", "--show-config", "--iterations", 0)

    assert bare.returncode == 0, bare.stderr
    assert '\n[data]\n# boxes = "required, and not given"\n' in bare.stdout
    assert tomllib.loads(bare.stdout)["schedule"]["iterations"] == 180_000
    assert tomllib.loads(partly.stdout)["data"]["boxes"] == "b.csv"
    assert "classifier" not in tomllib.loads(partly.stdout)
    assert wrong.returncode == 2


def test_a_bad_image_half_way_keeps_what_was_trained(
    wtn: Wtn, settings_toml: Path, world: SimpleNamespace, tmp_path: Path
) -> None:
    """An image that does not decode ends training, but the iterations before it are saved."""
    images = tmp_path / "images"
    images.mkdir()
    for image in world.images.iterdir():
        (images / image.name).write_bytes(image.read_bytes())
    max(images.iterdir()).write_bytes(b"broken")
    run = tmp_path / "run"

    ended = wtn("train", "--config", settings_toml, "--images", images, "--batch-size", 1,
                "--iterations", 50, "-o", run)  # fmt: skip

    assert ended.returncode == 3
    assert "does not decode" in ended.stderr
    taken = DetectorCheckpoint.load(run / "checkpoint.safetensors").iteration
    assert 0 < taken < 50
    assert f"checkpoint.safetensors holds {taken} iterations" in ended.stderr


def test_a_class_without_a_good_box_is_not_trained(
    wtn: Wtn, settings_toml: Path, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Where all boxes of a class are dropped, it is no detection class."""
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(world.boxes.read_text() + "img0,/m/04,0.5,0.5,0.1,0.2,0\n")

    ended = wtn("train", "--config", settings_toml, "--boxes", boxes, "--policy", "drop",
                "-o", tmp_path / "run", "--json")  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["seen"] == 4


def test_one_command_line_begins_goes_on_and_ends(
    wtn: Wtn, settings_toml: Path, tmp_path: Path
) -> None:
    """As a scheduler repeats it: out of time, then finished, then nothing more to do."""
    run = tmp_path / "run"
    command = ("train", "--config", settings_toml, "-o", run, "--resume", "auto")

    first = wtn(*command, "--max-hours", 1e-9)
    second = wtn(*command, "--json")
    third, as_json = wtn(*command), wtn(*command, "--json")

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0)
    assert "The time is over, and the run is not finished. " in first.stderr
    assert f"Go on with: wtn train --resume {run}\n" in first.stderr
    assert [json.loads(second.stdout)[key] for key in ("iterations", "finished")] == [3, True]
    assert third.stdout == f"{run / 'checkpoint.safetensors'} is finished, with 3 iterations\n"
    assert json.loads(as_json.stdout)["finished"] is True


def test_a_run_goes_on_with_its_own_settings(wtn: Wtn, settings_toml: Path, tmp_path: Path) -> None:
    """The folder alone is enough; a setting that was given again wins, and may be refused."""
    run = tmp_path / "run"
    wtn("train", "--config", settings_toml, "-o", run, "--max-hours", 1e-9)

    refused = wtn("train", "--resume", run, "--seed", 1, "--batch-size", 4)
    longer = wtn("train", "--resume", run, "--iterations", 4, "--max-hours", 1)

    assert refused.returncode == 2
    assert "the run has other settings: schedule.batch_size is 2 there, 4 now" in refused.stderr
    assert "seed is 0 there, 1 now" in refused.stderr
    assert longer.returncode == 0, longer.stderr
    assert DetectorCheckpoint.load(run / "checkpoint.safetensors").iteration == 4


def test_a_damaged_checkpoint_is_told_and_passed_over(
    wtn: Wtn, settings_toml: Path, tmp_path: Path
) -> None:
    """A note names it, the one before is used, and the damaged one is written anew."""
    run = tmp_path / "run"
    wtn("train", "--config", settings_toml, "--set", "schedule.checkpoint_every=1", "-o", run)
    newest = run / "checkpoints" / "iteration-00000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])

    ended = wtn("train", "--resume", run)

    assert ended.returncode == 0, ended.stderr
    assert f"Passed over: {newest}: cut short or changed" in ended.stderr
    for checkpoint in (newest, run / "checkpoint.safetensors"):
        assert DetectorCheckpoint.load(checkpoint).iteration == 3


def test_other_boxes_are_refused(
    wtn: Wtn, settings_toml: Path, world: SimpleNamespace, tmp_path: Path
) -> None:
    """A run goes on only with the contents that it began with; nothing is changed."""
    run, boxes = tmp_path / "run", tmp_path / "boxes.csv"
    wtn("train", "--config", settings_toml, "-o", run, "--max-hours", 1e-9)
    boxes.write_text("".join(world.boxes.read_text().splitlines(keepends=True)[:-1]))
    before = contents(run)

    ended = wtn("train", "--resume", run, "--boxes", boxes)

    assert ended.returncode == 4
    assert "another file for boxes than the run was trained on until here" in ended.stderr
    assert contents(run) == before


def test_a_scheduler_that_ends_the_run_finds_it_saved(
    wtn: Wtn, settings_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM ends the run after the step, with exit code 130 and the command that goes on."""
    run = tmp_path / "run"
    monkeypatch.setattr(
        "wtn_cli.training_progress.TrainingProgress.recorded",
        lambda self, record, timing: signal.raise_signal(signal.SIGTERM),
    )

    ended = wtn("train", "--config", settings_toml, "-o", run)

    assert ended.returncode == 130
    assert f"Error: {run}: stopped after 1 of 3 iterations\n" in ended.stderr
    assert f"Go on with: wtn train --resume {run}\n" in ended.stderr
    assert DetectorCheckpoint.load(run / "checkpoint.safetensors").iteration == 1


def test_resume_does_not_replace(wtn: Wtn, settings_toml: Path, tmp_path: Path) -> None:
    """With --force it would contradict itself."""
    ended = wtn("train", "--config", settings_toml, "-o", tmp_path, "--resume", "auto", "--force")

    assert ended.returncode == 2
    assert "--resume goes on with a run, --force replaces it" in ended.stderr


def test_a_time_that_was_over_is_not_inherited(
    wtn: Wtn, settings_toml: Path, tmp_path: Path
) -> None:
    """A run that goes on by itself comes to its end, though its settings.toml holds a limit."""
    run = tmp_path / "run"
    wtn("train", "--config", settings_toml, "-o", run, "--max-hours", 1e-9)

    ended = wtn("train", "--resume", run, "--json")

    assert json.loads(ended.stdout)["finished"] is True


def test_a_run_that_was_killed_before_its_card_gets_it(wtn: Wtn, run: Path) -> None:
    """With --resume, which finds it finished; one that has its card is left alone."""
    before = contents(run)
    wtn("train", "--resume", run)
    assert contents(run) == before

    (run / "model-card.md").unlink()
    wtn("train", "--resume", run)

    assert (run / "model-card.md").exists()


def test_a_detector_without_a_state_cannot_go_on(wtn: Wtn, settings_toml: Path, run: Path) -> None:
    """--resume auto does not advise --resume auto."""
    shutil.rmtree(run / "checkpoints")

    ended = wtn("train", "--config", settings_toml, "-o", run, "--resume", "auto")

    assert ended.returncode == 2
    assert "Name another folder with --output, or replace it with --force." in ended.stderr


def test_a_stop_with_the_last_step_is_a_success(
    wtn: Wtn, settings_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is finished and complete: a scheduler has nothing to start again."""
    run = tmp_path / "run"
    monkeypatch.setattr(
        "wtn_cli.training_progress.TrainingProgress.recorded",
        lambda self, record, timing: record.iteration == 3 and signal.raise_signal(signal.SIGTERM),
    )

    ended = wtn("train", "--config", settings_toml, "-o", run)

    assert ended.returncode == 0
    assert (run / "model-card.md").exists()


def test_under_torchrun_the_command_that_goes_on_is_torchruns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many processes; what the meeting of several machines needs is left to the user."""
    assert processes.train_command() == ("wtn", "train")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "1")
    assert " ".join(processes.train_command()) == (
        "torchrun --standalone --nproc-per-node 4 -m wtn_cli train"
    )
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    assert " ".join(processes.train_command()) == (
        "torchrun --nnodes 2 ... --nproc-per-node 4 -m wtn_cli train"
    )


def test_a_lost_connection_is_told_without_its_place_in_pytorch(
    wtn: Wtn, settings_toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's detail is for --debug; what is not of the connection is told as it is."""

    def lost(*_: object, **__: object) -> None:
        raise RuntimeError("[../gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:3: reset")

    for name in processes._SET_BY_TORCHRUN:
        monkeypatch.setenv(name, "2" if name == "WORLD_SIZE" else "0")
    monkeypatch.setattr(processes, "_UNTIL_ENDED", 0.0)
    monkeypatch.setattr("pipelines.config.load_settings", lost)

    ended, debugged = (
        wtn(*options, "train", "--config", settings_toml) for options in ((), ("--debug",))
    )

    assert ended.returncode == 1
    assert (
        "Error: another process has ended\nIts own message tells why, or torchrun" in ended.stderr
    )
    assert "which signal killed it" in " ".join(ended.stderr.split())
    assert "pair.cc" not in ended.stderr
    assert "pair.cc:545" in debugged.stderr
