"""Detections in the results format of COCO (cocodataset.org/#format-results).

A results file is a list of ``{"image_id", "category_id", "bbox": [x, y, width, height], "score"}``,
in which images and categories are numbers of an instances file: a given one, or one that is written
beside it.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.data.coco import list_entries, read_image_ids, without_masks
from pipelines.data.image_prediction import Prediction
from pipelines.data.image_sizes import LARGEST_SIDE
from pipelines.data.json_file import Entries, read_json
from pipelines.errors import MismatchError
from pipelines.storage import atomic_path
from pipelines.vocabulary import Vocabulary

Size = tuple[int, int]


@dataclass(frozen=True)
class CocoNumbers:
    """The ids that a results file uses.

    Args:
        images: By file.
        categories: By class id. Detections of other classes are left out.
        sizes: Width and height of each file in the instances file; empty if there is none.
    """

    images: Mapping[Path, Any]
    categories: Mapping[str, Any]
    sizes: Mapping[Path, Size]


def count_up(files: Sequence[Path], classes: Vocabulary) -> CocoNumbers:
    """Number images and classes from 1 in their order."""
    return CocoNumbers(
        {file: number for number, file in enumerate(files, start=1)},
        {class_id: number for number, class_id in enumerate(classes.ids, start=1)},
        {},
    )


def numbers_of(path: Path, files: Sequence[Path], classes: Vocabulary) -> CocoNumbers:
    """Look images and classes up in an instances file.

    An image is known by its file's name without folder and suffix. A class is the category of its
    name; where no class is, that of its id as a name; and where none is either, that of its id.

    Args:
        path: Such as ``instances_val2017.json``; annotations are not needed.
        files: The images.
        classes: What is looked for.

    Raises:
        DatasetError: If the file is bad.
        MismatchError: If an image is not in it, two have one name, or no class is a category.
    """
    content = read_json(path, without_masks)
    images = list_entries(path, content, "images", "image")
    sides = [images.whole_numbers(side, 1, LARGEST_SIDE).tolist() for side in ("width", "height")]
    entries = zip(images.values("id"), *sides, strict=True)
    known = dict(zip(read_image_ids(images), entries, strict=True))
    _refuse_strangers(path, files, known)
    return CocoNumbers(
        {file: known[file.stem][0] for file in files},
        _categories(path, list_entries(path, content, "categories", "category"), classes),
        {file: known[file.stem][1:] for file in files},
    )


def instances_path(results: Path) -> Path:
    """Return where the instances file of a results file is written."""
    return results.with_name(f"{results.stem}-instances.json")


@contextmanager
def results_writer(path: Path, numbers: CocoNumbers) -> Iterator[Callable[[Prediction], int]]:
    """Yield a function that appends an image; the file appears when all is written.

    It returns how many detections were left out because their classes are no categories.

    Raises:
        MismatchError: From the function, if the picture has another size than the instances file
            says, as when it was turned.
    """
    with atomic_path(path) as temporary, temporary.open("w") as file:
        file.write("[")
        first = True

        def write(prediction: Prediction) -> int:
            nonlocal first
            entries = list(_entries(prediction, numbers))
            for entry in entries:
                file.write(("\n" if first else ",\n") + json.dumps(entry))
                first = False
            return len(prediction.detections) - len(entries)

        yield write
        file.write("\n]\n")


@contextmanager
def instances_writer(
    path: Path, numbers: CocoNumbers, classes: Vocabulary
) -> Iterator[Callable[[Prediction], None]]:
    """Yield a function that adds an image to an instances file without annotations."""
    categories = [
        {"id": number, "name": classes.name_of[class_id], "class_id": class_id}
        for class_id, number in numbers.categories.items()
    ]
    images: list[dict[str, object]] = []

    def add(prediction: Prediction) -> None:
        file = _file_of(prediction)
        sides = {"width": prediction.width, "height": prediction.height}
        images.append({"id": numbers.images[file], "file_name": file.as_posix(), **sides})

    with atomic_path(path) as temporary:
        yield add
        content = {"images": images, "annotations": [], "categories": categories}
        temporary.write_text(json.dumps(content) + "\n")


def _entries(prediction: Prediction, numbers: CocoNumbers) -> Iterator[dict[str, object]]:
    file = _file_of(prediction)
    size = prediction.width, prediction.height
    if numbers.sizes.get(file, size) != size:
        raise MismatchError(
            "the picture has {} x {} pixels where the annotations say {} x {}".format(
                *size, *numbers.sizes[file]
            ),
            where=file,
            mend="Boxes refer to the picture as its EXIF orientation turns it; annotate it so.",
        )
    for found in prediction.detections:
        if found.label in numbers.categories:
            x1, y1, x2, y2 = found.box
            yield {
                "image_id": numbers.images[file],
                "category_id": numbers.categories[found.label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": found.score,
            }


def _file_of(prediction: Prediction) -> Path:
    assert prediction.image is not None  # only predictions of files are written
    return prediction.image


def _refuse_strangers(path: Path, files: Sequence[Path], known: Mapping[str, Any]) -> None:
    first: dict[str, Path] = {}
    for file in files:
        if file.stem not in known:
            raise MismatchError(
                f"not an image of {path}",
                where=file,
                mend="Images are known by their names without folder and suffix.",
            )
        if first.setdefault(file.stem, file) is not file:
            raise MismatchError(f"{first[file.stem]} has the same name", where=file)


def _categories(path: Path, categories: Entries, classes: Vocabulary) -> dict[str, Any]:
    numbers = categories.values("id")
    by_name = dict(zip(categories.texts("name"), numbers, strict=True))
    by_id = dict(zip(categories.texts("id"), numbers, strict=True))
    for keys, known in ((classes.names, by_name), (classes.ids, by_name), (classes.ids, by_id)):
        pairs = zip(classes.ids, keys, strict=True)
        if found := {class_id: known[key] for class_id, key in pairs if key in known}:
            return found
    raise MismatchError(
        f"no category is one of the {len(classes)} classes, such as {classes.names[0]!r}",
        where=path,
        mend="Classes are joined by their names, or by their ids.",
    )
