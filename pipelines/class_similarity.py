"""How similar classes look to a classifier, as a file.

Shapes: C classifier classes, J classes that had images.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from torch import Tensor

from pipelines.provenance import Provenance
from pipelines.storage import (
    expect_shape,
    read_artifact,
    required_tensor,
    vocabulary_from_json,
    vocabulary_to_json,
    write_artifact,
)
from pipelines.vocabulary import Vocabulary


@dataclass(frozen=True)
class ClassSimilarity:
    """The classifier's mean probability of every class over the images of some classes.

    Args:
        similarity: ``[J, C]`` float32, each row a mean over the images of one class.
        images: ``[J]`` int64, how many images that mean is over.
        vocabulary: The J classes, in row order.
        classifier: The C classes, in column order.
        provenance: The classifier, its network and the labels.
    """

    FORMAT: ClassVar[str] = "wtn.class-similarity"
    HEADER: ClassVar[tuple[str, ...]] = ("vocabulary", "classifier_vocabulary")
    MADE_BY: ClassVar[str] = "wtn similarity"

    similarity: Tensor
    images: Tensor
    vocabulary: Vocabulary
    classifier: Vocabulary
    provenance: Provenance = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the artifact atomically."""
        tensors = {"similarity": self.similarity, "images": self.images}
        header = {
            "vocabulary": vocabulary_to_json(self.vocabulary),
            "classifier_vocabulary": vocabulary_to_json(self.classifier),
        }
        write_artifact(path, self.FORMAT, tensors, header, self.provenance)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the artifact.

        Raises:
            ArtifactError: If the file is missing, truncated, of another format, or holds
                non-finite numbers or shapes that disagree.
        """
        tensors, header, provenance = read_artifact(path, cls.FORMAT, cls.HEADER, cls.MADE_BY)
        vocabulary = vocabulary_from_json(path, header["vocabulary"])
        classifier = vocabulary_from_json(path, header["classifier_vocabulary"])
        similarity, images = (required_tensor(path, tensors, n) for n in ("similarity", "images"))
        expect_shape(path, "similarity", similarity, (len(vocabulary), len(classifier)))
        expect_shape(path, "images", images.float(), (len(vocabulary),))
        return cls(similarity, images, vocabulary, classifier, provenance)
