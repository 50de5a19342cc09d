"""Parse Visual Genome's objects.json into columns.

Understood are versions 1.0 (an image and an object have an ``id``), 1.2 (``image_id``,
``object_id``, ``synsets``) and 1.4 (also ``merged_object_ids`` and ``image_url``).

Shapes: n objects, I images, m distinct names.
"""

from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pipelines.data.json_file import is_name, read_json
from pipelines.data.tables import FloatArray, IntArray
from pipelines.errors import DatasetError


class VisualGenomeObjects:
    """The objects of a file in columns, which grow while it is parsed.

    Attributes:
        ids: ``[n]``, the objects' numbers.
        image: ``[n]``, positions in ``image_ids``.
        image_ids: ``[I]``, in the order of the file.
        name: ``[n]``, positions in ``names``; the first name of each object, as is customary.
        names: ``[m]``, as written; one is empty where an object has none.
        corners: ``[n, 4]``, xmin, ymin, xmax, ymax in pixels from 0.

    Raises:
        DatasetError: If the file is not such a file; names the image or object.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids, self._names, self._ends = array("q"), array("q"), array("q")
        self._boxes = array("d")
        self._codes: dict[str, int] = {}
        self._images: dict[str, None] = {}
        content = read_json(path, self._take)
        if not isinstance(content, list) or len(content) != len(self._images) or any(content):
            raise DatasetError(
                "not a list of images with objects",
                where=path,
                mend="Expected Visual Genome's objects.json.",
            )
        self.ids, self.name = np.array(self._ids, np.int64), np.array(self._names, np.int64)
        self.image_ids, self.names = tuple(self._images), tuple(self._codes)
        self.image: IntArray = np.searchsorted(self._ends, np.arange(len(self.ids)), side="right")
        self.corners = self._finish_corners()

    def _take(self, entry: dict[str, Any]) -> None:
        """Store one object of the JSON, which then is as good as null."""
        if "objects" in entry:
            self._take_image(entry)
        else:
            self._take_object(entry)

    def _take_image(self, entry: Mapping[str, Any]) -> None:
        image_id = entry.get("image_id", entry.get("id"))
        objects = entry["objects"]
        start = self._ends[-1] if self._ends else 0
        if objects != [None] * (len(self._ids) - start):
            self._refuse(f"image {image_id}", "objects is not a list of objects")
        if not is_name(image_id) or str(image_id) in self._images:
            self._refuse(f"image {image_id!r}", "image_id is missing, no text, or repeated")
        self._images[str(image_id)] = None
        self._ends.append(len(self._ids))

    def _take_object(self, entry: Mapping[str, Any]) -> None:
        object_id = entry.get("object_id", entry.get("id"))
        try:
            names = entry["names"]
            name = names if isinstance(names, str) else "".join(names[:1])
            self._boxes.extend((entry["x"], entry["y"], entry["w"], entry["h"]))
            self._names.append(self._codes.setdefault(name, len(self._codes)))
            self._ids.append(object_id)
        except (KeyError, TypeError, OverflowError) as error:
            self._refuse(f"annotation {object_id}", f"not an object ({error})")

    def _finish_corners(self) -> FloatArray:
        boxes = np.array(self._boxes).reshape(-1, 4)
        bad = ~np.isfinite(boxes).all(axis=1)
        if bad.any():
            row = int(bad.argmax())
            self._refuse(f"annotation {self.ids[row]}", f"x, y, w, h are {boxes[row].tolist()}")
        boxes[:, 2:] += boxes[:, :2]
        return boxes

    def _refuse(self, where: str, what: str) -> NoReturn:
        raise DatasetError(
            what,
            where=f"{self._path}: {where}",
            mend="Expected image_id and objects for an image; object_id, names, x, y, w and h for "
            "an object.",
        )
