"""Tests for what ``wtn train`` does with its images: those that do not decode, and their order."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from zipfile import ZipFile

import pytest
from safetensors.torch import load_file

Wtn = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def images(world: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a copy of the six images, of which one is cut."""
    folder = Path(shutil.copytree(world.images, tmp_path / "images"))
    (folder / "img3.png").write_bytes((folder / "img3.png").read_bytes()[:60])
    return folder


def test_bad_images_are_named_once_and_counted(
    wtn: Wtn, settings_toml: Path, images: Path, tmp_path: Path
) -> None:
    """Two passes meet the bad image twice; it is named when it is first met, and no other is."""
    run = tmp_path / "run"
    ended = wtn("train", "--config", settings_toml, "--images", images, "--bad-images", "skip",
                "--iterations", 6, "-o", run, "--json")  # fmt: skip

    assert ended.returncode == 0
    named = [line for line in ended.stderr.splitlines() if line.startswith("Skipped: ")]
    (line,) = named
    assert line.startswith(f"Skipped: {images}/img3.png: the image does not decode")
    assert json.loads(ended.stdout)["skipped_images"] == 2
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["skipped_images"] == 2


def test_a_sequential_run_goes_on_where_it_stopped(
    wtn: Wtn, settings_toml: Path, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Stopped within a pass, with images read ahead, it ends with the weights of a whole run.

    Packed in another order, the same images would come in another one, and are refused.
    """
    options = ["--config", settings_toml, "--images", world.images_zip, "--sampler", "sequential"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert wtn("train", *options, "--iterations", 5, "-o", whole).returncode == 0

    assert wtn("train", *options, "--iterations", 2, "-o", parts).returncode == 0
    resumed = wtn("train", *options, "--iterations", 5, "-o", parts, "--resume", "auto")

    assert resumed.returncode == 0
    left, right = (load_file(run / "checkpoint.safetensors") for run in (whole, parts))
    assert all(left[name].equal(right[name]) for name in left)
    packed = tmp_path / "packed.zip"
    with ZipFile(world.images_zip) as there, ZipFile(packed, "w") as here:
        for name in reversed(there.namelist()):
            here.writestr(name, there.read(name))
    options[options.index(world.images_zip)] = packed
    refused = wtn("train", *options, "--iterations", 6, "-o", parts, "--resume", "auto")
    assert refused.returncode == 4
    assert "the images lie otherwise in their archives" in refused.stderr
