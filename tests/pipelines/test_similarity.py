"""Tests for pipelines.similarity."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.class_similarity import ClassSimilarity
from pipelines.config import BackboneSettings
from pipelines.data.images import open_images
from pipelines.errors import ConfigError, DatasetError, MismatchError
from pipelines.extract import extract_weights
from pipelines.models.classification import prepare_image
from pipelines.models.tiny import TinyConvNet
from pipelines.similarity import measure_crop_similarity, measure_similarity
from pipelines.training.crops import normalise

SIDE = 48


def backbone_of(world: SimpleNamespace) -> BackboneSettings:
    """Return the settings of the world's classifier."""
    return BackboneSettings(name="tiny", weights=str(world.state_dict))


def network_of(world: SimpleNamespace) -> TinyConvNet:
    """Return the world's classifier itself."""
    network = TinyConvNet(len(world.classifier_ids))
    network.load_state_dict(load_file(world.state_dict))
    return network.eval()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_rows_are_means_of_the_classifiers_probabilities(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path, batch_size: int
) -> None:
    """Each class with images has the mean over them, however they are batched."""
    output, done = tmp_path / "similarity.safetensors", []

    report = measure_similarity(
        artifacts.classifier,
        backbone_of(world),
        [world.images],
        world.image_labels,
        output,
        image_size=SIDE,
        batch_size=batch_size,
        device="cpu",
        on_progress=lambda *step: done.append(step),
    )

    rows = [line.split(",") for line in world.image_labels.read_text().splitlines()[1:]]
    network, store, found = (
        network_of(world),
        open_images(world.images),
        ClassSimilarity.load(output),
    )
    for class_id in found.vocabulary.ids:
        images = [image for image, label, positive in rows if (label, positive) == (class_id, "1")]
        inputs = [prepare_image(store.read(i), SIDE, BackboneSettings()) for i in images]
        with torch.no_grad():
            expected = network(torch.stack(inputs)).softmax(dim=1).mean(dim=0)
        row = found.vocabulary.positions[class_id]
        torch.testing.assert_close(found.similarity[row], expected)
        assert found.images[row] == len(images)
    assert set(found.vocabulary.ids) == {"/m/01", "/m/02", "/m/03", "/m/05"}  # not the other class
    assert found.classifier.ids == world.classifier_ids
    assert (report.classes, report.classifier_classes, report.missing) == (4, 7, 0)
    assert (done[0], done[-1]) == ((0, report.images), (report.images, report.images))
    roles = [record["role"] for record in found.provenance["parents"]]
    assert roles == ["classifier", "backbone", "image-labels"]
    assert found.provenance["activation"] == "softmax"


def test_crops_give_the_same(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """Crops carry the row of their class; a class without a crop has no row."""
    images = torch.randint(256, (12, 32, 32, 3), dtype=torch.uint8)
    labels = torch.tensor([5, 0, 2] * 4)
    tensors = {"images": images, "labels": labels, "attributes": torch.zeros(12, 0)}
    save_file(tensors, tmp_path / "crops.safetensors")

    report = measure_crop_similarity(
        artifacts.classifier,
        backbone_of(world),
        tmp_path / "crops.safetensors",
        tmp_path / "similarity.safetensors",
    )

    found = ClassSimilarity.load(report.output)
    with torch.no_grad():
        probabilities = network_of(world)(normalise(images)).softmax(dim=1)
    expected = torch.stack([probabilities[labels == row].mean(dim=0) for row in (0, 2, 5)])
    torch.testing.assert_close(found.similarity, expected)
    assert found.vocabulary.ids == tuple(world.classifier_ids[row] for row in (0, 2, 5))
    assert found.images.tolist() == [4, 4, 4]
    assert 0 <= report.recognised <= 1


def test_crops_of_other_classes_are_refused(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """A label beyond the classifier's rows is not of its classes."""
    images = torch.zeros(12, 32, 32, 3, dtype=torch.uint8)
    tensors = {"images": images, "labels": torch.arange(12), "attributes": torch.zeros(12, 0)}
    save_file(tensors, tmp_path / "crops.safetensors")

    with pytest.raises(DatasetError, match="labels run from 0 to 11"):
        measure_crop_similarity(
            artifacts.classifier, backbone_of(world), tmp_path / "crops.safetensors", tmp_path / "s"
        )


@pytest.fixture
def other_network(tmp_path: Path) -> Path:
    """Return a network of the same kind with other weights."""
    torch.manual_seed(9)
    save_file(TinyConvNet(7).state_dict(), tmp_path / "other.safetensors")
    return tmp_path / "other.safetensors"


def test_rows_of_another_network_are_refused(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path, other_network: Path
) -> None:
    """Features of another network would give nonsense without an error."""
    backbone = BackboneSettings(name="tiny", weights=str(other_network))

    with pytest.raises(MismatchError, match="its rows act on other features than those of"):
        measure_similarity(
            artifacts.classifier, backbone, [world.images], world.image_labels, tmp_path / "s"
        )
    assert not (tmp_path / "s").exists()


def test_new_rows_of_the_same_network_are_taken(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """Rows that were declared to be of this network's features need not be its own."""
    rows = tmp_path / "rows.safetensors"
    save_file({"weight": torch.randn(7, 256)}, rows)
    classifier = tmp_path / "new.safetensors"
    extract_weights(
        str(rows), classifier, classes=world.class_list, feature_space_of=artifacts.classifier
    )

    report = measure_similarity(
        classifier, backbone_of(world), [world.images], world.image_labels, tmp_path / "s"
    )

    assert report.classes == 4


def test_a_network_needs_weights(
    world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """Random features are of no use."""
    with pytest.raises(ConfigError, match="the network has no weights"):
        measure_similarity(
            artifacts.classifier,
            BackboneSettings(name="tiny"),
            [world.images],
            world.image_labels,
            tmp_path / "s",
        )
