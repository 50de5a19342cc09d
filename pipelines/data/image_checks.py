"""What is wrong with the images of a dataset, read one by one and never all in memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

from pipelines.data.checks import is_unsafe
from pipelines.data.findings import Finding, Mentions, Offence
from pipelines.data.image_decoding import ImageFacts, probe
from pipelines.data.images import ImageStore
from pipelines.errors import DatasetError

_READ_AHEAD = 4  # images a worker, so that memory stays bounded

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def check_image_files(
    store: ImageStore, mentions: Mentions, workers: int
) -> Generator[list[Offence], None, None]:
    """Read and decode the images that annotations name.

    Args:
        store: Where they are.
        mentions: Which they are; unsafe ids are passed over.
        workers: Threads; decoding does not hold Python's lock.

    Yields:
        What is wrong with each image, in the order of ``mentions``.
    """
    found = store.positions(mentions.image_ids) >= 0
    places = store.places

    def check(image: int) -> list[Offence]:
        if found[image]:
            return _file_offences(store, mentions.image_ids[image])
        if is_unsafe(mentions.image_ids[image]):
            return []
        detail = f"{mentions.image_ids[image]!r} is not in {places}"
        return [mentions.offence("image-missing", image, detail)]

    yield from _in_order(check, range(len(found)), workers)


def check_unused(store: ImageStore, mentions: Mentions) -> Iterator[Finding]:
    """Find images that no annotation names."""
    unused = np.ones(len(store), np.bool_)
    positions = store.positions(mentions.image_ids)
    unused[positions[positions >= 0]] = False
    ids = (store.ids[position] for position in np.flatnonzero(unused).tolist())
    if unused.any():
        offences = (Offence("image-unused", store.where(i), image_id=i) for i in ids)
        yield Finding("image-unused", {"left out": int(unused.sum())}, offences)


def _file_offences(store: ImageStore, image_id: str) -> list[Offence]:
    file = store.where(image_id)
    try:
        facts = probe(store.read_bytes(image_id))
    except DatasetError as error:
        return [Offence("image-unreadable", file, image_id=image_id, detail=error.what)]
    return [
        Offence(kind, file, None, image_id, detail=detail, action=action)
        for kind, detail, action in _faults(facts)
    ]


def _faults(facts: ImageFacts) -> Iterator[tuple[str, str, str]]:
    """Yield kind, detail and what training does."""
    if facts.fault is not None:
        cut = facts.size is not None and "truncated" in facts.fault.lower()
        yield "image-truncated" if cut else "image-unreadable", facts.fault, "refused"
        return
    if facts.mode == "CMYK":
        yield "image-cmyk", f"{facts.format} in mode {facts.mode}", "converted"
    if facts.bit_depth > 8:
        yield "image-16-bit", f"{facts.format} of {facts.bit_depth} bits a channel", "converted"
    if facts.orientation != 1:
        yield "image-exif-rotated", f"orientation {facts.orientation}", "kept"


def _in_order(
    work: Callable[[_Item], _Result], items: Iterable[_Item], workers: int
) -> Generator[_Result, None, None]:
    """Yield the result of each item, with a bounded number of them under way."""
    remaining = iter(items)
    pool = ThreadPoolExecutor(workers)
    try:
        ahead: deque[Future[_Result]] = deque(
            pool.submit(work, item) for item in islice(remaining, _READ_AHEAD * workers)
        )
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(work, item) for item in islice(remaining, 1))
    finally:
        pool.shutdown(cancel_futures=True)  # also when the caller stops early
