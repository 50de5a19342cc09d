"""Tests for wtn_cli.predict: what it reads, prints and writes, and how it ends."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from pipelines.predict import Detector
from wtn_cli import console

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]
CertainHead = Callable[..., Path]


@pytest.fixture
def detector(artifacts: SimpleNamespace) -> tuple[object, ...]:
    """Return the options of a detector that finds something everywhere."""
    return ("--checkpoint", artifacts.checkpoint, "--head", artifacts.head, "--device", "cpu",
            "--score-threshold", 0)  # fmt: skip


def give_on_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let stdin hold these bytes."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def images_of(ended: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return the file names of the images in JSON lines on stdout."""
    assert ended.returncode == 0, ended.stderr
    return [Path(json.loads(line)["image"]).name for line in ended.stdout.splitlines()]


def test_text_and_progress(
    wtn: Wtn, world: SimpleNamespace, artifacts: SimpleNamespace, certain_head: CertainHead
) -> None:
    """Results on stdout, a line an image and one an object; images per second on stderr."""
    head = certain_head(**{"/m/07": 3.0})

    ended = wtn("predict", world.images, "--checkpoint", artifacts.checkpoint, "--head", head,
                "--device", "cpu", "--top-k", 1)  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    first, second, *others = ended.stdout.splitlines()
    assert first == f"{world.images / 'img0.jpg'}: 1 object above 0.5"
    assert second.startswith("  0.953  Cat (novel)  [")
    assert len(others) == 10
    last = ended.stderr.splitlines()[-1].split()
    assert (last[:2], last[-1]) == (["detect", "6/6"], "images/s")
    assert float(last[-2]) > 0


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\0"], ids=["lines", "Windows", "print0"])
def test_a_list_on_stdin(
    wtn: Wtn, world: SimpleNamespace, detector: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch, ends: bytes,
) -> None:  # fmt: skip
    """It stands where - stands, in its own order; folders and patterns may be in it too."""
    names = [world.images / "img3.png", world.images / "img[45].*", world.images / "img1.png"]
    give_on_stdin(monkeypatch, ends.join([*(str(name).encode() for name in names), b""]))

    ended = wtn("predict", world.images / "img0.jpg", "-", *detector, "--jsonl", "-")

    assert images_of(ended) == ["img0.jpg", "img3.png", "img4.jpg", "img5.png", "img1.png"]


def test_an_empty_list_is_refused(
    wtn: Wtn, detector: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when find has found nothing."""
    give_on_stdin(monkeypatch, b"")

    ended = wtn("predict", "-", *detector)

    assert (ended.returncode, ended.stdout) == (3, "")
    assert "there is no image" in ended.stderr


def test_all_outputs_tell_the_same(
    wtn: Wtn, world: SimpleNamespace, detector: tuple[object, ...], tmp_path: Path
) -> None:
    """JSON, JSON lines in a file and on stdout, and COCO results agree; pictures are drawn."""
    command = ("predict", world.images, *detector, "--save", tmp_path / "drawn")
    files = ("--jsonl", tmp_path / "found.jsonl", "--coco", tmp_path / "coco.json")

    whole, lines = wtn(*command, *files, "--json"), wtn(*command, "--jsonl", "-")

    assert whole.returncode == 0, whole.stderr
    images = json.loads(whole.stdout)["images"]
    assert [json.loads(line) for line in lines.stdout.splitlines()] == images
    assert (tmp_path / "found.jsonl").read_text() == lines.stdout
    assert all(Path(image["picture"]).is_file() for image in images)
    scores = [found["score"] for image in images for found in image["detections"]]
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [entry["score"] for entry in coco] == scores
    assert len(json.loads((tmp_path / "coco-instances.json").read_text())["images"]) == 6


def test_coco_annotations_give_the_ids(
    wtn: Wtn, world: SimpleNamespace, artifacts: SimpleNamespace, certain_head: CertainHead,
    tmp_path: Path,
) -> None:  # fmt: skip
    """What is no category there is left out and told; no instances file is written."""
    image = {"id": 77, "file_name": "img0.jpg", "width": 64, "height": 64}
    content = {"images": [image], "categories": [{"id": 5, "name": "Bus"}]}
    (tmp_path / "val.json").write_text(json.dumps(content))
    head = certain_head(**{"/m/01": 3.0, "/m/07": 3.0})

    ended = wtn("predict", world.images / "img0.jpg", "--checkpoint", artifacts.checkpoint,
                "--head", head, "--device", "cpu", "--all-labels", "--coco-annotations",
                tmp_path / "val.json", "--coco", tmp_path / "out" / "c.json")  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    results = json.loads((tmp_path / "out" / "c.json").read_text())
    assert {(entry["image_id"], entry["category_id"]) for entry in results} == {(77, 5)}
    assert f"{len(results)} detections are of no COCO category" in ended.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.json"]


@pytest.mark.parametrize("option", ["--joint", "--novel-shift"])
def test_novel_classes_are_let_in(
    wtn: Wtn, world: SimpleNamespace, artifacts: SimpleNamespace, certain_head: CertainHead,
    option: str,
) -> None:  # fmt: skip
    """A shift of more than the distance decides, under its own name and under evaluate's."""
    head = certain_head(**{"/m/01": 3.0, "/m/07": 2.0})
    command = ("predict", world.images / "img0.jpg", "--checkpoint", artifacts.checkpoint,
               "--head", head, "--device", "cpu", "--json")  # fmt: skip

    seen, novel = (wtn(*command, *more) for more in ((), (option, "1.5")))

    for ended, name in ((seen, "Bus"), (novel, "Cat")):
        (image,) = json.loads(ended.stdout)["images"]
        assert {found["name"] for found in image["detections"]} == {name}


@pytest.fixture
def with_a_bad_one(world: SimpleNamespace, tmp_path: Path) -> list[Path]:
    """Return a good picture, a bad one and another good one."""
    (tmp_path / "bad.jpg").write_text("no picture")
    return [world.images / "img0.jpg", tmp_path / "bad.jpg", world.images / "img1.png"]


def test_a_bad_picture_stops_the_run(
    wtn: Wtn, detector: tuple[object, ...], with_a_bad_one: list[Path], tmp_path: Path
) -> None:
    """What came before it stays, whole; a COCO file of a part of the images does not appear."""
    files = ("--jsonl", tmp_path / "found.jsonl", "--coco", tmp_path / "coco.json")

    ended = wtn("predict", *with_a_bad_one, *detector, *files)

    assert ended.returncode == 3
    assert f"Error: {with_a_bad_one[1]}: the image does not decode" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout.startswith(f"{with_a_bad_one[0]}: ")
    (line,) = (tmp_path / "found.jsonl").read_text().splitlines()
    assert json.loads(line)["image"] == str(with_a_bad_one[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jpg", "found.jsonl"]


def test_bad_pictures_are_skipped_on_demand(
    wtn: Wtn, detector: tuple[object, ...], with_a_bad_one: list[Path], tmp_path: Path
) -> None:
    """All others are done and all files are written; each bad one is told; the code is 3."""
    files = ("--jsonl", "-", "--coco", tmp_path / "coco.json", "--on-error", "skip")

    ended = wtn("predict", *with_a_bad_one, tmp_path / "none.jpg", *detector, *files)

    assert ended.returncode == 3
    images = [json.loads(line)["image"] for line in ended.stdout.splitlines()]
    assert images == [str(with_a_bad_one[0]), str(with_a_bad_one[2])]
    for name in ("bad.jpg", "none.jpg"):
        assert f"left out: {tmp_path / name}: " in ended.stderr
    assert "Error: 2 pictures were left out" in ended.stderr
    assert "detect 3/3" in ended.stderr
    assert {entry["image_id"] for entry in json.loads((tmp_path / "coco.json").read_text())} == {
        1, 3
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--json", "--jsonl", "-"), 2, "both print on stdout"),
        (("--coco-annotations", "x.json"), 2, "--coco-annotations needs --coco"),
        (("--top-k", "0"), 2, "--top-k"),
        (("--on-error", "ignore"), 2, "--on-error"),
        (("--thresholds", "none.csv"), 3, "none.csv: no such file"),
        (("--coco", "c.json", "--coco-annotations", "none.json"), 3, "none.json: no such file"),
    ],
)
def test_bad_options(
    wtn: Wtn, world: SimpleNamespace, detector: tuple[object, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int, says: str,
) -> None:  # fmt: skip
    """One message on stderr, the right exit code, and no file."""
    monkeypatch.chdir(tmp_path)

    ended = wtn("predict", world.images, *detector, *options)

    assert (ended.returncode, ended.stdout) == (code, "")
    assert says in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_whole_lines(
    wtn: Wtn, world: SimpleNamespace, detector: tuple[object, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The lines so far stay, the COCO file does not appear, and the exit code is 130."""
    original = Detector.predict_many

    def interrupted(self, *args, **kwargs):  # noqa: ANN001, ANN002, ANN003, ANN202
        yield next(original(self, *args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(Detector, "predict_many", interrupted)

    ended = wtn("predict", world.images, *detector, "--jsonl", tmp_path / "found.jsonl",
                "--coco", tmp_path / "coco.json")  # fmt: skip

    assert ended.returncode == 130
    assert "Interrupted" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]
    (line,) = (tmp_path / "found.jsonl").read_text().splitlines()
    assert json.loads(line)["image"] == str(world.images / "img0.jpg")


def test_results_go_to_stdout_also_beside_a_bar(
    wtn: Wtn, world: SimpleNamespace, detector: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With stderr on a terminal and stdout in a pipe, nothing of them is shown with the bar."""
    shown = io.StringIO()
    monkeypatch.setattr(console, "err", lambda: Console(file=shown, force_terminal=True, width=80))

    ended = wtn("predict", world.images, *detector, "--jsonl", "-")

    assert len(images_of(ended)) == 6
    assert "6/6" in shown.getvalue()
    assert "images/s" in shown.getvalue()
    assert "img0.jpg" not in shown.getvalue()


def test_coco_results_are_a_file(
    wtn: Wtn,
    world: SimpleNamespace,
    artifacts: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file called - is nothing that anybody wants."""
    monkeypatch.chdir(tmp_path)

    ended = wtn("predict", world.images, "--checkpoint", artifacts.checkpoint, "--coco", "-")

    assert ended.returncode == 2
    assert "--coco writes a file" in ended.stderr
    assert list(tmp_path.iterdir()) == []
