"""Tests for pipelines.artifacts. All sizes differ, so a swapped axis cannot pass."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipelines.artifacts import ClassifierWeights, DetectionHead, DetectorCheckpoint
from pipelines.config import HeadPrecision
from pipelines.errors import ArtifactError
from pipelines.provenance import parent, provenance_of, tensors_sha256
from pipelines.storage import atomic_path
from pipelines.vocabulary import Vocabulary

C, D, K, R, WIDTH = 5, 3, 4, 8, 6


def names(count: int) -> Vocabulary:
    """Return classes with Open Images ids."""
    return Vocabulary(tuple(f"/m/{row}" for row in range(count)), tuple("vwxyz"[:count]))


@pytest.fixture
def classifier() -> ClassifierWeights:
    """Return a random classifier."""
    provenance = provenance_of(layer="fc")
    return ClassifierWeights(torch.randn(C, WIDTH), torch.randn(C), names(C), "rows:1", provenance)


@pytest.fixture
def head() -> DetectionHead:
    """Return a random head with classes of all groups."""
    groups = ("seen", "novel", "novel", "other")
    weights = (torch.randn(K, R), torch.randn(K), torch.randn(4, R), torch.randn(4))
    return DetectionHead(*weights, names(K), groups)


def test_classifier_reads_back_equal(tmp_path: Path, classifier: ClassifierWeights) -> None:
    """Every field survives the file."""
    path = tmp_path / "deep" / "classifier.safetensors"
    classifier.save(path)

    loaded = ClassifierWeights.load(path)

    torch.testing.assert_close(loaded.weight, classifier.weight, rtol=0, atol=0)
    torch.testing.assert_close(loaded.bias, classifier.bias, rtol=0, atol=0)
    assert loaded.vocabulary == classifier.vocabulary
    assert (loaded.feature_space, loaded.provenance) == ("rows:1", classifier.provenance)


def test_checkpoint_carries_its_classifier(tmp_path: Path, classifier: ClassifierWeights) -> None:
    """A checkpoint needs no other file: rows, classes and settings are in it."""
    path = tmp_path / "checkpoint.safetensors"
    model = {"a.weight": torch.randn(2, 3), "steps": torch.tensor(7)}
    DetectorCheckpoint(model, classifier, names(D), {"seed": 1}, iteration=9).save(path)

    loaded = DetectorCheckpoint.load(path)

    assert loaded.model.keys() == model.keys()
    torch.testing.assert_close(loaded.classifier.weight, classifier.weight, rtol=0, atol=0)
    assert (loaded.detection, loaded.iteration, loaded.config) == (names(D), 9, {"seed": 1})
    assert loaded.partition.novel == ("/m/3", "/m/4")


def test_head_subset_keeps_rows_together(head: DetectionHead) -> None:
    """A row's weight, bias, id and group stay together."""
    chosen = head.subset([3, 1])

    torch.testing.assert_close(chosen.weight, head.weight[[3, 1]])
    torch.testing.assert_close(chosen.bias, head.bias[[3, 1]])
    assert chosen.vocabulary.ids == ("/m/3", "/m/1")
    assert chosen.groups == ("other", "novel")


def test_a_head_knows_its_checkpoint(tmp_path: Path, head: DetectionHead) -> None:
    """The SHA-256 of the checkpoint is found in the provenance."""
    source = tmp_path / "checkpoint.safetensors"
    source.write_bytes(b"abc")
    known = DetectionHead(
        **vars(head) | {"provenance": provenance_of(parent("checkpoint", source))}
    )

    assert known.checkpoint_sha256.startswith("ba7816bf")
    assert head.checkpoint_sha256 == ""


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_a_compressed_head_reads_back_as_it_was_stored(
    tmp_path: Path, head: DetectionHead, precision: HeadPrecision
) -> None:
    """Rows are float32 again, near what was saved; saved again they are the same."""
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    replace(head, precision=precision).save(first)

    loaded = DetectionHead.load(first)
    loaded.save(second)

    assert loaded.precision == precision
    assert loaded.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.weight, head.weight, rtol=0, atol=0.02)
    torch.testing.assert_close(loaded.bias, head.bias, rtol=0, atol=0)
    stored, again = load_file(first), load_file(second)
    assert stored.keys() == again.keys()
    assert all(torch.equal(stored[name], again[name]) for name in stored)


def test_a_head_that_names_no_precision_is_float32(tmp_path: Path, head: DetectionHead) -> None:
    """Files of the versions before are read as they are."""
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    head.save(new)
    with safe_open(new, framework="pt") as file:
        metadata = {k: v for k, v in file.metadata().items() if k != "precision"}
        save_file({name: file.get_tensor(name) for name in file.keys()}, old, metadata)  # noqa: SIM118

    loaded = DetectionHead.load(old)

    assert loaded.precision == "float32"
    torch.testing.assert_close(loaded.weight, head.weight, rtol=0, atol=0)


@pytest.mark.parametrize("cut", [0, 4, 200, -1])
def test_a_truncated_file_is_refused(
    tmp_path: Path, classifier: ClassifierWeights, cut: int
) -> None:
    """Wherever the file was cut, the message names it and says so."""
    path = tmp_path / "classifier.safetensors"
    classifier.save(path)
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(ArtifactError, match="not a complete safetensors file") as caught:
        ClassifierWeights.load(path)

    assert caught.value.where == str(path)


def test_another_artifact_is_refused(tmp_path: Path, classifier: ClassifierWeights) -> None:
    """The kind that was found, and the command that makes the right one, are named."""
    path = tmp_path / "classifier.safetensors"
    classifier.save(path)

    with pytest.raises(ArtifactError, match=r"expected a wtn.detection-head(.|\n)*wtn export-head"):
        DetectionHead.load(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    """A plain state dict is no artifact, and the message says how to make one of it."""
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(2, 2)}, path)

    with pytest.raises(ArtifactError, match="wtn extract-weights"):
        ClassifierWeights.load(path)


def test_a_header_without_a_key_is_refused(tmp_path: Path) -> None:
    """What is missing is named, instead of a failure further on."""
    path = tmp_path / "head.safetensors"
    save_file({}, path, {"format": "wtn.detection-head", "format_version": "1"})

    with pytest.raises(ArtifactError, match="its header lacks vocabulary, groups"):
        DetectionHead.load(path)


def test_a_number_that_is_not_finite_names_its_row(
    tmp_path: Path, classifier: ClassifierWeights
) -> None:
    """NaN does not get into a computation, and its row is named."""
    classifier.weight[3, 2] = float("nan")
    path = tmp_path / "classifier.safetensors"
    classifier.save(path)

    with pytest.raises(ArtifactError, match=r"weight holds a number that is not finite.*row 3"):
        ClassifierWeights.load(path)


def test_a_shape_that_disagrees_with_the_classes_is_refused(
    tmp_path: Path, classifier: ClassifierWeights
) -> None:
    """As many rows as classes, or the file is refused."""
    path = tmp_path / "classifier.safetensors"
    ClassifierWeights(classifier.weight, None, names(C - 1), "rows:1").save(path)

    with pytest.raises(ArtifactError, match=r"weight has shape \[5, 6\] where \[4, 'any'\]"):
        ClassifierWeights.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """Until the new content is complete the old file stays, and nothing is left beside it."""
    path = tmp_path / "file"
    path.write_text("old")

    def fail_halfway() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()

    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_fingerprints_see_names_shapes_types_and_bytes() -> None:
    """Two sets of tensors with one difference of any kind have different fingerprints."""
    tensor = torch.arange(6, dtype=torch.float32)
    variants = [
        {"a": tensor},
        {"b": tensor},
        {"a": tensor.reshape(2, 3)},
        {"a": tensor.double()},
        {"a": tensor + 1},
        {"a": tensor, "b": tensor},
    ]

    assert len({tensors_sha256(variant) for variant in variants}) == len(variants)
    assert tensors_sha256({"a": tensor}) == tensors_sha256({"a": tensor.clone()})
