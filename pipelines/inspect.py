"""Describe any artifact from its header alone, down to the first source."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import ArtifactError
from pipelines.provenance import sha256
from pipelines.storage import read_header, vocabulary_from_json
from pipelines.vocabulary import ClassHierarchy

_DETAILS = ("classifier_vocabulary", "box_classes", "label_classes", "notes")  # too long to show
_OF_PARENT = ("role", "path", "sha256")
_REMAKE = "Make the file again."


@dataclass(frozen=True)
class ArtifactDescription:
    """What an artifact says of itself.

    Args:
        path: The file.
        sha256: Of the whole file.
        format: Which kind of artifact, and its version.
        version: Of the format.
        shapes: Of every tensor, by name.
        class_ids: In row order.
        class_names: In row order.
        groups: Number of classes in each group, where the artifact knows.
        facts: What else its header says; of a hierarchy, the number of classes.
        made: What its provenance says besides the files: tool, method, neighbours and the like.
        provenance: ``(depth, role, path, sha256)`` of everything that it was made from.
    """

    path: Path
    sha256: str
    format: str
    version: str
    shapes: dict[str, list[int]]
    class_ids: list[str]
    class_names: list[str]
    groups: dict[str, int]
    facts: dict[str, Any]
    made: dict[str, Any]
    provenance: list[tuple[int, str, str, str]]


def inspect_artifact(path: Path) -> ArtifactDescription:
    """Read an artifact's header.

    Raises:
        ArtifactError: If the file is not an artifact of this program, is of another version, or
            its header is malformed.
    """
    header = read_header(path)
    vocabulary = vocabulary_from_json(path, header.pop("vocabulary", {"ids": [], "names": []}))
    for detail in _DETAILS:
        header.pop(detail, None)
    if header.get("hierarchy"):
        header["hierarchy"] = _count_classes(path, header["hierarchy"])
    groups = header.pop("groups", [])
    _expect(path, _are_texts(groups), "its groups are not a list of names")
    provenance = header.pop("provenance", {})
    chain = list(_chain(path, provenance, depth=0))
    return ArtifactDescription(
        path=path,
        sha256=sha256(path),
        format=header.pop("format"),
        version=header.pop("format_version"),
        shapes=header.pop("shapes"),
        class_ids=list(vocabulary.ids),
        class_names=list(vocabulary.names),
        groups=dict(Counter(groups)),
        made={name: fact for name, fact in provenance.items() if name != "parents"},
        provenance=chain,
        facts=header,
    )


def _count_classes(path: Path, tree: Any) -> int:  # noqa: ANN401 - JSON
    try:
        return len(ClassHierarchy.from_tree(tree).descendants)
    except (KeyError, TypeError) as error:
        wanted = "nested objects with LabelName and Subcategory"
        raise ArtifactError(
            f"its hierarchy is not of {wanted}", where=path, mend=_REMAKE
        ) from error


def _chain(path: Path, provenance: Any, depth: int) -> Iterator[tuple[int, str, str, str]]:  # noqa: ANN401 - JSON
    """Yield everything that a provenance names, each file before its own parents."""
    _expect(path, isinstance(provenance, Mapping), "its provenance is not an object")
    parents = provenance.get("parents", [])
    _expect(path, isinstance(parents, list), "the parents in its provenance are not a list")
    for record in parents:
        known = isinstance(record, Mapping) and _are_texts([record.get(k) for k in _OF_PARENT])
        _expect(path, known, f"a parent in its provenance lacks one of {', '.join(_OF_PARENT)}")
        yield depth, record["role"], record["path"], record["sha256"]
        yield from _chain(path, record.get("provenance", {}), depth + 1)


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _expect(path: Path, holds: bool, otherwise: str) -> None:
    if not holds:
        raise ArtifactError(otherwise, where=path, mend=_REMAKE)
