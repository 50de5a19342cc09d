"""Tests for pipelines.benchmarks.feeding, its drawn photographs, and its part of the command."""

import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipelines.benchmarks import feeding, slow_storage
from pipelines.benchmarks.drawn_photos import write_photos
from pipelines.data.images import open_images
from pipelines.errors import BadImageError, ConfigError

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


def test_every_number_of_workers_is_timed(world: SimpleNamespace) -> None:
    """Doubling up to the most; each worker's part is told, and that of the most decides."""
    found = feeding.benchmark_feeding([world.images], appetites=[1.0, 1e9], workers=2, runs=1)

    assert (found.images, found.mean_pixels, found.drawn) == (6, 64 * 64, False)
    assert [speed.workers for speed in found.speeds] == [1, 2]
    assert all(s.per_worker == pytest.approx(s.images_per_second / s.workers) for s in found.speeds)
    little, much = found.appetites
    assert (little.workers, little.cpus_suffice) == (1, True)
    assert much.workers == pytest.approx(1e9 / found.speeds[-1].per_worker, rel=0.01)
    assert not much.cpus_suffice


def test_the_appetite_is_that_of_the_caller(wtn: Wtn, world: SimpleNamespace) -> None:
    """Images alone are one JSON object, and take no box file."""
    ended = wtn("benchmark", "data", "--photos-only", "--photos", world.images_zip,
                "--appetite", 60, "--workers", 1, "--runs", 1)  # fmt: skip

    assert ended.returncode == 0
    found = json.loads(ended.stdout)
    assert list(found) == ["feeding"]
    assert [appetite["images_per_second"] for appetite in found["feeding"]["appetites"]] == [60]


def test_a_bad_image_is_named(world: SimpleNamespace, tmp_path: Path) -> None:
    """As in a training."""
    (tmp_path / "bad.jpg").write_bytes(b"not an image")

    with pytest.raises(BadImageError, match=r"bad.jpg: the image does not decode"):
        feeding.benchmark_feeding([tmp_path], workers=1, runs=1)


def test_drawn_photos_weigh_what_photographs_do(tmp_path: Path) -> None:
    """Of the size of Open Images' files, in pixels and in bytes, and no two alike."""
    write_photos(tmp_path / "drawn.zip", 2)

    with zipfile.ZipFile(tmp_path / "drawn.zip") as archive:
        files = [archive.read(name) for name in archive.namelist()]
    pixels = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    assert {picture.shape for picture in pixels} == {(768, 1024, 3)}
    assert all(250_000 < len(file) < 350_000 for file in files)
    assert not np.array_equal(*pixels)


def test_slow_storage_is_read_in_longer_runs(
    world: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequential order takes fewer reads of an archive, longer ones, and hardly more bytes."""
    monkeypatch.setattr(slow_storage, "_BUFFER", 160)
    monkeypatch.setattr(slow_storage, "_TIMED", 20)
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        for number in range(400):
            archive.add(world.images / "img1.png", f"{number:03}.png")

    store = open_images(tmp_path / "images.tar")
    uniform, sequential = slow_storage.compare_samplers(store, latency=0)

    assert uniform.images == sequential.images == uniform.reads == 160
    assert uniform.bytes_read_share == 1
    assert sequential.reads < 60
    assert sequential.mean_read_bytes > 3 * uniform.mean_read_bytes


def test_a_latency_of_a_folder_is_refused(world: SimpleNamespace) -> None:
    """Its files do not lie side by side; the message says how to pack them."""
    with pytest.raises(ConfigError, match=r"about archives alone\n.*tar -cf"):
        feeding.benchmark_feeding([world.images], latency=0, workers=1, runs=1)
