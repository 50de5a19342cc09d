"""Read a JSON file of annotations, and its lists of objects a column at a time.

Shapes: n entries.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pipelines.data.tables import FloatArray, IntArray
from pipelines.errors import DatasetError, unreadable


def read_json(path: Path, object_hook: Callable[[dict[str, Any]], Any]) -> Any:  # noqa: ANN401
    """Parse a UTF-8 file.

    Args:
        path: The file.
        object_hook: Takes each object once it is complete, the inner ones first, and returns what
            stands for it. What the hook lets go of does not add up in memory.

    Raises:
        DatasetError: If the file is missing, not UTF-8 or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_hook=object_hook)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"not JSON ({error.msg})",
            where=f"{path}:{error.lineno}",
            mend="If the file was cut short, copy or download it again.",
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; deep nesting
        raise DatasetError(f"not a file of annotations ({error})", where=path) from error


def is_name(value: object) -> bool:
    """Return whether a value is a whole number, or text that UTF-8 can hold."""
    if not isinstance(value, str):
        return isinstance(value, int) and not isinstance(value, bool)
    try:
        return len(value.encode()) > 0
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


class Entries:
    """A list of JSON objects; every fault is reported with the place of the first bad one.

    Args:
        path: The file.
        singular: What an entry is called.
        entries: The objects.
    """

    def __init__(self, path: Path, singular: str, entries: Sequence[Mapping[str, Any]]) -> None:
        self.path, self.singular, self._entries = path, singular, entries

    def __len__(self) -> int:
        return len(self._entries)

    def any_has(self, key: str) -> bool:
        """Return whether an entry has such a value."""
        return any(key in entry for entry in self._entries)

    def values(self, key: str) -> list[Any]:
        """Return one value of every entry.

        Raises:
            DatasetError: If an entry lacks it.
        """
        try:
            return [entry[key] for entry in self._entries]
        except KeyError:
            row = next(row for row, entry in enumerate(self._entries) if key not in entry)
            self.refuse(row, f"{key} is missing", f"Give every {self.singular} its {key}.")

    def texts(self, key: str) -> list[str]:
        """Return the ids or names of the entries; numbers become text.

        Raises:
            DatasetError: If one is missing, empty, or neither text nor a whole number. JSON can
                spell halves of characters, which are no text.
        """
        values = self.values(key)
        for row, value in enumerate(values):
            if not is_name(value):
                self.refuse(row, f"{key} is {value!r}", "Give text or a whole number.")
        return [str(value) for value in values]

    def numbers(self, key: str, *, default: float | None = None, width: int = 0) -> FloatArray:
        """Return finite numbers ``[n]``, or lists of ``width`` of them ``[n, width]``.

        Args:
            key: Where they are.
            default: What stands for a missing one; by default none may be missing.
            width: How many numbers an entry has, if it has a list.

        Raises:
            DatasetError: If one is missing or no such number.
        """
        values = (
            self.values(key)
            if default is None
            else [entry.get(key, default) for entry in self._entries]
        )
        shape = (width,) if width else ()
        array = _finite_array(values, (len(values), *shape)) if values else np.empty((0, *shape))
        if array is None:
            row = next(i for i, value in enumerate(values) if _finite_array(value, shape) is None)
            wanted = f"{width} finite numbers" if width else "a finite number"
            self.refuse(row, f"{key} is {values[row]!r}", f"Give {wanted}.")
        return array

    def whole_numbers(self, key: str, least: int, most: int) -> IntArray:
        """Return whole numbers ``[n]`` in a range that includes both ends.

        Raises:
            DatasetError: If one is missing, not whole or out of range.
        """
        numbers = self.numbers(key)
        bad = (numbers != numbers.round()) | (numbers < least) | (numbers > most)
        if bad.any():
            row = int(bad.argmax())
            self.refuse(
                row, f"{key} is {numbers[row]:g}", f"Give a whole number of at least {least}."
            )
        return numbers.astype(np.int64)

    def positions(self, key: str, others: "Entries") -> IntArray:
        """Return which of the other entries each entry refers to by its id, ``[n]``.

        Raises:
            DatasetError: If there is no such entry, or two of them have one id.
        """
        ids = others.texts("id")
        others.refuse_repeated("id", ids)
        places = {entry_id: place for place, entry_id in enumerate(ids)}
        wanted = self.texts(key)
        found = np.fromiter((places.get(value, -1) for value in wanted), np.int64, len(wanted))
        if (found < 0).any():
            row = int((found < 0).argmax())
            self.refuse(
                row,
                f"{key} is {wanted[row]}, but no {others.singular} has this id",
                f"List the {others.singular}, or remove the {self.singular}.",
            )
        return found

    def unfold(self, key: str) -> tuple["Entries", IntArray]:
        """Return one entry for each item of the entries' lists, and whose it is, ``[items]``.

        A missing list is an empty one. The item is under ``key``, the entry's id under ``id``.

        Raises:
            DatasetError: If a value is not a list.
        """
        lists = [entry.get(key, []) for entry in self._entries]
        for row, items in enumerate(lists):
            if not isinstance(items, list):
                self.refuse(row, f"{key} is {items!r}", "Give a list.")
        owners = np.repeat(np.arange(len(lists)), [len(items) for items in lists])
        unfolded = [
            {"id": entry.get("id"), key: item}
            for entry, items in zip(self._entries, lists, strict=True)
            for item in items
        ]
        return Entries(self.path, self.singular, unfolded), owners.astype(np.int64)

    def refuse_repeated(self, key: str, values: Sequence[str]) -> None:
        """Raise DatasetError if two entries have the same value."""
        first: dict[str, int] = {}
        for row, value in enumerate(values):
            if first.setdefault(value, row) != row:
                self.refuse(
                    row,
                    f"{value!r} is the {key} of {self.where(first[value])} too",
                    f"Give every {self.singular} a {key} of its own.",
                )

    def refuse(self, row: int, what: str, mend: str) -> NoReturn:
        """Raise DatasetError about one entry."""
        raise DatasetError(what, where=f"{self.path}: {self.where(row)}", mend=mend)

    def where(self, row: int) -> str:
        """Name an entry by its id or, where it has none, by its place."""
        entry_id = self._entries[row].get("id")
        if entry_id is None or not is_name(entry_id):
            return f"{self.singular} at position {row}"
        return f"{self.singular} {entry_id}"


def _finite_array(value: object, shape: tuple[int, ...]) -> FloatArray | None:
    """Return numbers or nested lists of them, or None if they are not such or not finite."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return array if array.shape == shape and np.isfinite(array).all() else None
