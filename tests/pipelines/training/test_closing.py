"""Tests for pipelines.training.closing and the model card that it writes."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.config import load_settings
from pipelines.errors import DatasetError
from pipelines.runs import show_run
from pipelines.training import closing
from pipelines.training.closing import FolderCompletion


@pytest.fixture
def run(artifacts: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a copy of a run that has not been completed."""
    return Path(shutil.copytree(artifacts.run, tmp_path / "run"))


def _complete(run: Path) -> list[str]:
    """Complete a run; return the notes."""
    notes: list[str] = []
    completion = FolderCompletion(load_settings(run / "settings.toml"), notes.append)
    completion.begun(run, 0)
    completion.ended(run)
    return notes


def test_a_run_folder_is_complete_at_the_end(run: Path) -> None:
    """Where it ran, its pictures and its card, and nothing to note."""
    before = {path.name for path in run.iterdir()}

    assert _complete(run) == []

    added = {path.name for path in run.iterdir()} - before
    assert added == {"environment.json", "losses.png", "learning-rates.png", "model-card.md"}
    assert json.loads((run / "environment.json").read_text())["data"] == {"boxes": None}


def test_the_card_tells_what_was_trained(run: Path) -> None:
    """Classes, data by contents, settings that are not the defaults, losses and machine."""
    _complete(run)

    card = (run / "model-card.md").read_text()
    assert "# ae-wtn, tiny, 8 classes" in card
    assert "| seen | 4 | Bus, Egg, Dog, Apple |" in card
    assert "| novel | 3 | Cat, Fox, Gun |" in card
    assert "| other | 1 | /m/025 |" in card
    assert "- boxes `boxes.csv`, SHA-256 `" in card
    assert "| `schedule.batch_size` | 2 | 8 |" in card
    assert "| iterations | 3 of 3 |" in card
    assert "| loss_reconstruction | " in card
    assert "![losses](losses.png)" in card
    assert "Nothing was evaluated during training" in card
    assert "--resume" not in card  # it is finished


def test_the_card_counts_what_was_left_out(run: Path) -> None:
    """Steps and images, as the last record has them; nothing where there are none."""
    _complete(run)
    assert "left out" not in (run / "model-card.md").read_text()
    metrics = (run / "metrics.jsonl").read_text()
    counts = '"skipped": 1, "skipped_images": 2'
    (run / "metrics.jsonl").write_text(metrics.replace('"skipped": 0, "skipped_images": 0', counts))

    _complete(run)

    card = (run / "model-card.md").read_text()
    assert "| steps left out, loss not finite | 1 |" in card
    assert "| images left out, that do not decode | 2 |" in card
    assert show_run(run).skipped_images == 2


def test_the_card_names_no_folder(run: Path, world: SimpleNamespace) -> None:
    """A card is there to be shown, and paths tell who made it."""
    _complete(run)

    card = (run / "model-card.md").read_text()
    assert str(world.boxes.parent) not in card
    assert str(run) not in card


def test_the_card_has_the_last_and_the_best_evaluation(run: Path) -> None:
    """In percent, with the iterations before the best."""
    with (run / "metrics.jsonl").open("a") as file:
        for iteration, value in ((2, 0.5), (3, 0.25)):
            record = {"iteration": iteration, "evaluation": {"novel_AP50": value}}
            file.write(json.dumps(record) + "\n")
    settings = (run / "settings.toml").read_text()
    for group, added in (
        ("[evaluation]", 'every = 1\nboxes = "val.csv"'),
        ("[checkpoints]", 'keep_best = "novel_AP50"'),
    ):
        settings = settings.replace(group, f"{group}\n{added}")
    (run / "settings.toml").write_text(settings)

    _complete(run)

    card = (run / "model-card.md").read_text()
    assert "| novel AP50 | 25.00 | 50.00 | 2 |" in card
    assert "by the metric `oid`, on `val.csv`" in card
    assert "`best.safetensors` is the checkpoint with the best novel AP50." in card
    assert "![evaluation](evaluation.png)" in card


def test_an_unfinished_run_tells_how_it_goes_on(run: Path) -> None:
    """Its time was over."""
    settings = run / "settings.toml"
    settings.write_text(settings.read_text().replace("iterations = 3", "iterations = 5"))

    _complete(run)

    assert "wtn train --resume ." in (run / "model-card.md").read_text()


def test_without_matplotlib_there_is_a_card_and_a_note(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note names the extra."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    notes = _complete(run)

    assert notes == [
        "No pictures of the run: plots need matplotlib, the extra plots. "
        "Install it: pip install matplotlib"
    ]
    assert "![" not in (run / "model-card.md").read_text()


def test_a_full_disk_at_the_end_ends_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector is trained and saved; what could not be written is noted."""

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(closing, "draw_history", lambda *arguments: [])
    monkeypatch.setattr(closing, "write_model_card", full)

    assert _complete(run) == [
        "The pictures and the model card were not written (No space left on device)."
    ]


def test_what_is_damaged_or_not_known_ends_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at the beginning nor at the end; the notes say what is wrong."""

    def unknown(*arguments: object) -> None:
        raise DatasetError("no such thing")

    monkeypatch.setattr(closing, "describe_environment", unknown)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 2}\n')

    first, second = _complete(run)

    assert first == "environment.json was not written (no such thing)."
    assert second.startswith("The pictures and the model card were not written (")
    assert "metrics.jsonl:" in second


def test_an_undefined_figure_ends_nothing(run: Path, wtn: Callable[..., SimpleNamespace]) -> None:
    """Where nothing was there to find: the run is complete, and is read like any other."""
    with (run / "metrics.jsonl").open("a") as file:
        for value in (0.5, None):
            evaluation = {"novel_AP50": value, "seen_AP50": None}
            file.write(json.dumps({"iteration": 3, "evaluation": evaluation}) + "\n")

    assert _complete(run) == []

    assert "| novel AP50 | - | 50.00 | 3 |" in (run / "model-card.md").read_text()
    assert (run / "evaluation.png").exists()
    for arguments in (["list", run.parent], ["show", run], ["compare", run, run]):
        told = wtn("runs", *arguments)
        assert told.returncode == 0
        assert "damaged" not in told.stderr
    shown = json.loads(wtn("runs", "show", run, "--json").stdout)
    assert shown["evaluations"][1]["metrics"] == {"novel_AP50": None, "seen_AP50": None}


def test_the_card_shows_the_pictures_of_this_run(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that an earlier one left, where none can be drawn now."""
    (run / "losses.png").write_bytes(b"of an earlier run")
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    _complete(run)

    assert "![" not in (run / "model-card.md").read_text()
