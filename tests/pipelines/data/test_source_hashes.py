"""Tests for pipelines.data.source_hashes."""

import hashlib
from pathlib import Path

import pytest

from pipelines.data.source_hashes import SourceHashes, key_of
from pipelines.errors import DatasetError


def test_files_are_hashed_by_their_bytes(tmp_path: Path) -> None:
    """The record holds what sha256sum prints; the key knows no file names."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"boxes")
    second.write_bytes(b"boxes")

    with SourceHashes([first, second]) as hashes:
        records, others = (hashes.parents([("boxes", path)]) for path in (first, second))

    digest = hashlib.sha256(b"boxes").hexdigest()
    assert records == [{"role": "boxes", "path": "first", "sha256": digest}]
    assert key_of(records, {"policy": "drop"}) == key_of(others, {"policy": "drop"})


def test_the_key_tells_what_and_how(tmp_path: Path) -> None:
    """Other contents, another role or another setting make another key."""
    path = tmp_path / "boxes"
    path.write_bytes(b"boxes")
    with SourceHashes([path]) as hashes:
        boxes, labels = (hashes.parents([(role, path)]) for role in ("boxes", "labels"))
    path.write_bytes(b"boxes!")
    with SourceHashes([path]) as hashes:
        changed = hashes.parents([("boxes", path)])

    keys = {
        key_of(parents, {"policy": policy})
        for parents, policy in [
            (boxes, "drop"),
            (labels, "drop"),
            (changed, "drop"),
            (boxes, "clip"),
        ]
    }

    assert len(keys) == 4


def test_a_folder_is_hashed_by_its_xml_files(tmp_path: Path) -> None:
    """A file that is added, changed or renamed changes the digest; other files do not count."""
    digests = []
    for name, content in [("a.xml", "1"), ("a.xml", "2"), ("b.xml", "2"), ("image.jpg", "3")]:
        (tmp_path / name).write_text(content)
        with SourceHashes([tmp_path]) as hashes:
            digests.append(hashes.parents([("annotations", tmp_path)])[0]["sha256"])

    assert len(set(digests)) == 3
    assert digests[2] == digests[3]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error comes when the hash is asked for, and names the file."""
    with SourceHashes([tmp_path / "none"]) as hashes, pytest.raises(DatasetError) as caught:
        hashes.parents([("boxes", tmp_path / "none")])

    assert caught.value.where == str(tmp_path / "none")
