"""Read images before their turn, because they lie beside one that has its turn."""

from collections.abc import Sequence

from pipelines.data.images import ImageStore


class ReadAhead:
    """The contents of images that wait for their turn.

    Args:
        images: Where they are read.
        capacity: How many wait at most; the oldest ones are forgotten first.
    """

    def __init__(self, images: ImageStore, capacity: int) -> None:
        self._images, self._capacity = images, capacity
        self._waiting: dict[str, bytes] = {}
        self._alone = set[str]()  # of those read along, the ones that gave nothing

    def read(self, image_id: str, together: Sequence[str]) -> bytes:
        """Return the content of an image's file, once; it is forgotten then.

        Args:
            image_id: Which.
            together: Those to read along with it, itself among them, if it is not waiting.

        Raises:
            DatasetError: If it is missing or cannot be read.
        """
        if image_id not in self._waiting and image_id not in self._alone:
            found = self._images.read_together(together)
            self._waiting |= found
            self._alone.update(other for other in together if other not in found)
        self._alone.discard(image_id)
        content = self._waiting.pop(image_id, None)
        while len(self._waiting) > self._capacity:
            del self._waiting[next(iter(self._waiting))]
        return self._images.read_bytes(image_id) if content is None else content
