"""Read members that lie side by side in an archive by one long read."""

from collections.abc import Mapping
from contextlib import suppress

from pipelines.data.image_bytes import Archive, Method, Place, read_member
from pipelines.errors import BadImageError

_GAP = 1 << 20  # bytes between two images that are rather read than jumped over: 10 ms at 100 MB/s
_HEADER = 1 << 10  # bytes that a zip member's own header takes at most, nearly always


class _Span:
    """A range of an archive that is in memory; what reaches out of it is read from the archive."""

    def __init__(self, archive: Archive, start: int, end: int) -> None:
        self._archive, self._start = archive, start
        self._content = archive.read(start, min(end, archive.size) - start)

    def read(self, start: int, length: int) -> bytes:
        offset = start - self._start
        if offset + length <= len(self._content):
            return self._content[offset : offset + length]
        return self._archive.read(start, length)


def read_members(archive: Archive, members: Mapping[str, Place]) -> dict[str, bytes]:
    """Return the contents of members by name, without bad ones and files of their own.

    Args:
        archive: Where they are.
        members: Their places by name.

    Raises:
        DatasetError: If the archive cannot be read.
    """
    packed = {name: place for name, place in members.items() if place.method is not Method.FILE}
    names = sorted(packed, key=lambda name: packed[name].start)
    contents: dict[str, bytes] = {}
    while names:
        count, end = _first_span([packed[name] for name in names])
        with suppress(ValueError):  # the archive ends before; whose turn it is then tells it
            span = _Span(archive, packed[names[0]].start, end)
            contents |= _good_ones(span, {name: packed[name] for name in names[:count]})
        names = names[count:]
    return contents


def _good_ones(span: _Span, members: Mapping[str, Place]) -> dict[str, bytes]:
    contents = {}
    for name, place in members.items():
        with suppress(BadImageError):  # a bad one is told when it has its turn
            contents[name] = read_member(span.read, place, name)
    return contents


def _first_span(places: list[Place]) -> tuple[int, int]:
    """Return how many of some rising places lie side by side, and where the last of these ends."""
    end = _end(places[0])
    for count, place in enumerate(places[1:], start=1):
        if place.start - end > _GAP:
            return count, end
        end = max(end, _end(place))
    return len(places), end


def _end(place: Place) -> int:
    return place.start + place.length + (0 if place.method is Method.PLAIN else _HEADER)
