"""Boxes in the XML files of Pascal VOC, which many labelling tools write too.

Corners are pixels counted from 1, and a box includes both: xmin 1 and xmax W span an image of
width W (VOC development kit: the top left pixel is 1, 1). So, as in detectron2, a box begins at
xmin - 1, ymin - 1 and ends at xmax, ymax. Tools that count from 0 write a 0 where a box touches the
border, which leaves the image here and is refused, clipped or dropped as the policy says. Shapes: n
objects, I images.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from pipelines.data.annotations import Annotations, Source
from pipelines.data.box_policy import ReadPolicy
from pipelines.data.image_sizes import LARGEST_SIDE
from pipelines.data.pixel_boxes import PixelBoxes
from pipelines.data.tables import FloatArray
from pipelines.errors import DatasetError
from pipelines.vocabulary import Vocabulary

_SIDES = ("height", "width")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _Object(NamedTuple):
    row: int  # its place in the file, from 1
    class_id: str
    corners: tuple[float, ...]  # as written


class _Image(NamedTuple):
    size: tuple[int, int]  # height, width
    objects: list[_Object]


def read_voc(folder: Path, policy: ReadPolicy = "error") -> Annotations:
    """Read one XML file an image; the file name without its suffix is the image's id.

    A class is named by its ``name``, which is its id too. Files of images without objects count.
    Objects marked as difficult are objects like all others. That is customary for training, as in
    detectron2; VOC's own evaluation leaves them out, neither right nor wrong, which has no equal
    here.

    Args:
        folder: The folder of the files, or one with ``Annotations`` in it, such as ``VOC2012``.
        policy: What to do with bad boxes, as for ``check_boxes``.

    Raises:
        DatasetError: If there is no such file, or one is not as described; names the file and
            object. XML that refers to other files or unfolds to a multiple of its size is
            refused. Also as ``check_boxes`` does.
    """
    source = _annotation_folder(folder)
    image_ids = _image_ids(folder)
    images = [_read_image(source, image_id) for image_id in image_ids]
    objects = [entry for image in images for entry in image.objects]
    classes = sorted({entry.class_id for entry in objects})
    codes = {class_id: code for code, class_id in enumerate(classes)}
    boxes = PixelBoxes(
        Source(source, "object"),
        rows=np.array([entry.row for entry in objects], np.int64),
        image=np.repeat(np.arange(len(images)), [len(image.objects) for image in images]),
        label=np.array([codes[entry.class_id] for entry in objects], np.int64),
        corners=_borders([entry.corners for entry in objects]),
        group_of=np.zeros(len(objects), np.bool_),
    )
    sizes = np.array([image.size for image in images], np.int32)
    return boxes.annotate(image_ids, sizes, Vocabulary(tuple(classes), tuple(classes)), policy)


def annotation_files(folder: Path) -> list[Path]:
    """Return the files that :func:`read_voc` reads, in any order; hidden ones do not count."""
    files = _annotation_folder(folder).glob("*.xml")
    return [path for path in files if not path.name.startswith(".")]


def _annotation_folder(folder: Path) -> Path:
    inner = folder / "Annotations"
    return inner if inner.is_dir() else folder


def _image_ids(folder: Path) -> list[str]:
    ids, source = sorted(path.stem for path in annotation_files(folder)), _annotation_folder(folder)
    if not ids:
        raise DatasetError(
            "no XML files found" if source.is_dir() else "no such folder",
            where=source,
            mend="Give the folder of the annotations, or VOC's folder of one year.",
        )
    return ids


def _read_image(source: Path, image_id: str) -> _Image:
    path = source / f"{image_id}.xml"
    root = _parse(path)
    height, width = (_number(root.find("size"), side, str(path)) for side in _SIDES)
    if not all(side == round(side) and 1 <= side <= LARGEST_SIDE for side in (height, width)):
        raise DatasetError(
            f"an image cannot be {height:g} high and {width:g} wide",
            where=path,
            mend="Give height and width in pixels.",
        )
    return _Image((int(height), int(width)), list(_read_objects(root, path)))


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DatasetError(
            f"not XML ({error})", where=f"{path}:{error.position[0]}", mend="Replace the file."
        ) from error
    except (OSError, ValueError, LookupError) as error:  # also an encoding that is not known
        raise DatasetError(
            f"the file cannot be read ({error})", where=path, mend="Save the file as UTF-8."
        ) from error


def _read_objects(root: ElementTree.Element, path: Path) -> Iterator[_Object]:
    for row, element in enumerate(root.iterfind("object"), start=1):
        where = f"{path}: object {row}"
        class_id = (element.findtext("name") or "").strip()
        if not class_id:
            raise DatasetError("name is missing", where=where, mend="Give every object its class.")
        box = element.find("bndbox")
        corners = tuple(_number(box, corner, where) for corner in _CORNERS)
        yield _Object(row, class_id, corners)


def _number(parent: ElementTree.Element | None, name: str, where: str) -> float:
    text = None if parent is None else parent.findtext(name)
    try:
        number = math.nan if text is None else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        found = "is missing" if text is None else f"is {text!r}"
        raise DatasetError(
            f"{name} {found}",
            where=where,
            mend="Expected finite numbers: width and height in size; xmin, ymin, xmax and ymax in "
            "the bndbox of an object.",
        )
    return number


def _borders(corners: Sequence[tuple[float, ...]]) -> FloatArray:
    """Return boxes ``[n, 4]`` in an image that spans 0 to its width and height."""
    borders = np.array(corners, np.float64).reshape(-1, 4)
    borders[:, :2] -= 1  # the first pixel
    return borders
