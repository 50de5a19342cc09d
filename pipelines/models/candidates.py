"""The best (class, RoI) pairs of an image, found without ever holding the scores of all classes.

Shapes: R RoIs of one image, K classes, b classes of a block, n candidate pairs.

Classes are scored a block at a time, and of each block only what can still be among the best stays:
a sigmoid does not change the order, so logits are compared, and few of them ever become scores.
Candidates rank by logit; of equal ones the lower class goes first, then the lower RoI. That order
needs no block, so their size changes nothing.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

CLASSES_PER_BLOCK = {"cpu": 512, "cuda": 4096}
"""With 1000 RoIs 2 MB of logits, which stay in a CPU's cache; a GPU wants few, large steps."""

LogitsOf: TypeAlias = Callable[[slice], Tensor]
"""Returns the logits ``[b, R]`` of a range of classes."""


class Candidates(NamedTuple):
    """Pairs of a class and a RoI.

    Args:
        logits: ``[n]`` float32.
        pairs: ``[n]`` int64, ``class * R + roi``.
    """

    logits: Tensor
    pairs: Tensor

    def at(self, places: Tensor | slice) -> "Candidates":
        """Return some of them, by a mask, places or a range."""
        return Candidates(self.logits[places], self.pairs[places])

    def and_then(self, others: "Candidates") -> "Candidates":
        """Return these and others behind them."""
        return Candidates(*(torch.cat(both) for both in zip(self, others, strict=True)))


def best_candidates(
    logits_of: LogitsOf,
    num_classes: int,
    floor: Tensor,
    limit: int,
    block: int | None = None,
) -> tuple[Candidates, bool]:
    """Return the best candidates above the floor, best first, and whether those are all.

    Args:
        logits_of: Scores a range of the classes.
        num_classes: K.
        floor: What a logit must exceed: one number ``[1]``, or one for each class ``[K]``.
        limit: The most candidates to return; about three times as many are held.
        block: The most classes scored at a time; None: what suits the device.
    """
    block = block or CLASSES_PER_BLOCK.get(floor.device.type, max(CLASSES_PER_BLOCK.values()))
    found, complete, least = None, True, floor.new_tensor(-torch.inf)
    for rows in _blocks(num_classes, block):
        new = _above(logits_of(rows), torch.maximum(_of(floor, rows), least), rows.start)
        found = new if found is None else found.and_then(new)
        if len(found.logits) > 2 * limit:
            found, least, complete = *_best(found, limit), False
    if found is None:
        return Candidates(floor[:0], floor[:0].long()), True
    if len(found.logits) > limit:
        found, complete = _best(found, limit)[0], False
    return found.at(found.logits.argsort(descending=True, stable=True)), complete


def logit_floor(threshold: float | Tensor) -> Tensor:
    """Return ``[1]`` or ``[K]`` float32 that a logit exceeds whenever its score can the threshold.

    It may let a score pass that is just not above: the comparison of scores remains to be made.
    """
    wanted = torch.as_tensor(threshold, dtype=torch.float32).reshape(-1).double()
    bound = wanted.clamp(0.0, 1.0).logit().float()
    return torch.nextafter(bound, torch.full_like(bound, -torch.inf))


def scores_of(logits: Tensor) -> Tensor:
    """Return the float32 sigmoid, the same for a logit wherever it stands in a tensor."""
    return logits.double().sigmoid().float()


def _blocks(num_classes: int, block: int) -> Iterator[slice]:
    """Yield ranges of classes; the first are smaller, since nothing is known to beat them yet."""
    start, size = 0, max(1, block // 8)
    while start < num_classes:
        yield slice(start, min(start + size, num_classes))
        start, size = start + size, min(2 * size, block)


def _of(floor: Tensor, rows: slice) -> Tensor:
    return floor if len(floor) == 1 else floor[rows].unsqueeze(1)


def _above(logits: Tensor, floor: Tensor, first_class: int) -> Candidates:
    """Return what exceeds the floor ``[1]`` or ``[b, 1]`` of the logits ``[b, R]``, in order."""
    logits = logits.float()
    places = (logits > floor).flatten().nonzero().squeeze(1)
    return Candidates(logits.flatten()[places], places + first_class * logits.shape[1])


def _best(found: Candidates, limit: int) -> tuple[Candidates, Tensor]:
    """Return the best, still in the order of their pairs, and the last one's logit.

    A later candidate must exceed that logit: among equal ones it would be the last.
    """
    last = found.logits.topk(limit, sorted=False).values.min()
    above = found.logits > last
    equal = (found.logits == last).nonzero().squeeze(1)
    above[equal[: limit - int(above.sum())]] = True
    return found.at(above), last
