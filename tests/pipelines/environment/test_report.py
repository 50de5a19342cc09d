"""Tests for pipelines.environment.report."""

import getpass
import json
import platform
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from pipelines.environment import report
from pipelines.environment.git import GitState
from pipelines.environment.report import describe_environment, read_environment


def test_the_report_names_versions_and_machine(tmp_path: Path) -> None:
    """Those of this process, and the git state of the data that was asked for."""
    found = describe_environment(tmp_path, {"boxes": tmp_path / "boxes.csv"})

    assert found.python == platform.python_version()
    assert found.torch is not None
    assert (found.torch.torch, found.torch.threads) == (torch.__version__, torch.get_num_threads())
    assert found.hardware.cpus >= 1
    assert found.data == {"boxes": None}
    assert found.can_train


def test_nobody_and_no_place_is_named(tmp_path: Path) -> None:
    """Neither user nor host nor folder is in it, so that it can be shown to others."""
    text = json.dumps(asdict(describe_environment(tmp_path / "private")))

    assert platform.node() not in text
    assert "private" not in text
    assert str(Path.home()) not in text
    assert f'"{getpass.getuser()}"' not in text


def test_the_file_holds_the_report(tmp_path: Path) -> None:
    """As one JSON object with the fields of the report."""
    found = describe_environment(tmp_path)

    found.save(tmp_path)

    written = json.loads((tmp_path / "environment.json").read_text())
    assert written == json.loads(json.dumps(asdict(found)))
    assert read_environment(tmp_path) == found
    assert [path.name for path in tmp_path.iterdir()] == ["environment.json"]


def test_without_torch_there_is_still_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of everything else; training cannot run."""
    monkeypatch.setitem(sys.modules, "torch", None)

    found = describe_environment(tmp_path)

    assert (found.torch, found.hardware.gpus, found.can_train) == (None, (), False)


@pytest.mark.parametrize("state", ["clean", "changed", "untracked"])
def test_the_program_has_a_commit_if_git_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """An installation that merely lies in somebody's repository has none."""
    monkeypatch.setattr(report, "git_state", lambda path: GitState("0123", state))

    found = describe_environment(tmp_path).program

    assert (found is None) == (state == "untracked")


def _cudnn_told(output: Path) -> str | None:
    found = describe_environment(output).torch
    assert found is not None
    return found.cudnn


def test_cudnn_is_told_as_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """92600 is 9.26.0; a build without it has none."""
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 92600)
    assert _cudnn_told(tmp_path) == "9.26.0"

    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: None)
    assert _cudnn_told(tmp_path) is None


@pytest.mark.parametrize("text", [None, "{", "[]", '{"wtn": "1.0"}'])
def test_what_is_no_report_is_none(tmp_path: Path, text: str | None) -> None:
    """No file, half a file, and something else."""
    if text is not None:
        (tmp_path / "environment.json").write_text(text)

    assert read_environment(tmp_path) is None
