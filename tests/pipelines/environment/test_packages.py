"""Tests for pipelines.environment.packages."""

from importlib.metadata import PackageNotFoundError

import pytest

from pipelines.environment import packages
from pipelines.environment.packages import Requirement, extras, requirements

LINES = [
    "numpy>=2.0",
    "torch>=2.11",
    "filelock",
    "matplotlib>=3.9; extra == 'plots'",
    'onnx>=1.20 ; python_version > "3.10" and extra == "onnx"',
    "hypothesis>=6; extra == 'dev'",
    "matplotlib>=3.9; extra == 'all'",
]


@pytest.fixture(autouse=True)
def _metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"numpy": "2.4.1", "torch": "2.9.0+cpu", "matplotlib": "3.11.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(packages, "requires", lambda name: LINES)
    monkeypatch.setattr(packages, "version", version)


def test_requirements_are_those_of_the_metadata() -> None:
    """Names, oldest versions and extras; collections of extras and developers' tools are none."""
    assert requirements() == [
        Requirement("numpy", "2.0", None),
        Requirement("torch", "2.11", None),
        Requirement("filelock", None, None),
        Requirement("matplotlib", "3.9", "plots"),
        Requirement("onnx", "1.20", "onnx"),
    ]


def test_versions_are_compared_as_numbers() -> None:
    """2.9 is older than 2.11, 3.11 newer than 3.9; what is missing or unbounded is not too old."""
    too_old = [found.name for found in requirements() if found.is_too_old]

    assert too_old == ["torch"]


def test_a_missing_package_of_an_extra_is_none() -> None:
    """The others have their versions."""
    assert extras() == {"onnx": {"onnx": None}, "plots": {"matplotlib": "3.11.0"}}


def test_a_source_tree_that_was_never_installed_needs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without metadata nothing is known, and nothing is judged."""

    def requires(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "requires", requires)

    assert requirements() == []
