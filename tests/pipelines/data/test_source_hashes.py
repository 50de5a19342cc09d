"""Tests for pipelines.data.source_hashes."""

import hashlib
import os
from pathlib import Path

import pytest

from pipelines.data.source_hashes import SourceHashes, key_of, state_of_images
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
    """A file that is added, changed or renamed changes the digest; what is not read does not."""
    (tmp_path / "old").mkdir()
    files = ["a.xml", "a.xml", "b.xml", "image.jpg", "._a.xml", "old/c.xml"]
    digests = []
    for name, content in zip(files, "122345", strict=True):
        (tmp_path / name).write_text(content)
        with SourceHashes([tmp_path]) as hashes:
            digests.append(hashes.parents([("annotations", tmp_path)])[0]["sha256"])

    assert len(set(digests)) == 3
    assert len(set(digests[2:])) == 1


def test_a_folder_is_the_same_with_its_year(tmp_path: Path) -> None:
    """Of the folder of a year, the annotations in it count, as they do alone."""
    annotations = tmp_path / "Annotations"
    annotations.mkdir()
    (annotations / "a.xml").write_text("1")
    (tmp_path / "project.xml").write_text("2")

    with SourceHashes([tmp_path, annotations]) as hashes:
        whole, alone = (hashes.parents([("annotations", p)])[0] for p in (tmp_path, annotations))

    assert whole["sha256"] == alone["sha256"]


def test_the_state_of_images_is_told_without_reading_them(tmp_path: Path) -> None:
    """An archive by its size and time, a folder by those of its images; other files are nothing."""
    folder, archive = tmp_path / "images", tmp_path / "images.zip"
    (folder / "sub").mkdir(parents=True)
    archive.write_bytes(b"1")
    states = [state_of_images(folder)]
    for name in ("notes.txt", ".hidden.jpg", "sub/a.jpg", "sub/b.png"):
        (folder / name).touch()
        states.append(state_of_images(folder))
    os.utime(folder / "sub" / "a.jpg", ns=(0, 7))
    states.append(state_of_images(folder))
    first = state_of_images(archive)
    archive.write_bytes(b"12")

    assert states[0] == states[1] == states[2]
    assert len(set(states)) == 4
    assert state_of_images(archive) != first


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error comes when the hash is asked for, and names the file."""
    with SourceHashes([tmp_path / "none"]) as hashes, pytest.raises(DatasetError) as caught:
        hashes.parents([("boxes", tmp_path / "none")])

    assert caught.value.where == str(tmp_path / "none")
