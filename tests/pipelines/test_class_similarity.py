"""Tests for pipelines.class_similarity."""

from pathlib import Path

import pytest
import torch

from pipelines.class_similarity import ClassSimilarity
from pipelines.errors import ArtifactError
from pipelines.vocabulary import Vocabulary

CLASSIFIER = Vocabulary(tuple("abc"), tuple("ABC"))
SIMILARITY = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]])


def make(similarity: torch.Tensor = SIMILARITY, images: int = 2) -> ClassSimilarity:
    """Return the similarity of c and a."""
    counts = torch.arange(1, images + 1)
    return ClassSimilarity(similarity, counts, CLASSIFIER.subset([2, 0]), CLASSIFIER, {"tool": "t"})


def test_a_file_holds_everything(tmp_path: Path) -> None:
    """What is read is what was written."""
    make().save(tmp_path / "s.safetensors")

    found = ClassSimilarity.load(tmp_path / "s.safetensors")

    assert torch.equal(found.similarity, SIMILARITY)
    assert found.images.tolist() == [1, 2]
    assert (found.vocabulary.ids, found.classifier) == (("c", "a"), CLASSIFIER)
    assert found.provenance == {"tool": "t"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (make(SIMILARITY[:, :2]), "similarity has shape"),
        (make(images=3), "images has shape"),
        (make(SIMILARITY * float("nan")), "similarity holds a number that is not finite"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, bad: ClassSimilarity, message: str) -> None:
    """Shapes must agree with the classes, and every number must be finite."""
    bad.save(tmp_path / "s.safetensors")

    with pytest.raises(ArtifactError, match=message) as error:
        ClassSimilarity.load(tmp_path / "s.safetensors")
    assert error.value.where == str(tmp_path / "s.safetensors")
