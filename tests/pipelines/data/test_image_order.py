"""Tests for pipelines.data.image_order."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.image_order import class_balanced_order, repeat_factor_order, uniform_order
from pipelines.data.open_images import read_boxes

# (image, label) of each box. Images a class: 0 has four (0, 1, 2, 3), 1 three (1, 2, 4), 2 two
# (3, 5), 3 one (2), 4 two (3, 5).
BOXES = [(0, 0), (0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 3), (3, 4), (3, 2), (3, 0), (4, 1),
         (5, 4), (5, 2)]  # fmt: skip

rows = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), min_size=1, max_size=60)


def columns(boxes: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and the labels of boxes."""
    image, label = np.array(boxes).T
    return image, label


def test_the_balanced_list_is_that_of_the_published_algorithm() -> None:
    """Worked out by hand: rarest class first, most labels first, round and round.

    Class 3 takes image 2. Classes 2 and 4 tie with two images each; 2 comes first and takes both 3
    (three labels) and 5 (two), so 4 has no turn. Class 1 takes 1 (two labels) and 4 (one), class 0
    what is left: 0.
    """
    order = class_balanced_order(*columns(BOXES), length=11)

    assert order.images.tolist() == [2, 3, 1, 0, 2, 5, 4, 0, 2, 3, 1]


def test_ties_within_a_class_fall_as_in_a_reversed_ascending_sort() -> None:
    """Of images with equally many labels the later one comes first."""
    order = class_balanced_order(*columns([(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (3, 0), (4, 1)]))

    assert order.images[:8].tolist() == [2, 3, 1, 0, 4, 3, 2, 0]


def slow_balanced_list(boxes: list[tuple[int, int]], length: int) -> list[int]:
    """Follow the release step by step, one image at a time."""
    images_of = {c: {i for i, label in boxes if label == c} for c in {c for _, c in boxes}}
    labels_of = {i: {c for image, c in boxes if image == i} for i, _ in boxes}
    taken: set[int] = set()
    turns: list[list[int]] = []
    for c in sorted(images_of, key=lambda c: (len(images_of[c]), c)):
        mine = sorted(images_of[c] - taken)
        taken |= images_of[c]
        if mine:
            turns.append(sorted(mine, key=lambda i: len(labels_of[i]))[::-1])
    return [turns[i % len(turns)][i // len(turns) % len(turns[i % len(turns)])]
            for i in range(length)]  # fmt: skip


@given(rows, st.integers(1, 50))
def test_the_balanced_list_equals_a_slow_one(boxes: list[tuple[int, int]], length: int) -> None:
    """Whatever the boxes and their order, the list is the one that loops over images make."""
    fast = class_balanced_order(*columns(boxes), length=length)

    assert fast.images.tolist() == slow_balanced_list(boxes, length)


@given(rows, st.floats(1e-3, 1))
def test_an_image_repeats_as_its_rarest_class_says(
    boxes: list[tuple[int, int]], threshold: float
) -> None:
    """The factor of an image is the largest of max(1, sqrt(t / f)) among its classes."""
    order = repeat_factor_order(*columns(boxes), threshold)

    pairs = set(boxes)
    num_images = len({image for image, _ in pairs})
    share = {c: n / num_images for c, n in Counter(c for _, c in pairs).items()}
    expected = {i: max(1, *((threshold / share[c]) ** 0.5 for image, c in pairs if image == i))
                for i, _ in pairs}  # fmt: skip
    assert dict(zip(order.images.tolist(), order.repeats, strict=True)) == pytest.approx(expected)


def test_fractions_of_a_repeat_are_drawn_anew() -> None:
    """A factor of 2.5 gives two or three looks a pass, two and a half on average."""
    boxes = [(i, 0) for i in range(15)] + [(16, 1)]
    order = repeat_factor_order(*columns(boxes), threshold=6.25 / 16)
    random = np.random.default_rng(0)

    looks = [Counter(order.draw(random).tolist()) for _ in range(2000)]

    assert {look[16] for look in looks} == {2, 3}
    assert np.mean([look[16] for look in looks]) == pytest.approx(2.5, abs=0.05)
    assert {look[3] for look in looks} == {1}


def test_uniform_shows_each_image_once() -> None:
    """A pass holds every image."""
    assert uniform_order(4).draw(np.random.default_rng(0)).tolist() == [0, 1, 2, 3]


@pytest.mark.real_data
def test_the_balanced_list_equals_the_official_code(real_data: Path) -> None:
    """On the released VG-200 boxes the list is what the official code makes with stable sorts.

    The digest is of the ids that ``datasets/openimages.py`` returned with ``np.argsort`` made
    stable and ``n_ids=100000``. It reads the ids as numbers, so they are put into that order here.
    """
    table = read_boxes(real_data / "open-images" / "vg-annotations-bbox.csv", "keep")
    ids = np.array(table.image_ids, dtype=np.int64)
    place = np.argsort(np.argsort(ids))

    order = class_balanced_order(place[table.image], table.label, length=100_000)

    found = "\n".join(map(str, np.sort(ids)[order.images]))
    assert hashlib.sha256(found.encode()).hexdigest() == (
        "a046d792709434790af4cdde85f53fad86d94bc0589a04c0ad2d317f4f3d8600"
    )
