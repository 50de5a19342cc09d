"""Tests for pipelines.data.presets: which official counts are asked for."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.data import presets
from pipelines.data.annotation_sources import OpenImagesSource
from pipelines.errors import MismatchError

LABELS = {"classes_with_labels": 57, "present_labels": 28_786, "absent_labels": 15_699}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"boxes": ("b",)}, {}),
        ({"image_labels": ("l",)}, {}),
        ({"image_labels": ("l",), "expanded": True}, {**LABELS, "images": 27_164}),
        ({"boxes": ("b",), "image_labels": ("l",)}, {"verified_images": 31_061}),
        (
            {"boxes": ("b",), "image_labels": ("l",), "expanded": True},
            {**LABELS, "verified_images": 31_061},
        ),
    ],
    ids=str,
)
def test_oi_57_asks_for_what_its_files_can_show(
    given: dict[str, object], expected: dict[str, int]
) -> None:
    """Label counts are those of the released file; the paper's images need boxes and labels."""
    first = OpenImagesSource(Path("classes"), boxes=(Path("any"),))
    source = replace(first, **{"boxes": (), **given})  # type: ignore[arg-type]

    plan = presets.oi_57(source, Path("index"), any_counts=False)

    assert plan.expected == {"classes": 57, **expected}
    assert plan.expand
    assert presets.oi_57(source, Path("index"), any_counts=True).expected == {}


def test_oi_500_asks_for_all_validation_images(tmp_path: Path) -> None:
    """A list that was cut short would let validation images into training."""
    ids = tmp_path / "ids.txt"
    ids.write_text("".join(f"{number}\n" for number in range(99_999)))

    with pytest.raises(MismatchError, match="99999 instead of 100000") as caught:
        presets.oi_500(ids, tmp_path, any_counts=False)
    assert caught.value.where == str(ids)
    with ids.open("a") as file:
        file.write("99999\n")
    val, train = presets.oi_500(ids, tmp_path, any_counts=False)

    assert (val.only_images, train.exclude_images) == (ids, ids)
    assert (val.expand, train.expand) == (True, False)
    assert val.expected == train.expected == {"classes": 500}


def test_vg_200_asks_for_the_boxes_of_the_release() -> None:
    """Another policy than the release's leaves other boxes."""
    kept = presets.vg_200(Path("index"), "keep", any_counts=False)

    assert kept.expected == {"boxes": 39_784, "images": 24_690, "classes_with_boxes": 200}
    assert presets.vg_200(Path("index"), "clip", any_counts=False).expected == {}
    assert presets.vg_200(Path("index"), "keep", any_counts=True).expected == {}
