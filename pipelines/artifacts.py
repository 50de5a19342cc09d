"""The files that the stages hand to each other: safetensors with a typed header.

Shapes: C classifier classes, d classifier width, D detection classes, K classes of a head, R RoI
feature width.

Every artifact names its format and version, carries its classes, and records what it was made from
(tool version and SHA-256 of every parent), so a chain can be followed back to the first source.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipelines.errors import ArtifactError, DatasetError
from pipelines.vocabulary import ClassPartition, Vocabulary

FORMAT_VERSION = "1"

Provenance = dict[str, Any]  # {"tool", "parents": [{"role", "path", "sha256", "provenance"?}], ...}


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
        _write(path, self.FORMAT, tensors, header, self.provenance)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the artifact.

        Raises:
            ArtifactError: If the file is missing, truncated, of another format, or holds
                non-finite numbers or shapes that disagree.
        """
        tensors, header, provenance = _read(path, cls.FORMAT, cls.MADE_BY)
        vocabulary = _vocabulary(path, header["vocabulary"])
        weight, bias = _tensor(path, tensors, "weight"), tensors.get("bias")
        _expect(path, "weight", weight, (len(vocabulary), None))
        if bias is not None:
            _expect(path, "bias", bias, (len(vocabulary),))
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
    """

    FORMAT: ClassVar[str] = "wtn.detector-checkpoint"
    MADE_BY: ClassVar[str] = "wtn train"

    model: Mapping[str, Tensor]
    classifier: ClassifierWeights
    detection: Vocabulary
    config: Mapping[str, Any]
    iteration: int
    provenance: Provenance = field(default_factory=dict)

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
        _write(path, self.FORMAT, tensors, header, self.provenance)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the artifact; raises :class:`ArtifactError` as its siblings do."""
        tensors, header, provenance = _read(path, cls.FORMAT, cls.MADE_BY)
        classes = _vocabulary(path, header["classifier_vocabulary"])
        rows = _tensor(path, tensors, "classifier.weight")
        _expect(path, "classifier.weight", rows, (len(classes), None))
        return cls(
            model={
                name.removeprefix("model."): tensor
                for name, tensor in tensors.items()
                if name.startswith("model.")
            },
            classifier=ClassifierWeights(rows, None, classes, str(header["feature_space"])),
            detection=_vocabulary(path, header["vocabulary"]),
            config=header["config"],
            iteration=int(header["iteration"]),
            provenance=provenance,
        )


@dataclass(frozen=True)
class DetectionHead:
    """The rows of a plain Faster R-CNN head: ``score = sigmoid(x @ weight.T + bias)``.

    Args:
        weight: ``[K, R]`` float32.
        bias: ``[K]`` float32.
        box_weight: ``[4, R]`` float32, shared by all classes.
        box_bias: ``[4]`` float32.
        vocabulary: The K classes, in row order.
        groups: ``seen``, ``other`` or ``novel`` for each class.
        provenance: The checkpoint, and the classifier file when another was given.
    """

    FORMAT: ClassVar[str] = "wtn.detection-head"
    MADE_BY: ClassVar[str] = "wtn export-head"

    weight: Tensor
    bias: Tensor
    box_weight: Tensor
    box_bias: Tensor
    vocabulary: Vocabulary
    groups: tuple[str, ...]
    provenance: Provenance = field(default_factory=dict)

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
        """Write the artifact atomically."""
        tensors = {
            "cls_score.weight": self.weight,
            "cls_score.bias": self.bias,
            "bbox_pred.weight": self.box_weight,
            "bbox_pred.bias": self.box_bias,
        }
        header = {
            "activation": "sigmoid",
            "vocabulary": vocabulary_to_json(self.vocabulary),
            "groups": list(self.groups),
        }
        _write(path, self.FORMAT, tensors, header, self.provenance)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the artifact; raises :class:`ArtifactError` as its siblings do."""
        tensors, header, provenance = _read(path, cls.FORMAT, cls.MADE_BY)
        vocabulary = _vocabulary(path, header["vocabulary"])
        weight = _tensor(path, tensors, "cls_score.weight")
        _expect(path, "cls_score.weight", weight, (len(vocabulary), None))
        shapes = {
            "cls_score.bias": (len(vocabulary),),
            "bbox_pred.weight": (4, weight.shape[1]),
            "bbox_pred.bias": (4,),
        }
        bias, box_weight, box_bias = (_tensor(path, tensors, name) for name in shapes)
        for name, shape in shapes.items():
            _expect(path, name, tensors[name], shape)
        groups = tuple(header["groups"])
        return cls(weight, bias, box_weight, box_bias, vocabulary, groups, provenance)


Artifact = ClassifierWeights | DetectorCheckpoint | DetectionHead
ARTIFACTS: tuple[type[Artifact], ...] = (ClassifierWeights, DetectorCheckpoint, DetectionHead)


def read_header(path: Path) -> dict[str, Any]:
    """Return an artifact's header without its tensors, plus ``shapes`` {name: list of int}.

    Raises:
        ArtifactError: If the file is not an artifact of this program.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
        if not metadata.get("format", "").startswith("wtn."):
            raise ArtifactError(
                "not an artifact of wtn (its header names no format)",
                where=path,
                mend="Other checkpoints become one with: wtn extract-weights SOURCE -o FILE",
            )
        shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a mapping
    return {key: _from_header(path, key, text) for key, text in metadata.items()} | {
        "shapes": shapes
    }


def parent(role: str, path: Path, provenance: Provenance | None = None) -> Provenance:
    """Describe an input file for a provenance record: role, name, SHA-256 and its own parents."""
    record: Provenance = {"role": role, "path": path.name, "sha256": sha256(path)}
    return record | ({"provenance": provenance} if provenance else {})


def provenance_of(*parents: Provenance, **facts: object) -> Provenance:
    """Return the record of an artifact made by this version from ``parents``."""
    return {"tool": f"wtn-cli {_tool_version()}", "parents": list(parents), **facts}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, dtypes, shapes and bytes of tensors, in name order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def vocabulary_to_json(vocabulary: Vocabulary) -> dict[str, list[str]]:
    """Return the ids and names as JSON values."""
    return {"ids": list(vocabulary.ids), "names": list(vocabulary.names)}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(
    path: Path,
    format_name: str,
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Any],
    provenance: Provenance,
) -> None:
    metadata = {"format": format_name, "format_version": FORMAT_VERSION}
    metadata |= {key: json.dumps(value) for key, value in header.items()}
    metadata["provenance"] = json.dumps(provenance)
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(kept, temporary, metadata)


def _read(
    path: Path, format_name: str, made_by: str
) -> tuple[dict[str, Tensor], dict[str, Any], Provenance]:
    header = read_header(path)
    if header["format"] != format_name:
        raise ArtifactError(
            f"expected a {format_name} file, found {header['format']}",
            where=path,
            mend=f"Make one with: {made_by}",
        )
    if header["format_version"] != FORMAT_VERSION:
        raise ArtifactError(
            f"format version {header['format_version']} is not known (this is version "
            f"{FORMAT_VERSION})",
            where=path,
            mend="Install the version of wtn-cli that wrote it, or make the file again.",
        )
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in header["shapes"]}
    for name, tensor in tensors.items():
        _expect_finite(path, name, tensor)
    return tensors, header, header.get("provenance", {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise ArtifactError("no such file", where=path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ArtifactError(
            f"not a complete safetensors file ({error})",
            where=path,
            mend="The file is truncated or of another kind; copy or make it again.",
        ) from error


def _from_header(path: Path, key: str, text: str) -> Any:  # noqa: ANN401 - JSON
    if key.startswith("format"):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtifactError(f"the header's {key} is not JSON", where=path) from error


def _vocabulary(path: Path, record: Mapping[str, list[str]]) -> Vocabulary:
    try:
        return Vocabulary(tuple(record["ids"]), tuple(record["names"]))
    except (DatasetError, KeyError, TypeError) as error:
        raise ArtifactError(f"bad vocabulary: {error}", where=path) from error


def _tensor(path: Path, tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise ArtifactError(f"tensor {name!r} is missing", where=path)
    return tensors[name]


def _expect(path: Path, name: str, tensor: Tensor, shape: tuple[int | None, ...]) -> None:
    fits = tensor.dim() == len(shape) and all(
        want is None or have == want for have, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        wanted = [size or "any" for size in shape]
        raise ArtifactError(
            f"{name} has shape {list(tensor.shape)} where {wanted} was expected", where=path
        )


def _expect_finite(path: Path, name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        bad = (~tensor.reshape(len(tensor) if tensor.dim() else 1, -1).isfinite()).any(dim=1)
        row = int(bad.nonzero()[0])
        raise ArtifactError(
            f"{name} holds a number that is not finite, first in row {row}",
            where=path,
            mend="Repair the source and make the file again.",
        )


def _tool_version() -> str:
    try:
        return version("wtn-cli")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
