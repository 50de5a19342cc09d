"""Tests for wtn_cli.app: help, version, exit codes, and what an error looks like."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import pipelines.inspect
from pipelines import errors
from wtn_cli import __version__, app

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]

COMMANDS = [
    (), ("demo",), ("extract-weights",), ("check-data",), ("train",), ("similarity",),
    ("export-head",), ("evaluate",), ("predict",), ("inspect",), ("doctor",), ("study",),
    ("runs",), ("runs", "list"), ("runs", "show"), ("runs", "compare"), ("prepare",),
    *(("prepare", name) for name in (
        "open-images", "coco", "voc", "visual-genome", "oi-500", "oi-57", "vg-200")),
    ("benchmark",), ("benchmark", "export"), ("benchmark", "data"), ("benchmark", "evaluation"),
]  # fmt: skip


def test_version_is_the_packages(wtn: Wtn) -> None:
    """``--version`` prints the name and the version on stdout."""
    ended = wtn("--version")

    assert (ended.returncode, ended.stdout) == (0, f"wtn {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example(wtn: Wtn, command: tuple[str, ...]) -> None:
    """Every command's help ends well and shows how the command is typed."""
    ended = wtn(*command, "--help")

    assert ended.returncode == 0
    assert f"Example: wtn {' '.join(command)}" in " ".join(ended.stdout.split())


def test_help_cuts_no_text(wtn: Wtn) -> None:
    """No help text is cut with an ellipsis at 80 columns, and markup swallows no word."""
    texts = [wtn(*command, "--help").stdout for command in COMMANDS]

    assert not [line for text in texts for line in text.splitlines() if "…" in line]
    assert "<ImageID>.jpg" in texts[COMMANDS.index(("train",))]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["train", "--help"]])
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    """Importing the command line, and asking it for help, leaves torch alone."""
    program = (
        "import sys; from wtn_cli.app import main\n"
        f"try: main({arguments}) if {bool(arguments)} else None\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'torchvision', 'numpy', 'safetensors'} & sys.modules.keys()"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_every_error_has_an_exit_code() -> None:
    """No error of the library is without an exit code, and the codes are those of the help."""
    assert set(app.EXIT_CODES) == set(errors.WTNError.__subclasses__())
    assert {kind.__name__: code for kind, code in app.EXIT_CODES.items()} == {
        "RunError": 1,
        "ConfigError": 2,
        "ArtifactError": 3,
        "DatasetError": 3,
        "MismatchError": 4,
        "Interrupted": 130,
    }


def test_unknown_command_suggests_the_nearest(wtn: Wtn) -> None:
    """A slip of the finger is a usage error that names the command meant."""
    ended = wtn("trian")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Did you mean 'train'?" in ended.stderr


def test_what_mends_an_error_is_on_a_line_of_its_own(wtn: Wtn, tmp_path: Path) -> None:
    """The first line says where and what, the second what to do; nothing is wrapped."""
    ended = wtn("inspect", tmp_path / "none.safetensors")

    assert ended.returncode == 3
    assert ended.stderr == f"Error: {tmp_path / 'none.safetensors'}: no such file\n"


def _raise(error: BaseException) -> Callable[[Path], None]:
    def stage(path: Path) -> None:
        raise error

    return stage


@pytest.mark.parametrize("debug", [False, True])
def test_a_defect_is_one_message(
    wtn: Wtn, monkeypatch: pytest.MonkeyPatch, artifacts: SimpleNamespace, debug: bool
) -> None:
    """An unexpected error exits with 1 and asks for a report; only --debug shows the traceback."""
    monkeypatch.setattr(pipelines.inspect, "inspect_artifact", _raise(KeyError("colour [b]")))

    ended = wtn(*["--debug"] * debug, "inspect", artifacts.head)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Error: unexpected KeyError: 'colour [b]'\n" in ended.stderr
    assert "report it" in ended.stderr
    assert ("Traceback" in ended.stderr) == debug


def test_an_operating_system_error_names_the_file(
    wtn: Wtn, monkeypatch: pytest.MonkeyPatch, artifacts: SimpleNamespace
) -> None:
    """A full disk is no defect of the program: exit 1, the reason, and the file."""
    full = OSError(28, "No space left on device", "head.safetensors")
    monkeypatch.setattr(pipelines.inspect, "inspect_artifact", _raise(full))

    ended = wtn("inspect", artifacts.head)

    assert ended.returncode == 1
    assert "Error: head.safetensors: No space left on device\n" in ended.stderr


def test_ctrl_c_exits_with_130(
    wtn: Wtn, monkeypatch: pytest.MonkeyPatch, artifacts: SimpleNamespace
) -> None:
    """Ctrl-C in a command that has nothing to save ends it with one line and no traceback."""
    monkeypatch.setattr(pipelines.inspect, "inspect_artifact", _raise(KeyboardInterrupt()))

    ended = wtn("inspect", artifacts.head)

    assert ended.returncode == 130
    assert ended.stderr == "Interrupted; no file is half-written.\n"
