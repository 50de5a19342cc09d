"""Tests for pipelines.data.bad_images, and for what training makes of it."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.config import TrainSettings, validate_settings
from pipelines.data.batches import Batch
from pipelines.errors import BadImageError, DatasetError, WTNError
from pipelines.training.inputs import load_inputs, training_loader

Tree = dict[str, Any]


@pytest.fixture
def images(world: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a copy of the six images for the test to spoil."""
    return Path(shutil.copytree(world.images, tmp_path / "images"))


def skipping(tree: Tree, images: Path, **data: object) -> TrainSettings:
    """Return settings of twelve steps that skip bad images."""
    changed = tree["data"] | {"images": str(images), "bad_images": "skip"} | data
    schedule = tree["schedule"] | {"iterations": 12}
    return validate_settings(tree | {"data": changed, "schedule": schedule})


def loaded(settings: TrainSettings, start: int = 0) -> list[Batch]:
    """Return all batches from a step on."""
    return list(training_loader(load_inputs(settings), settings, start=start))


def spoil(images: Path, *numbers: int) -> None:
    """Cut images, so that they have a header and no pixels."""
    for number in numbers:
        (file,) = images.glob(f"img{number}.*")
        file.write_bytes(file.read_bytes()[:100])


def test_the_next_good_image_stands_in(settings_tree: Tree, images: Path) -> None:
    """Each look at a bad image is one at the next good image, mirrored alike, and it is named."""
    settings = skipping(settings_tree, images, group_by_aspect_ratio=False)
    whole = loaded(settings)
    spoil(images, 2, 3, 5)

    found = loaded(settings)

    after = {"img2": "img4", "img3": "img4", "img5": "img0"}
    for before, now in zip(whole, found, strict=True):
        assert now.image_ids == [after.get(image_id, image_id) for image_id in before.image_ids]
    skipped = [skipped for batch in found for skipped in batch.skipped]
    looks = [image_id for batch in whole for image_id in batch.image_ids]
    both = looks.count("img2")  # takes img3 along
    assert len(skipped) == both * 2 + looks.count("img3") + looks.count("img5")
    assert {bad.image_id for bad in skipped} == set(after)
    (why,) = {bad.why for bad in skipped if bad.image_id == "img5"}
    assert why.startswith(f"{images}/img5.png: the image does not decode")


def test_images_without_a_header_have_stand_ins_of_their_own(
    settings_tree: Tree, images: Path
) -> None:
    """The next by id, and not one for all, though they are a group by themselves."""
    for number in (0, 1, 4):
        (file,) = images.glob(f"img{number}.*")
        file.write_text("no image")
    settings = skipping(settings_tree, images)
    inputs = load_inputs(settings)
    loader = training_loader(inputs, settings)
    after = {"img0": "img2", "img1": "img2", "img4": "img5"}

    for samples, batch in zip(loader.batch_sampler, loader, strict=True):
        wanted = [inputs.dataset.image_id(sample.row) for sample in samples]
        assert batch.image_ids == [after.get(image_id, image_id) for image_id in wanted]


def test_who_stands_in_depends_on_the_image_alone(settings_tree: Tree, images: Path) -> None:
    """Worker processes and a resumed run meet the same images."""
    spoil(images, 1, 4)
    whole = loaded(skipping(settings_tree, images))

    parallel = loaded(skipping(settings_tree, images, workers=2), start=5)

    assert [batch.image_ids for batch in parallel] == [batch.image_ids for batch in whole[5:]]
    assert [batch.skipped for batch in parallel] == [batch.skipped for batch in whole[5:]]


def test_a_dataset_of_bad_images_ends_with_a_message(settings_tree: Tree, images: Path) -> None:
    """Skipping all of them would go on for ever."""
    spoil(images, *range(6))

    with pytest.raises(DatasetError, match=r"6 images in a row do not decode.*img\d") as error:
        loaded(skipping(settings_tree, images))

    assert not isinstance(error.value, BadImageError)
    assert "wtn check-data" in str(error.value)


def test_an_image_that_is_gone_is_never_skipped(settings_tree: Tree, images: Path) -> None:
    """Nor is one in a folder that went away: that is no bad image, but a lost dataset."""
    settings = skipping(settings_tree, images)
    inputs = load_inputs(settings)
    (images / "img3.png").unlink()

    with pytest.raises(DatasetError, match=r"img3.png: the image cannot be read \(No such file"):
        list(training_loader(inputs, settings))
    shutil.rmtree(images)
    with pytest.raises(DatasetError, match="the folder of images is gone") as error:
        list(training_loader(inputs, settings))

    assert error.value.where == str(images)


def test_without_skipping_the_message_says_how_to(settings_tree: Tree, images: Path) -> None:
    """By default the first bad image ends the run."""
    spoil(images, 0)

    with pytest.raises(WTNError, match=r"img0.jpg: the image does not decode") as error:
        loaded(skipping(settings_tree, images, bad_images="error"))

    assert "--bad-images skip" in str(error.value)
