"""Tests for pipelines.training.inputs: what a training reads, and in which order."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.artifacts import ClassifierWeights
from pipelines.config import TrainSettings, validate_settings
from pipelines.data.annotation_files import load_annotations
from pipelines.data.detection import DetectionDataset
from pipelines.data.image_order import class_balanced_order, repeat_factor_order, uniform_order
from pipelines.data.images import open_images
from pipelines.data.index import write_index
from pipelines.data.samplers import Sample, TrainingSampler
from pipelines.errors import ConfigError, DatasetError, MismatchError
from pipelines.training.image_order import image_groups
from pipelines.training.inputs import load_inputs, training_loader
from pipelines.vocabulary import Vocabulary

Tree = dict[str, Any]


def settings_of(tree: Tree, **data: object) -> TrainSettings:
    """Return the settings with some of those in ``data`` changed; None leaves one out."""
    changed = {name: value for name, value in (tree["data"] | data).items() if value is not None}
    return validate_settings(tree | {"data": changed})


def make_index(world: SimpleNamespace, path: Path, *, images: bool, **changes: object) -> Path:
    """Write the tiny world's boxes as an index."""
    split = replace(load_annotations(world.boxes, hierarchy=world.hierarchy), **changes)
    store = open_images(world.images) if images else None
    write_index(path, split, key="", policy="error", provenance={}, counts={}, images=store)
    return path


def batches(settings: TrainSettings) -> list[list[Sample]]:
    """Return the batches of a training."""
    return list(training_loader(load_inputs(settings), settings).batch_sampler)


def test_an_index_trains_as_its_files_do(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Classes, hierarchy, images and targets come from the index alone, the same as from a CSV."""
    index = make_index(world, tmp_path / "i.safetensors", images=True)

    indexed = load_inputs(settings_of(settings_tree, boxes=str(index), images=None))
    plain = load_inputs(settings_of(settings_tree, hierarchy=str(world.hierarchy)))

    assert indexed.detection.ids == plain.detection.ids
    assert indexed.hierarchy == plain.hierarchy
    assert len(indexed.dataset) == len(plain.dataset) == 6
    for row in range(6):
        (left, left_target, *_), (right, right_target, *_) = (
            inputs.dataset[Sample(row, flip=True)] for inputs in (indexed, plain)
        )
        assert left.equal(right)
        assert left_target["boxes"].equal(right_target["boxes"])
        assert left_target["labels"].equal(right_target["labels"])


def test_classes_without_boxes_are_not_trained(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path
) -> None:
    """An index may list every class of the classifier; those with boxes keep order and names."""
    ids = ("/m/99", *sorted(world.detection_ids, reverse=True))
    listed = Vocabulary(ids, tuple(f"name of {class_id}" for class_id in ids))
    index = make_index(world, tmp_path / "i", images=True, vocabulary=listed)

    inputs = load_inputs(settings_of(settings_tree, boxes=str(index), images=None))

    assert (inputs.detection.ids, inputs.detection.names) == (listed.ids[1:], listed.names[1:])


def test_images_of_several_sources_win_over_the_index(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Named sources are used together, and those of the index are not."""
    index = make_index(world, tmp_path / "i.safetensors", images=True)
    folders = [tmp_path / "even", tmp_path / "odd"]
    for number, file in enumerate(sorted(world.images.iterdir())):
        folders[number % 2].mkdir(exist_ok=True)
        (folders[number % 2] / file.name).write_bytes(file.read_bytes())

    inputs = load_inputs(settings_of(settings_tree, boxes=str(index), images=map(str, folders)))

    assert inputs.images.sources == tuple(folders)


@pytest.mark.parametrize("indexed", [True, False])
def test_images_must_be_somewhere(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path, indexed: bool
) -> None:
    """Without a source, and without one in the index, the flag that gives one is named."""
    boxes = make_index(world, tmp_path / "i", images=False) if indexed else world.boxes

    with pytest.raises(ConfigError, match=r"nothing says where the images are\n.*--images"):
        load_inputs(settings_of(settings_tree, boxes=str(boxes), images=None))


def test_expanded_boxes_are_refused(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Ground truth of an evaluation has copies of boxes, which would be learned twice."""
    index = make_index(world, tmp_path / "i", images=True, expanded=True)

    with pytest.raises(MismatchError, match="expanded along the hierarchy"):
        load_inputs(settings_of(settings_tree, boxes=str(index)))


@pytest.mark.parametrize("sampler", [None, "uniform", "repeat-factor"])
def test_the_sampler_decides_the_order(
    settings_tree: Tree, world: SimpleNamespace, sampler: str | None
) -> None:
    """By default classes take turns, as in the release; the other orders are there on request."""
    settings = settings_of(settings_tree, sampler=sampler, repeat_threshold=0.9)
    split = load_annotations(world.boxes)
    dataset = DetectionDataset(open_images(world.images), split.boxes, split.vocabulary)
    order = {
        None: class_balanced_order(*dataset.box_columns),
        "uniform": uniform_order(6),
        "repeat-factor": repeat_factor_order(*dataset.box_columns, 0.9),
    }[sampler]

    expected = TrainingSampler(order, batch_size=2, iterations=3, flip=0.5, seed=0)

    assert batches(settings) == list(expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_sequential_batches_are_those_of_the_images_one_by_one(
    settings_tree: Tree, world: SimpleNamespace, workers: int
) -> None:
    """Images that are read together, by whichever process, arrive with their own boxes."""
    tree = settings_tree | {"schedule": settings_tree["schedule"] | {"iterations": 6}}
    settings = settings_of(
        tree, sampler="sequential", images=str(world.images_zip), workers=workers
    )
    inputs = load_inputs(settings)
    loader = training_loader(inputs, settings)

    found, wanted = list(loader), list(loader.batch_sampler)

    assert any(sample.together for batch in wanted for sample in batch)
    assert sorted(image_id for batch in found[:3] for image_id in batch.image_ids) == [
        f"img{number}" for number in range(6)
    ]
    for batch, samples in zip(found, wanted, strict=True):
        alone = [inputs.dataset[Sample(sample.row, sample.flip)] for sample in samples]
        assert batch.image_ids == [example.image_id for example in alone]
        for number, example in enumerate(alone):
            assert batch.images[number].equal(example.image)
            assert batch.targets[number]["boxes"].equal(example.target["boxes"])


def test_workers_that_would_read_the_same_are_refused(settings_tree: Tree) -> None:
    """Five workers would each read everything; the message says which numbers are fine."""
    settings = settings_of(settings_tree, sampler="sequential", workers=5)

    with pytest.raises(
        ConfigError, match=r"5 workers cannot share .*\n.*1, 2, 3, 4, 6, 8, 12 or 24"
    ):
        training_loader(load_inputs(settings), settings)


def test_shapes_are_read_from_the_images(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Where nothing tells the sizes, the images' headers do, and batches are of one shape."""
    for number, file in enumerate(sorted(world.images.iterdir())):
        size = (64, 32) if number < 4 else (32, 64)
        Image.open(file).resize(size).save(tmp_path / file.name)
    tree = settings_tree | {"schedule": settings_tree["schedule"] | {"iterations": 30}}

    grouped = batches(settings_of(tree, images=str(tmp_path)))
    mixed = batches(settings_of(tree, images=str(tmp_path), group_by_aspect_ratio=False))

    assert all(len({sample.row < 4 for sample in batch}) == 1 for batch in grouped)
    assert any(len({sample.row < 4 for sample in batch}) == 2 for batch in mixed)


def test_images_of_unknown_shape_are_not_grouped(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many headers do not hold a training up before it begins."""
    for number, file in enumerate(sorted(world.images.iterdir())):
        size = (64, 32) if number < 4 else (32, 64)
        Image.open(file).resize(size).save(tmp_path / file.name)
    monkeypatch.setattr("pipelines.training.image_order._MEASURED_AT_MOST", 5)
    tree = settings_tree | {"schedule": settings_tree["schedule"] | {"iterations": 30}}

    grouped = batches(settings_of(tree, images=str(tmp_path)))

    assert grouped == batches(settings_of(tree, images=str(tmp_path), group_by_aspect_ratio=False))


def test_a_bad_header_is_a_group_of_its_own(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path
) -> None:
    """The other images are grouped as they would be; an archive that is gone is told."""
    for number, file in enumerate(sorted(world.images.iterdir())):
        size = (64, 32) if number < 4 else (32, 64)
        Image.open(file).resize(size).save(tmp_path / file.name)
    next(tmp_path.glob("img1.*")).write_text("no image")

    inputs = load_inputs(settings_of(settings_tree, images=str(tmp_path)))

    assert inputs.groups is not None
    assert inputs.groups.tolist() == [0, 2, 0, 0, 1, 1]
    next(tmp_path.glob("img2.*")).unlink()
    with pytest.raises(DatasetError, match="img2"):
        image_groups(inputs.dataset, inputs.images, inputs.split)


def test_shapes_come_from_the_index(
    settings_tree: Tree, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Sizes in the index are believed; no image is opened for them."""
    sizes = np.array([[9, 5], [5, 9]] * 3, np.int32)
    index = make_index(world, tmp_path / "i", images=True, sizes=sizes)
    tree = settings_tree | {"schedule": settings_tree["schedule"] | {"iterations": 30}}

    found = batches(settings_of(tree, boxes=str(index)))

    assert all(len({sample.row % 2 for sample in batch}) == 1 for batch in found)


def test_zsd_refuses_rows_without_a_direction(
    settings_tree: Tree, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """An all-zero row has no angle to anything: its class is named, also if it is novel."""
    classifier = ClassifierWeights.load(artifacts.classifier)
    weight, empty = classifier.weight.clone(), classifier.vocabulary.ids[-1]
    weight[-1] = 0
    path = tmp_path / "words.safetensors"
    replace(classifier, weight=weight).save(path)
    tree = settings_tree | {"classifier": str(path)}

    with pytest.raises(MismatchError, match=rf"1 of {len(weight)} rows are all zero: {empty}\n"):
        load_inputs(validate_settings(tree | {"head": {"method": "zsd"}}))
    load_inputs(validate_settings(tree | {"head": {"method": "wtn+"}}))
