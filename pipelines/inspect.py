"""Describe any artifact from its header alone, down to the first source."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.provenance import sha256
from pipelines.storage import read_header
from pipelines.vocabulary import ClassHierarchy

_DETAILS = ("classifier_vocabulary", "box_classes", "label_classes", "notes")  # too long to show


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
        ArtifactError: If the file is not an artifact of this program.
    """
    header = read_header(path)
    vocabulary = header.pop("vocabulary", {"ids": [], "names": []})
    for detail in _DETAILS:
        header.pop(detail, None)
    if header.get("hierarchy"):
        header["hierarchy"] = len(ClassHierarchy.from_tree(header["hierarchy"]).descendants)
    groups = header.pop("groups", [])
    provenance = header.pop("provenance", {})
    return ArtifactDescription(
        path=path,
        sha256=sha256(path),
        format=header.pop("format"),
        version=header.pop("format_version"),
        shapes=header.pop("shapes"),
        class_ids=vocabulary["ids"],
        class_names=vocabulary["names"],
        groups={group: groups.count(group) for group in dict.fromkeys(groups)},
        made={name: fact for name, fact in provenance.items() if name != "parents"},
        provenance=list(_chain(provenance, depth=0)),
        facts=header,
    )


def _chain(provenance: Mapping[str, Any], depth: int) -> Iterator[tuple[int, str, str, str]]:
    for record in provenance.get("parents", []):
        yield depth, record["role"], record["path"], record["sha256"]
        yield from _chain(record.get("provenance", {}), depth + 1)
