"""Tests for pipelines.data.prediction_outputs: drawn pictures, JSON lines, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pipelines.data import prediction_outputs
from pipelines.data.image_prediction import Detection, Prediction
from pipelines.data.pictures import read_file
from pipelines.data.prediction_outputs import PredictionOutputs
from pipelines.errors import ConfigError
from pipelines.vocabulary import Vocabulary

CLASSES = Vocabulary(("/m/01",), ("Bus",))
BUS = Detection("/m/01", "Bus", "seen", 0, 0.75, (1.5, 2.0, 31.5, 42.0))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Return two pictures in a folder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / "a.jpg", folder / "b.png"]
    for path in paths:
        Image.new("RGB", (64, 48)).save(path)
    return paths


def found_in(path: Path) -> Prediction:
    """Return one object in a picture."""
    return Prediction(path, 64, 48, (BUS,), lambda: read_file(path))


def test_lines_are_there_as_soon_as_images_are_done(pictures: list[Path], tmp_path: Path) -> None:
    """What was written before Ctrl-C stays, in whole lines; a COCO file does not appear."""
    out = tmp_path / "new"
    outputs = PredictionOutputs(out / "drawn", out / "found.jsonl", out / "found.json")
    outputs.refuse_clashes(pictures, [])
    lines: list[list[str]] = []

    def interrupted() -> None:
        with outputs.opened(pictures, CLASSES) as write:
            for path in pictures:
                write(found_in(path))
                lines.append((out / "found.jsonl").read_text().splitlines())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert sorted(path.name for path in out.iterdir()) == ["drawn", "found.jsonl"]
    assert (out / "found.jsonl").read_text() == "\n".join([*lines[1], ""])
    assert [len(so_far) for so_far in lines] == [1, 2]
    (line,) = lines[0]
    bus = {"label": "/m/01", "name": "Bus", "group": "seen", "row": 0, "score": 0.75,
           "box": [1.5, 2.0, 31.5, 42.0]}  # fmt: skip
    assert json.loads(line) == {
        "image": str(pictures[0]), "width": 64, "height": 48, "detections": [bus],
        "picture": str(out / "drawn" / "a.png"),
    }  # fmt: skip


def test_pictures_are_drawn_into_the_folder(pictures: list[Path], tmp_path: Path) -> None:
    """Each under its name, as PNG; without a folder none is drawn."""
    with PredictionOutputs(tmp_path / "drawn").opened(pictures, CLASSES) as write:
        written = [write(found_in(path)).picture for path in pictures]
    with PredictionOutputs().opened(pictures, CLASSES) as write:
        assert write(found_in(pictures[0])).picture is None

    assert written == [tmp_path / "drawn" / "a.png", tmp_path / "drawn" / "b.png"]
    for path in written:
        with Image.open(path) as drawn:
            assert drawn.format == "PNG"


def test_pictures_do_not_overwrite_each_other(pictures: list[Path], tmp_path: Path) -> None:
    """Two files of one folder that would be drawn under one name are refused."""
    files = [*pictures, pictures[0].with_suffix(".png")]

    PredictionOutputs().refuse_clashes(files, [])
    with pytest.raises(ConfigError, match=r"would both be drawn as .*a\.png"):
        PredictionOutputs(tmp_path / "drawn").refuse_clashes(files, [])


def test_pictures_of_several_folders_keep_them(tmp_path: Path) -> None:
    """Where names are not unique, as those of frames, each is drawn below its own folder."""
    files = [tmp_path / "clips" / clip / "1.jpg" for clip in ("a", "b/c")]

    paths = prediction_outputs._drawing_paths(files, tmp_path / "drawn")

    drawn = [path.relative_to(tmp_path) for path in paths.values()]
    assert drawn == [Path("drawn/a/1.png"), Path("drawn/b/c/1.png")]


def test_links_to_pictures_lie_in_their_own_folders(tmp_path: Path) -> None:
    """A link is drawn where it stands, not where its picture is."""
    (tmp_path / "store.jpg").touch()
    files = [tmp_path / clip / "x.jpg" for clip in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.symlink_to(tmp_path / "store.jpg")

    drawn = prediction_outputs._drawing_paths(files, tmp_path / "drawn").values()

    assert [path.parent.name for path in drawn] == ["a", "b"]


@pytest.mark.parametrize("folder", [".", "../link"])
def test_the_given_pictures_are_not_overwritten(
    pictures: list[Path], tmp_path: Path, folder: str
) -> None:
    """Saving beside a picture of that name is refused, also through a link."""
    (tmp_path / "link").symlink_to(pictures[0].parent)

    with pytest.raises(ConfigError, match="would overwrite a picture") as error:
        PredictionOutputs(pictures[0].parent / folder).refuse_clashes(pictures, [])

    assert "another folder" in str(error.value)


@pytest.mark.parametrize(
    ("outputs", "what"),
    [
        (lambda f: PredictionOutputs(jsonl=f / "head"), "would replace an input"),
        (lambda f: PredictionOutputs(coco=f / "pictures" / "a.jpg"), "would replace an input"),
        (lambda f: PredictionOutputs(coco=f / "a.json", coco_annotations=f / "a.json"),
         "would replace an input"),
        (lambda f: PredictionOutputs(coco=f / "c.json", jsonl=f / "c.json"), "one name"),
        (lambda f: PredictionOutputs(coco=f / "c.json", jsonl=f / "c-instances.json"), "one name"),
        (lambda f: PredictionOutputs(coco=f), "the output is a folder"),
        (lambda f: PredictionOutputs(jsonl=f), "the output is a folder"),
        (lambda f: PredictionOutputs(jsonl=f / "head" / "x.jsonl"), "a file, not a folder"),
        (lambda f: PredictionOutputs(coco_annotations=f / "a.json"), "needs --coco"),
    ],
)  # fmt: skip
def test_clashes_are_refused(
    pictures: list[Path], tmp_path: Path, outputs: Callable[[Path], PredictionOutputs], what: str
) -> None:
    """Before anything is detected, and nothing is written."""
    (tmp_path / "head").write_text("rows")
    (tmp_path / "a.json").write_text("annotations")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(ConfigError, match=what):
        outputs(tmp_path).refuse_clashes(pictures, [tmp_path / "head", None])

    assert sorted(tmp_path.rglob("*")) == before
