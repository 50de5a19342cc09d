"""Tests for pipelines.data.shapes_scenes: scenes, their boxes, and crops."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from pipelines.data.shapes import shapes_vocabulary
from pipelines.data.shapes_scenes import SceneBox, deal_scenes, draw_crop, draw_scene

SIZE = 128


def _scenes(count: int) -> list[tuple[np.ndarray, list[SceneBox]]]:
    dealt = deal_scenes(np.arange(100), count, np.random.default_rng(0))
    return [draw_scene(rows, SIZE, np.random.default_rng(i)) for i, rows in enumerate(dealt)]


@pytest.fixture(scope="module")
def scenes() -> list[tuple[np.ndarray, list[SceneBox]]]:
    """Return a hundred scenes, which hold all the hundred classes three times."""
    return _scenes(100)


def test_classes_are_dealt_in_turn() -> None:
    """Scenes hold one to five objects, and no class comes twice more often than another."""
    rows = np.array([3, 5, 8, 13, 21, 34, 55])

    dealt = list(deal_scenes(rows, 50, np.random.default_rng(0)))

    assert np.bincount([len(scene) for scene in dealt]).tolist() == [0, 10, 10, 10, 10, 10]
    uses = np.bincount(np.concatenate(dealt))[rows]
    assert uses.max() - uses.min() <= 1


def test_boxes_lie_in_the_scene_and_have_the_size_of_objects(
    scenes: list[tuple[np.ndarray, list[SceneBox]]],
) -> None:
    """Boxes are fractions of the scene, from about 10 pixels (a cut pill) to 64."""
    boxes = np.array([box.extent for _, found in scenes for box in found])
    widths, heights = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]

    assert boxes.min() >= 0
    assert boxes.max() <= 1
    assert min(widths.min(), heights.min()) * SIZE >= 5
    assert max(widths.max(), heights.max()) * SIZE <= 66


def test_objects_barely_overlap(scenes: list[tuple[np.ndarray, list[SceneBox]]]) -> None:
    """No two boxes of a scene overlap with an IoU of more than 0.12."""
    for _, found in scenes:
        corners = torch.tensor([[box.extent[i] for i in (0, 2, 1, 3)] for box in found])
        overlaps = box_iou(corners, corners).fill_diagonal_(0)
        assert overlaps.max() <= 0.12


def test_some_objects_are_hidden_or_cut(scenes: list[tuple[np.ndarray, list[SceneBox]]]) -> None:
    """Occlusion and truncation occur, but most objects are whole."""
    boxes = [box for _, found in scenes for box in found]

    assert 0.01 < np.mean([box.occluded for box in boxes]) < 0.4
    assert 0.01 < np.mean([box.truncated for box in boxes]) < 0.4


def test_a_cut_object_touches_the_border(
    scenes: list[tuple[np.ndarray, list[SceneBox]]],
) -> None:
    """The box of a truncated object that nothing hides ends at the border of the scene."""
    cut = [b for _, found in scenes for b in found if b.truncated and not b.occluded]

    assert cut
    assert all(
        0 in (box.extent[0], box.extent[2]) or 1 in (box.extent[1], box.extent[3]) for box in cut
    )


def test_the_box_is_where_the_object_is() -> None:
    """With one object, the pixels that stand out from the background lie in its box."""
    red_circle = np.array([0])
    for seed in range(10):
        image, (box,) = draw_scene(red_circle, SIZE, np.random.default_rng(seed))
        xmin, xmax, ymin, ymax = (round(edge * SIZE) for edge in box.extent)
        red = image[..., 0].astype(int) - image[..., 1:].max(axis=2) > 70
        rows, columns = red.any(axis=1).nonzero()[0], red.any(axis=0).nonzero()[0]
        found = (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1)
        np.testing.assert_allclose(found, (xmin, xmax, ymin, ymax), atol=1.01)
        assert box.row == 0


def test_crops_of_a_class_differ_and_show_it() -> None:
    """Crops of a red circle are red in the middle, and no two are alike."""
    crops = [draw_crop(0, 48, np.random.default_rng(seed)) for seed in range(10)]

    assert all(crop.shape == (48, 48, 3) for crop in crops)
    assert all(int(crop[24, 24, 0]) - int(crop[24, 24, 1]) > 70 for crop in crops)
    assert all(np.abs(a.astype(int) - b).mean() > 3 for a, b in pairwise(crops))


def test_rows_of_a_world_with_accents_are_drawn_in_theirs() -> None:
    """A red navy split circle is blue in half of a crop and of its box; in cream it is not."""
    names = shapes_vocabulary(6).names
    for accent, expected in (("navy", True), ("cream", False)):
        row = names.index(f"red {accent} split circle")
        crop = draw_crop(row, 48, np.random.default_rng(1), accents=6)
        scene, (box,) = draw_scene(np.array([row]), 48, np.random.default_rng(1), accents=6)
        for image in (crop, scene):
            blue = image[..., 2].astype(int) - image[..., 0] > 70
            assert (blue.sum() > 30) == expected
        assert box.row == row
