"""Tests for pipelines.training.crops."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.errors import DatasetError
from pipelines.training.crops import Crops, normalise

N, S = 600, 16


def _save(path: Path, **changes: Tensor) -> Path:
    """Write black crops of one class."""
    crops = {
        "images": torch.zeros(N, S, S, 3, dtype=torch.uint8),
        "labels": torch.zeros(N, dtype=torch.int64),
        "attributes": torch.zeros(N, 2, dtype=torch.int64),
    }
    save_file(crops | changes, path)
    return path


def test_images_are_normalised_as_the_detector_does() -> None:
    """Channels become planes, with torchvision's ImageNet mean and deviation."""
    images = torch.tensor([0, 255, 128], dtype=torch.uint8).repeat(1, 2, 4, 1)

    x = normalise(images)

    assert x.shape == (1, 3, 2, 4)
    expected = torch.tensor([(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225])
    torch.testing.assert_close(x[0, :, 1, 3], expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.zeros(9, dtype=torch.int64)}, "600 images, 9 labels and 600 attributes"),
        ({"more": torch.zeros(1)}, "not a file of crops"),
    ],
)
def test_other_tensors_are_refused(
    tmp_path: Path, changes: dict[str, Tensor], message: str
) -> None:
    """Tensors that do not belong together, or to crops, are an error that names the file."""
    crops = _save(tmp_path / "bad.safetensors", **changes)

    with pytest.raises(DatasetError, match=message):
        Crops.load(crops)


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    """A path that holds no crops is an error, not a traceback."""
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_text("not tensors")

    for path in (foreign, tmp_path / "missing.safetensors"):
        with pytest.raises(DatasetError, match="not a file of crops"):
            Crops.load(path)
