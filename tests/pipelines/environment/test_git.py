"""Tests for pipelines.environment.git."""

import os
import subprocess
from pathlib import Path

import pytest

from pipelines.environment import git
from pipelines.environment.git import git_state


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with one commit of ``index`` and ``folder/inside``."""
    (tmp_path / "folder").mkdir()
    for name in ("index", "folder/inside"):
        (tmp_path / name).write_text("committed")
    for arguments in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "-m", "first"),
    ):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True)
    return tmp_path


def _head(repository: Path) -> str:
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_file_is_clean_until_it_changes(repository: Path) -> None:
    """The commit is that of HEAD; a change elsewhere in the repository does not count."""
    before = git_state(repository / "index")
    (repository / "folder" / "inside").write_text("changed")
    (repository / "new").write_text("not committed")

    assert before is not None
    assert (before.commit, before.state) == (_head(repository), "clean")
    assert git_state(repository / "index") == before
    states = {
        name: found.state
        for name in ("folder", "folder/inside", "new")
        if (found := git_state(repository / name)) is not None
    }
    assert states == {"folder": "changed", "folder/inside": "changed", "new": "untracked"}


def test_there_is_no_state_without_a_commit_or_git(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of a repository, of a file that is nowhere, and where git is not installed: None."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert git_state(elsewhere / "index") is None
    assert git_state(elsewhere / "no" / "folder" / "index") is None

    def missing(*arguments: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(git.subprocess, "run", missing)
    assert git_state(repository / "index") is None


def test_the_repository_is_left_as_it_is(repository: Path) -> None:
    """Its index is not refreshed though a file was touched, and its hooks do not run."""
    hook = repository / ".git" / "hooks" / "post-index-change"
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    index = repository / ".git" / "index"
    os.utime(repository / "index", (1, 1))
    before = index.read_bytes()

    found = git_state(repository / "index")

    assert found is not None
    assert found.state == "clean"
    assert index.read_bytes() == before
    assert not (repository / "ran").exists()
