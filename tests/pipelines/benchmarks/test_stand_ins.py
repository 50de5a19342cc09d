"""Tests for pipelines.benchmarks.stand_ins."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from pipelines.benchmarks.stand_ins import bare_package, imports_from, require_files, stand_in
from pipelines.errors import ConfigError


def test_stand_ins_are_found_only_inside_the_block(tmp_path: Path) -> None:
    """A module of the checkout gets the stand-in; afterwards the real module is back."""
    (tmp_path / "foreign_module.py").write_text("import csv\nname = csv.name\n")
    real, path = sys.modules["csv"], list(sys.path)

    with imports_from(tmp_path, [stand_in("csv", name="stand-in")]):
        module = import_module("foreign_module")

    assert module.name == "stand-in"
    assert sys.modules["csv"] is real
    assert sys.path == path
    del sys.modules["foreign_module"]


def test_a_failed_import_leaves_nothing_behind(tmp_path: Path) -> None:
    """A stand-in for a module that was never there is gone again."""
    (tmp_path / "broken_module.py").write_text("import absent_module\nraise OSError\n")

    with (
        pytest.raises(OSError, match=r"^$"),
        imports_from(tmp_path, [stand_in("absent_module")]),
    ):
        import_module("broken_module")

    assert "absent_module" not in sys.modules


def test_a_bare_package_does_not_run_its_init(tmp_path: Path) -> None:
    """Its modules are imported from the folder all the same."""
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text("raise OSError")
    (tmp_path / "heavy" / "light.py").write_text("value = 3\n")

    with imports_from(tmp_path, [bare_package("heavy", tmp_path / "heavy")]):
        assert import_module("heavy.light").value == 3

    assert "heavy" not in sys.modules
    del sys.modules["heavy.light"]


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    """The message names the first missing file and the command that brings it."""
    (tmp_path / "there.py").touch()

    with pytest.raises(ConfigError) as caught:
        require_files(tmp_path, ["there.py", "gone.py", "too.py"], "owner/name")

    assert str(caught.value) == (
        f"{tmp_path}: not a checkout of owner/name: it has no gone.py\n"
        "git clone --depth 1 https://github.com/owner/name"
    )
