"""Tests for pipelines.data.split_plans: which images stay, and what is counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable, Source
from pipelines.data.split_plans import SplitPlan, count_split, refuse_other_counts
from pipelines.data.splits import annotated_images
from pipelines.errors import MismatchError
from pipelines.vocabulary import Vocabulary

TREE = {"LabelName": "root", "Subcategory": [{"LabelName": "pet", "Subcategory": [
    {"LabelName": "cat"}]}]}  # fmt: skip


@pytest.fixture
def split() -> Annotations:
    """Return a cat in image i, labels of j and k, and image l without any row."""
    images = ("i", "j", "k", "l")
    boxes = BoxTable.of(
        Source(Path("boxes.csv")),
        np.array([2, 3]),
        image_ids=images,
        image=np.array([0, 0]),
        class_ids=("cat",),
        label=np.array([0, 0]),
        boxes=np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5]]),
        group_of=np.array([True, False]),
    )
    labels = ImageLabelTable(
        images, np.array([1, 2]), ("cat",), np.array([0, 0]), np.array([True, False])
    )
    vocabulary = Vocabulary(("pet", "cat"), ("Pet", "Cat"))
    return Annotations(images, boxes, labels, vocabulary, np.zeros((4, 2), np.int32), TREE)


def test_what_is_counted(split: Annotations) -> None:
    """Images are evaluated where something is boxed or known to be absent."""
    assert count_split(split) == {
        "images": 4, "images_with_boxes": 1, "verified_images": 2, "boxes": 2, "group_of": 1,
        "classes": 2, "classes_with_boxes": 1, "classes_with_labels": 1, "present_labels": 1,
        "absent_labels": 1,
    }  # fmt: skip
    bare = count_split(replace(split, labels=None))
    assert (
        bare["verified_images"],
        bare["present_labels"],
        bare["absent_labels"],
    ) == (1, 0, 0)


def test_images_that_lose_their_rows_go(split: Annotations, tmp_path: Path) -> None:
    """An image that never had a row says that it is empty; one whose rows went says nothing."""
    bare = ~annotated_images(split)
    fewer = replace(split, vocabulary=Vocabulary(("pet",), ("Pet",)))

    kept, _ = SplitPlan(tmp_path / "index").apply(split, bare)
    pets, _ = SplitPlan(tmp_path / "index").apply(fewer, bare)
    expanded, _ = SplitPlan(tmp_path / "index", expand=True).apply(fewer, bare)

    assert tuple(kept.image_ids) == ("i", "j", "k", "l")
    assert tuple(pets.image_ids) == ("l",)
    assert tuple(expanded.image_ids) == ("i", "j", "l")  # no cat in k, but maybe another pet
    assert expanded.boxes.class_ids == ("pet",)


def test_lists_keep_and_leave_out(split: Annotations, tmp_path: Path) -> None:
    """Both lists may be given; entries that name no annotated image are counted."""
    only, exclude = tmp_path / "only", tmp_path / "exclude"
    only.write_text("i\nj\nl\nz\n")
    exclude.write_text("j\nk\nx\ny\n")
    plan = SplitPlan(tmp_path / "index", only, exclude)

    found, counts = plan.apply(split, ~annotated_images(split))

    assert tuple(found.image_ids) == ("i", "l")
    assert (counts["unmatched_only_images"], counts["unmatched_exclude_images"]) == (1, 2)
    assert len(found.boxes) == 2
    assert found.labels is not None
    assert len(found.labels) == 0


def test_a_list_may_name_the_files(split: Annotations, tmp_path: Path) -> None:
    """A file name stands for its image, so that a list of files leaves out what it names."""
    exclude = tmp_path / "exclude"
    exclude.write_text("i\nval/j.JPG\nk.png\nk\nl.txt\nz.jpg\n")

    found, counts = SplitPlan(tmp_path / "index", None, exclude).apply(
        split, ~annotated_images(split)
    )

    assert tuple(found.image_ids) == ("l",)
    assert counts["unmatched_exclude_images"] == 2


def test_an_id_may_end_like_a_file(split: Annotations, tmp_path: Path) -> None:
    """Where ids have suffixes themselves, an entry is the id that it is."""
    images, exclude = ("i", "i.jpg", "k", "l"), tmp_path / "exclude"
    assert split.labels is not None
    split = replace(
        split,
        image_ids=images,
        boxes=replace(split.boxes, image_ids=images),
        labels=replace(split.labels, image_ids=images),
    )
    exclude.write_text("i.jpg\n")

    found, counts = SplitPlan(tmp_path / "index", None, exclude).apply(
        split, ~annotated_images(split)
    )

    assert tuple(found.image_ids) == ("i", "k", "l")
    assert counts["unmatched_exclude_images"] == 0


def test_a_part_may_take_the_memory_of_the_whole(split: Annotations, tmp_path: Path) -> None:
    """Rows that are taken in place are not copied; otherwise the dataset serves other plans."""
    exclude = tmp_path / "exclude"
    exclude.write_text("j\n")
    plan, bare = SplitPlan(tmp_path / "index", None, exclude), ~annotated_images(split)

    copied, _ = plan.apply(split, bare)
    assert not np.shares_memory(copied.boxes.boxes, split.boxes.boxes)

    moved, _ = plan.apply(split, bare, in_place=True)
    assert moved.boxes.boxes.tolist() == copied.boxes.boxes.tolist()
    for name in ("boxes", "group_of", "source", "rows"):
        assert np.shares_memory(getattr(moved.boxes, name), getattr(split.boxes, name)), name


def test_only_expected_counts_matter() -> None:
    """Counts that nobody expects are not looked at."""
    refuse_other_counts({"boxes": 1, "images": 2}, {"images": 2}, Path("index"))

    with pytest.raises(MismatchError, match=r"class list 1 instead of 2\n") as caught:
        refuse_other_counts({"class_list": 1}, {"class_list": 2}, Path("index"))
    assert "--any-counts" in str(caught.value.mend)
