"""Tests for wtn_cli.console: what reaches the terminal, and what a pipe gets instead."""

import io
import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.errors import DatasetError
from pipelines.training.records import StepRecord, Timing
from wtn_cli import console
from wtn_cli.train import show_step

LOSSES = {
    "loss_classifier": 1.5, "loss_box_reg": 0.25, "loss_reconstruction": 4.5,
    "loss_objectness": 0.125, "loss_rpn_box_reg": 0.0625, "loss": 6.4375,
}  # fmt: skip
RECORD = StepRecord(20, 400, LOSSES, {"lr": 0.01, "lr_transfer": 0.001})
TIMING = Timing(20, 3.2, 12.5, 0.25, 2**30, seconds_left=3725.4)


def terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    """Let the console for progress be a terminal of this width; return what it shows."""
    shown = io.StringIO()
    monkeypatch.setattr(
        console, "err", lambda: Console(file=shown, force_terminal=True, width=width)
    )
    return shown


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_shows_every_loss_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """However narrow the terminal, no loss, rate or time is cut, and no line is too long."""
    shown = terminal(monkeypatch, width)

    with console.progress("train") as bar:
        show_step(bar, RECORD, TIMING)

    text = shown.getvalue()
    assert "…" not in text
    assert "20/400" in text
    assert "eta 1:02:05" in text
    words = " ".join(text.split())
    for name, value in LOSSES.items():
        assert f"{name.removeprefix('loss_')} {value:.4f}" in words
    assert "lr_transfer 1.00e-03 12.5 images/s" in words


def test_a_pipe_gets_one_plain_line_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal, a record is one line on stderr without control codes."""
    with console.progress("train") as bar:
        show_step(bar, RECORD, TIMING)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "train 20/400 eta 1:02:05 classifier 1.5000 box_reg 0.2500 reconstruction 4.5000 "
        "objectness 0.1250 rpn_box_reg 0.0625 loss 6.4375 lr 1.00e-02 lr_transfer 1.00e-03 "
        "12.5 images/s\n"
    )


def test_a_pipe_is_not_flooded(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand steps of progress make about twenty lines, the last one among them."""
    with console.progress("detect") as bar:
        for done in range(1, 1001):
            bar.update(done, 1000)

    lines = capsys.readouterr().err.splitlines()
    assert 20 <= len(lines) <= 22
    assert lines[-1] == "detect 1000/1000 eta 0:00:00"


def test_a_part_of_one_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe is told what begins, not that none of one step is done; longer parts are counted."""
    with console.progress("prepare") as bar:
        for name, total in [("reading", 1), ("image sizes", 2), ("writing", 1)]:
            for done in range(total + 1):
                bar.phase(name, done, total)

    lines = capsys.readouterr().err.splitlines()
    assert (lines[0], lines[-1]) == ("reading", "writing")
    assert lines[-2] == "image sizes 2/2 eta 0:00:00"


def test_json_has_null_for_what_json_cannot_say(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and infinity become null, dataclasses objects, and paths strings."""
    console.emit_json(
        {"AP50": float("nan"), "x": (float("inf"), 0.5), "at": Path("a/b"), 7: RECORD}
    )

    shown = json.loads(capsys.readouterr().out, parse_constant=lambda text: pytest.fail(text))
    assert shown["AP50"] is None
    assert shown["x"] == [None, 0.5]
    assert shown["at"] == "a/b"
    assert shown["7"]["losses"] == LOSSES


def test_brackets_in_a_message_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """A shape such as [k, d] or a class named [red] is printed as it is, in one line."""
    console.say("weight [k, d] of [red]apple[/red] " + "x" * 200)

    assert capsys.readouterr().out == "weight [k, d] of [red]apple[/red] " + "x" * 200 + "\n"


def test_names_that_are_not_utf8_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Linux allows such file names; their bytes are shown, on stdout, on stderr and in errors."""
    name = os.fsdecode(b"caf\xe9.jpg")

    console.say(name)
    console.note(name)
    console.fail(DatasetError("bad", where=name, mend=f"Rename {name}."))

    captured = capsys.readouterr()
    shown = "caf\\udce9.jpg"
    assert captured.out == f"{shown}\n"
    assert captured.err == f"{shown}\nError: {shown}: bad\nRename {shown}.\n"


def test_lines_go_through_the_bar_on_the_same_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line said while a bar is shown is put above it, where the bar does not erase it."""
    shown, stdout = terminal(monkeypatch, 80), io.StringIO()
    monkeypatch.setattr(stdout, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", stdout)

    with console.progress("detect") as bar:
        bar.update(1, 2)
        console.say("frame1.jpg: 1 object")
        bar.update(2, 2)

    assert stdout.getvalue() == ""  # the bar prints it, and knows where
    assert "frame1.jpg: 1 object\n" in shown.getvalue()
