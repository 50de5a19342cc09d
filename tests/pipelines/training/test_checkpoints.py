"""Tests for pipelines.training.checkpoints, on the pairs of the training that all tests share."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.artifacts import DetectorCheckpoint
from pipelines.training.checkpoints import Pair, newest_whole, pair_of, pairs_in, prune, put
from pipelines.training.progress import Best, Progress
from pipelines.training.records import Window

NAME = "iteration-00000003.safetensors"
STATE = "iteration-00000003.state.safetensors"


@pytest.fixture
def pairs(artifacts: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a folder with a pair of iteration 3, and another that stands for an older one."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(artifacts.run / "checkpoints", folder)
    for name in (NAME, STATE):
        shutil.copy(folder / name, folder / name.replace("3", "2"))
    return folder


def halve(path: Path) -> None:
    """Cut a file in half."""
    os.truncate(path, path.stat().st_size // 2)


def spoil(path: Path) -> None:
    """Change the last byte of a file."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_the_newest_pair_is_found(pairs: Path, artifacts: SimpleNamespace) -> None:
    """Its checkpoint is the run's, and nothing is noted."""
    saved, notes = newest_whole(pairs)

    assert saved is not None
    assert (saved.iteration, notes) == (3, [])
    expected = DetectorCheckpoint.load(artifacts.checkpoint)
    assert all(saved.checkpoint.model[n].equal(t) for n, t in expected.model.items())


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: halve(folder / NAME), f"{NAME}: cut short or changed"),
        (lambda folder: spoil(folder / NAME), f"{NAME}: cut short or changed"),
        (lambda folder: (folder / NAME).unlink(), f"{NAME}: no such file"),
        (lambda folder: halve(folder / STATE), f"{STATE}: not a complete safetensors file"),
        (lambda folder: spoil(folder / STATE), f"{STATE}: its tensors are not those"),
        (lambda folder: (folder / STATE).unlink(), f"{STATE}: no such file"),
    ],
)
def test_a_damaged_pair_is_passed_over(
    pairs: Path, damage: Callable[[Path], object], told: str
) -> None:
    """Whatever happened to one of its files; the note names it, and the one before is used."""
    damage(pairs)

    saved, notes = newest_whole(pairs)

    assert saved is not None
    assert saved.pair == Pair(pairs, 2)
    assert len(notes) == 1
    assert told in notes[0]


def test_the_newest_are_kept(pairs: Path) -> None:
    """Half a pair counts as one; other files are left alone."""
    (pairs / "iteration-00000001.safetensors").write_bytes(b"")
    (pairs / "notes.txt").write_text("mine")

    prune(pairs, keep=1)

    assert [pair.iteration for pair in pairs_in(pairs)] == [3]
    assert sorted(path.name for path in pairs.iterdir()) == [NAME, STATE, "notes.txt"]


def test_files_name_their_pair() -> None:
    """Either file of a pair names it; no other file does."""
    assert pair_of(Path("a") / NAME) == pair_of(Path("a") / STATE) == Pair(Path("a"), 3)
    assert pair_of(Path("checkpoint.safetensors")) is None


@pytest.mark.parametrize("links", [True, False])
def test_a_second_name_outlives_the_first(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there are no hard links the content is copied."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    if not links:
        monkeypatch.setattr("pipelines.training.checkpoints.os.link", _refuse)

    put(source, target)
    put(source, target)

    assert target.samefile(source) == links
    source.unlink()
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def _refuse(source: Path, target: Path) -> None:
    raise OSError("no hard links here")


def test_progress_survives_json_to_the_last_bit() -> None:
    """Sums that no short decimal is come back as they were."""
    progress = Progress(7, 1, 2, Window(3, {"loss": 0.1 + 0.2, "loss_a": 1 / 3}), Best(5, 1e-17))

    assert Progress.from_json(progress.as_json()) == progress
    assert Progress.from_json(Progress().as_json()) == Progress()
