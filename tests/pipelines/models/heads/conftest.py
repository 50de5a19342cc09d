"""A classifier whose seen and other classes are interleaved, and heads on it.

Sizes all differ, so a swapped axis cannot pass: C = 11 classifier classes, S = 5 seen, O = 2 other,
d = 12 classifier width, R = 16 RoI width, M = 7 RoIs.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipelines.config import HeadSettings
from pipelines.models.heads import ClassRowSource, ClassWeightHead, build_head
from pipelines.models.losses import label_tables
from pipelines.vocabulary import ClassHierarchy, Vocabulary

Make = Callable[..., ClassWeightHead]
LossesOf = Callable[[ClassWeightHead, Tensor], dict[str, Tensor]]


@pytest.fixture
def source() -> ClassRowSource:
    """Detection places 1 and 4 are other."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(11, 12, generator=generator) * 3 + 1
    seen_rows = torch.tensor([7, 2, 9, 0, 4])
    return ClassRowSource(rows, seen_rows, torch.tensor([0, 2, 3, 5, 6]), torch.tensor([1, 4]))


@pytest.fixture(scope="session")
def make() -> Make:
    """Return a function that builds a head with fixed initial weights, none of them all zero."""

    def build(source: ClassRowSource, method: str, **options: object) -> ClassWeightHead:
        torch.manual_seed(1)
        start = {"zero_gamma": False} if "wtn" in method else {}
        settings = {"method": method, "groups": 4} | start | options
        return build_head(HeadSettings.model_validate(settings), source, 16)

    return build


@pytest.fixture(scope="session")
def losses_of() -> LossesOf:
    """Return a function that gives the losses of RoIs: background, then one class after another."""

    def losses(head: ClassWeightHead, x: Tensor) -> dict[str, Tensor]:
        ids = tuple(map(str, range(len(head.detection_rows().weight))))
        tables = label_tables(Vocabulary(ids, ids), ClassHierarchy.flat())
        return head.losses(x, torch.arange(len(x)) % (len(ids) + 1), tables)

    return losses
