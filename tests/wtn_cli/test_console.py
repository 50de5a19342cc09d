"""Tests for wtn_cli.console: what reaches the terminal, and what a pipe gets instead."""

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.errors import DatasetError
from wtn_cli import console


@dataclass(frozen=True)
class Found:
    """Anything with a number."""

    score: float


def terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    """Let the console for progress be a terminal of this width; return what it shows."""
    shown = io.StringIO()
    monkeypatch.setattr(
        console, "err", lambda: Console(file=shown, force_terminal=True, width=width)
    )
    return shown


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_parts_of_a_detail_stay_whole(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """However narrow the terminal, a name is never parted from its number, nor is one cut."""
    shown = terminal(monkeypatch, width)
    parts = [f"part-{number} {number:.4f}" for number in range(12)]

    with console.progress("work") as bar:
        bar.update(120_000, 180_000, parts, seconds_left=3 * 86400 + 3725.4)

    text = shown.getvalue()
    assert "…" not in text
    assert "eta 3d 1:02:05" in text
    assert [part for part in parts if part not in text] == []


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
        {"AP50": float("nan"), "x": (float("inf"), 0.5), "at": Path("a/b"), 7: Found(0.25)}
    )

    shown = json.loads(capsys.readouterr().out, parse_constant=lambda text: pytest.fail(text))
    assert shown["AP50"] is None
    assert shown["x"] == [None, 0.5]
    assert shown["at"] == "a/b"
    assert shown["7"] == {"score": 0.25}


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


def test_notes_go_through_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A note while a bar is shown starts a line of its own, and the bar is drawn below it."""
    shown = terminal(monkeypatch, 80)

    with console.progress("train") as bar:
        bar.update(1, 2, ("loss 1.0",))
        console.note("evaluated")

    before, _, after = shown.getvalue().partition("evaluated\n")
    assert before.endswith("\x1b[2K")  # the line is empty: the bar was erased first
    assert "1/2" in after


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


def test_a_muted_process_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Under torchrun one process speaks: no lines, no JSON, no tables and no progress of others."""
    console.mute()
    try:
        console.say("line")
        console.note("note")
        console.emit_json({"a": 1})
        console.show_facts("title", {"a": 1})
        with console.progress("train") as bar:
            bar.update(1, 2)
    finally:
        console.unmute()

    assert capsys.readouterr() == ("", "")
