"""Tests for pipelines.exporters.detic."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.errors import RunError
from pipelines.exporters import detic
from pipelines.exporters.base import PlainDetector

PREDICTOR = "roi_heads.box_predictor."


def test_rows_end_in_their_bias(source: PlainDetector, tmp_path: Path) -> None:
    """One row a class, float32, and the names in the same order."""
    detic.write(source, tmp_path)

    rows = np.load(tmp_path / "zeroshot_weights.npy")

    assert (rows.shape, rows.dtype) == ((5, 25), np.float32)
    np.testing.assert_array_equal(rows[:, :-1], source.head.weight.numpy())
    np.testing.assert_array_equal(rows[:, -1], source.head.bias.numpy())
    names = (tmp_path / "names.txt").read_text().splitlines()
    assert names == list(source.head.vocabulary.names)


def test_its_layers_score_as_a_plain_head_does(source: PlainDetector, tmp_path: Path) -> None:
    """What Detic does with the files, written out, is ``x @ weight.T + bias``."""
    detic.write(source, tmp_path)
    layers = torch.load(tmp_path / "head.pth", weights_only=True)["model"]
    rows = torch.from_numpy(np.load(tmp_path / "zeroshot_weights.npy"))
    x = torch.rand(7, 24)

    longer = F.linear(
        x,
        layers[f"{PREDICTOR}cls_score.linear.weight"],
        layers[f"{PREDICTOR}cls_score.linear.bias"],
    )

    torch.testing.assert_close(longer, torch.cat([x, torch.ones(7, 1)], dim=1), rtol=0, atol=0)
    wanted = F.linear(x, source.head.weight, source.head.bias)
    torch.testing.assert_close(longer @ rows.T, wanted, rtol=0, atol=1e-6)


def test_the_config_turns_off_what_detic_would_add(source: PlainDetector, tmp_path: Path) -> None:
    """No normalisation, no bias, no proposal score; the width counts the bias."""
    detic.write(source, tmp_path)

    lines = {line.strip() for line in (tmp_path / "config.yaml").read_text().splitlines()}

    assert {
        "NUM_CLASSES: 5",
        "USE_ZEROSHOT_CLS: true",
        'ZEROSHOT_WEIGHT_PATH: "zeroshot_weights.npy"',
        "ZEROSHOT_WEIGHT_DIM: 25",
        "NORM_WEIGHT: false",
        "USE_BIAS: 0.0",
        "USE_SIGMOID_CE: true",
        "MULT_PROPOSAL_SCORE: false",
    } <= lines


@pytest.mark.parametrize("backbone", ["resnet18", "tiny"])
def test_the_predictor_agrees_on_any_backbone(
    detector_on: Callable[[str], PlainDetector],
    images: list[Tensor],
    tmp_path: Path,
    backbone: str,
) -> None:
    """The form holds the head alone, so the rest may be any."""
    source = detector_on(backbone)
    detic.write(source, tmp_path)

    agreement = detic.check(source, tmp_path, images)

    assert agreement.count > 20
    assert agreement.scores < 1e-6
    assert agreement.boxes < 1e-3


def test_rows_that_differ_are_refused(
    source: PlainDetector, images: list[Tensor], tmp_path: Path
) -> None:
    """The file of rows is read back too."""
    detic.write(source, tmp_path)
    path = tmp_path / "zeroshot_weights.npy"
    np.save(path, np.load(path)[::-1])

    with pytest.raises(RunError, match=r"zeroshot_weights.npy: rows is not in it"):
        detic.check(source, tmp_path, images)
