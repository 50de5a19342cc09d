"""The files that the stages hand to each other: safetensors with a typed header.

Shapes: C classifier classes, d classifier width, D detection classes, K classes of a head, R RoI
feature width.

Every artifact names its format and version, carries its classes, and records what it was made from
(tool version and SHA-256 of every parent), so a chain can be followed back to the first source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from pipelines.config import HeadPrecision
from pipelines.errors import ArtifactError, MismatchError
from pipelines.head_rows import decode_rows, encode_rows
from pipelines.provenance import Provenance
from pipelines.storage import (
    expect_shape,
    read_artifact,
    required_tensor,
    vocabulary_from_json,
    vocabulary_to_json,
    write_artifact,
)
from pipelines.vocabulary import ClassPartition, Vocabulary


@dataclass(frozen=True)
class ClassifierWeights:
    """The final layer of a classifier: frozen knowledge.

    Args:
        weight: ``[C, d]`` float32, one row per class.
        bias: ``[C]`` float32, or None. Kept for the record; no method of the paper uses it.
        vocabulary: The C classes, in row order.
        feature_space: Fingerprint of the features that the rows act on; rows with equal
            fingerprints can be exchanged.
        provenance: Where the rows came from.
    """

    FORMAT: ClassVar[str] = "wtn.classifier-weights"
    HEADER: ClassVar[tuple[str, ...]] = ("feature_space", "vocabulary")
    MADE_BY: ClassVar[str] = "wtn extract-weights"

    weight: Tensor
    bias: Tensor | None
    vocabulary: Vocabulary
    feature_space: str
    provenance: Provenance = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the artifact atomically."""
        tensors = {"weight": self.weight}
        if self.bias is not None:
            tensors["bias"] = self.bias
        header = {
            "feature_space": self.feature_space,
            "vocabulary": vocabulary_to_json(self.vocabulary),
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
        weight, bias = required_tensor(path, tensors, "weight"), tensors.get("bias")
        expect_shape(path, "weight", weight, (len(vocabulary), None))
        if bias is not None:
            expect_shape(path, "bias", bias, (len(vocabulary),))
        return cls(weight, bias, vocabulary, str(header["feature_space"]), provenance)


@dataclass(frozen=True)
class DetectorCheckpoint:
    """A detector with its transfer network, and the classifier that it was trained on.

    Args:
        model: The detector's state dict.
        classifier: The rows used in training; the transfer standardises with their statistics.
        detection: The D classes with boxes, in the order of the box dataset.
        config: The resolved training settings.
        iteration: Optimiser steps taken.
        provenance: The training's inputs.
        path: Of the file that it was read from, for messages.
    """

    FORMAT: ClassVar[str] = "wtn.detector-checkpoint"
    HEADER: ClassVar[tuple[str, ...]] = (
        "config",
        "iteration",
        "feature_space",
        "classifier_vocabulary",
        "vocabulary",
    )
    MADE_BY: ClassVar[str] = "wtn train"

    model: Mapping[str, Tensor]
    classifier: ClassifierWeights
    detection: Vocabulary
    config: Mapping[str, Any]
    iteration: int
    provenance: Provenance = field(default_factory=dict)
    path: Path | None = None

    @property
    def partition(self) -> ClassPartition:
        """The seen, other and novel classes."""
        return ClassPartition.of(self.classifier.vocabulary, self.detection)

    def save(self, path: Path) -> None:
        """Write the artifact atomically."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.items()}
        tensors["classifier.weight"] = self.classifier.weight
        header = {
            "config": dict(self.config),
            "iteration": self.iteration,
            "feature_space": self.classifier.feature_space,
            "classifier_vocabulary": vocabulary_to_json(self.classifier.vocabulary),
            "vocabulary": vocabulary_to_json(self.detection),
        }
        write_artifact(path, self.FORMAT, tensors, header, self.provenance)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the artifact; raises :class:`ArtifactError` as its siblings do."""
        tensors, header, provenance = read_artifact(path, cls.FORMAT, cls.HEADER, cls.MADE_BY)
        classes = vocabulary_from_json(path, header["classifier_vocabulary"])
        rows = required_tensor(path, tensors, "classifier.weight")
        expect_shape(path, "classifier.weight", rows, (len(classes), None))
        return cls(
            model={
                name.removeprefix("model."): tensor
                for name, tensor in tensors.items()
                if name.startswith("model.")
            },
            classifier=ClassifierWeights(rows, None, classes, str(header["feature_space"])),
            detection=vocabulary_from_json(path, header["vocabulary"]),
            config=header["config"],
            iteration=int(header["iteration"]),
            provenance=provenance,
            path=path,
        )


@dataclass(frozen=True)
class DetectionHead:
    """The rows of a plain Faster R-CNN head: ``score = sigmoid(x @ weight.T + bias)``.

    Args:
        weight: ``[K, R]`` float32, whatever the precision; with a projection ``[K, d]``.
        bias: ``[K]`` float32.
        box_weight: ``[4, R]`` float32, shared by all classes.
        box_bias: ``[4]`` float32.
        vocabulary: The K classes, in row order.
        groups: ``seen``, ``other`` or ``novel`` for each class.
        provenance: The checkpoint, and the classifier file when another was given.
        projection: ``[d, R]`` for the one method whose features are projected and brought to length
            1 before they meet the rows (ZSD): a head in memory, which no file holds. Else None.
        precision: How a file stores the weight. What was read from a file of less than float32 are
            its rounded rows, and storing them so again changes nothing.
    """

    FORMAT: ClassVar[str] = "wtn.detection-head"
    HEADER: ClassVar[tuple[str, ...]] = ("vocabulary", "groups")
    MADE_BY: ClassVar[str] = "wtn export-head"

    weight: Tensor
    bias: Tensor
    box_weight: Tensor
    box_bias: Tensor
    vocabulary: Vocabulary
    groups: tuple[str, ...]
    provenance: Provenance = field(default_factory=dict)
    projection: Tensor | None = None
    precision: HeadPrecision = "float32"

    def subset(self, rows: Sequence[int]) -> "DetectionHead":
        """Return the head of some of its classes."""
        index = torch.tensor(rows, dtype=torch.int64)
        return replace(
            self,
            weight=self.weight[index],
            bias=self.bias[index],
            vocabulary=self.vocabulary.subset(rows),
            groups=tuple(self.groups[row] for row in rows),
        )

    @property
    def checkpoint_sha256(self) -> str:
        """The SHA-256 of the checkpoint that the head was exported from."""
        parents = self.provenance.get("parents", [])
        return next((str(p["sha256"]) for p in parents if p["role"] == "checkpoint"), "")

    def save(self, path: Path) -> None:
        """Write the artifact atomically.

        Raises:
            MismatchError: If there is a projection: then no plain head scores like this one.
            ConfigError: If a weight is too large for the precision.
        """
        if self.projection is not None:
            raise MismatchError(
                "zsd normalises the features before they meet the class rows, so no matrix and "
                "bias of a plain head score as it does",
                mend="wtn evaluate and wtn predict take the checkpoint as it is, without --head.",
            )
        tensors = {
            **encode_rows(self.weight, self.precision),
            "cls_score.bias": self.bias,
            "bbox_pred.weight": self.box_weight,
            "bbox_pred.bias": self.box_bias,
        }
        header = {
            "activation": "sigmoid",
            "precision": self.precision,
            "vocabulary": vocabulary_to_json(self.vocabulary),
            "groups": list(self.groups),
        }
        write_artifact(path, self.FORMAT, tensors, header, self.provenance)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the artifact; raises :class:`ArtifactError` as its siblings do."""
        tensors, header, provenance = read_artifact(path, cls.FORMAT, cls.HEADER, cls.MADE_BY)
        vocabulary = vocabulary_from_json(path, header["vocabulary"])
        stored_as = header.get("precision", "float32")
        weight, precision = decode_rows(path, tensors, stored_as, len(vocabulary))
        shapes = {
            "cls_score.bias": (len(vocabulary),),
            "bbox_pred.weight": (4, weight.shape[1]),
            "bbox_pred.bias": (4,),
        }
        bias, box_weight, box_bias = (required_tensor(path, tensors, name) for name in shapes)
        for name, shape in shapes.items():
            expect_shape(path, name, tensors[name], shape)
        groups = tuple(header["groups"])
        if len(groups) != len(vocabulary):
            raise ArtifactError(f"{len(groups)} groups for {len(vocabulary)} classes", where=path)
        return cls(
            *(weight, bias, box_weight, box_bias, vocabulary, groups, provenance),
            precision=precision,
        )
