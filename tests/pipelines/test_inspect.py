"""Tests for pipelines.inspect: an artifact tells what it is and what it was made from."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from pipelines.errors import ArtifactError
from pipelines.inspect import inspect_artifact


def sha256(path: Path) -> str:
    """Return the digest, without the program's help."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_chain_of_a_head_reaches_the_first_source(
    artifacts: SimpleNamespace, world: SimpleNamespace
) -> None:
    """From a head alone, every file that it came from can be verified, down to the classifier."""
    found = inspect_artifact(artifacts.head)

    assert found.sha256 == sha256(artifacts.head)
    assert found.provenance == [
        (depth, role, path.name, sha256(path))
        for depth, role, path in [
            (0, "checkpoint", artifacts.checkpoint),
            (1, "classifier", artifacts.classifier),
            (2, "classifier", world.state_dict),
            (2, "classes", world.class_list),
            (1, "boxes", world.boxes),
            (1, "backbone", world.state_dict),
        ]
    ]


def test_each_kind_describes_itself(artifacts: SimpleNamespace, world: SimpleNamespace) -> None:
    """Format, classes, groups and shapes are those of the file."""
    classifier, checkpoint, head = map(
        inspect_artifact, (artifacts.classifier, artifacts.checkpoint, artifacts.head)
    )

    assert [(a.format, a.version) for a in (classifier, checkpoint, head)] == [
        ("wtn.classifier-weights", "1"),
        ("wtn.detector-checkpoint", "1"),
        ("wtn.detection-head", "1"),
    ]
    assert tuple(classifier.class_ids) == world.classifier_ids
    assert tuple(checkpoint.class_ids) == world.detection_ids
    assert head.class_ids == [*world.classifier_ids, world.other_id]
    assert head.groups == {"seen": 4, "novel": 3, "other": 1}
    assert classifier.shapes == {"weight": [7, 256], "bias": [7]}
    assert head.shapes["cls_score.weight"] == [8, 32]
    assert checkpoint.facts["iteration"] == 3
    assert checkpoint.facts["config"]["head"]["method"] == "ae-wtn"
    assert head.made["method"] == "ae-wtn"
    assert "parents" not in head.made  # they are the provenance


def test_a_foreign_file_is_refused(world: SimpleNamespace) -> None:
    """Another program's safetensors file is no artifact, and the error says how to make one."""
    with pytest.raises(ArtifactError, match="not an artifact of wtn") as error:
        inspect_artifact(world.state_dict)

    assert error.value.where == str(world.state_dict)
    assert "wtn extract-weights" in str(error.value.mend)


def with_header(path: Path, **fields: object) -> Path:
    """Write an artifact of two classes, some fields of its header replaced; None leaves one out."""
    header = {"format_version": "1", "vocabulary": {"ids": ["a", "b"], "names": ["A", "B"]}}
    given = {key: value for key, value in (header | fields).items() if value is not None}
    texts = {key: v if isinstance(v, str) else json.dumps(v) for key, v in given.items()}
    save_file({"weight": torch.zeros(2, 3)}, path, {"format": "wtn.detection-head", **texts})
    return path


PARENT = {"role": "boxes", "path": "b.csv", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format_version": "2"}, "format version 2 is not known"),
        ({"format_version": None}, "format version None is not known"),
        ({"vocabulary": {"ids": ["a", "b"], "names": ["A"]}}, "2 class ids but 1 names"),
        ({"vocabulary": ["a", "b"]}, "bad vocabulary"),
        ({"vocabulary": {"ids": ["a"]}}, "bad vocabulary: 'names'"),
        ({"groups": 3}, "its groups are not a list"),
        ({"groups": [["seen"]]}, "its groups are not a list"),
        ({"hierarchy": {"LabelName": "root"}}, "its hierarchy is not of nested objects"),
        ({"hierarchy": {"Subcategory": ["a"]}}, "its hierarchy is not of nested objects"),
        ({"hierarchy": 7}, "its hierarchy is not of nested objects"),
        ({"provenance": [PARENT]}, "its provenance is not an object"),
        ({"provenance": {"parents": json.dumps(PARENT)}}, "parents in its provenance are not a"),
        ({"provenance": {"parents": ["boxes"]}}, "a parent in its provenance lacks one of role"),
        ({"provenance": {"parents": [{**PARENT, "path": None}]}}, "a parent in its provenance"),
        (
            {"provenance": {"parents": [{**PARENT, "provenance": {"parents": [{}]}}]}},
            "a parent in its provenance",
        ),
        ({"provenance": {"parents": [{**PARENT, "provenance": "x"}]}}, "provenance is not an obj"),
    ],
    ids=str,
)
def test_a_malformed_header_is_refused(
    fields: dict[str, object], message: str, tmp_path: Path
) -> None:
    """Whatever a header holds, the error names the file, the field and what to do."""
    assert inspect_artifact(with_header(tmp_path / "good")).class_ids == ["a", "b"]
    bad = with_header(tmp_path / "bad", **fields)

    with pytest.raises(ArtifactError, match=message) as error:
        inspect_artifact(bad)

    assert error.value.where == str(bad)
    assert error.value.mend
