"""Tests for pipelines.models.heads.base, and for what all heads promise."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from pipelines.models.heads import ClassRowSource, ClassWeightHead, FixedHead, prior_bias
from pipelines.models.losses import classification_loss, label_tables
from pipelines.vocabulary import ClassHierarchy, Vocabulary

METHODS = ("faster-rcnn", "zsd", "wtn", "wtn+", "ae-wtn")  # lsda wants rows as wide as features
WITH_OTHER_LAYER = ("wtn", "wtn+", "ae-wtn")
C, S, O, WIDTH, R, M = 11, 5, 2, 12, 16, 7  # noqa: E741 - the paper's letter

Make = Callable[..., ClassWeightHead]


def scored(head: ClassWeightHead, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Score features by the definition."""
    if head.projection is not None:
        x = x @ head.projection.T
        x = x / x.norm(dim=1, keepdim=True)
    return x @ weight.T + bias


@pytest.mark.parametrize("method", METHODS)
def test_detection_order_is_kept(source: ClassRowSource, make: Make, method: str) -> None:
    """Logit k belongs to detection class k, however seen and other classes are interleaved."""
    head, x = make(source, method), torch.randn(M, R)

    logits = head(x)

    weight, bias = head.detection_rows()
    torch.testing.assert_close(logits, scored(head, x, weight, bias))
    assert logits.shape == (M, S + O)


@pytest.mark.parametrize("method", ["zsd", *WITH_OTHER_LAYER])
def test_a_seen_class_trains_with_the_row_of_its_classifier_row(
    source: ClassRowSource, make: Make, method: str
) -> None:
    """What is computed offline from a seen class's row is what stands at its detection place."""
    head = make(source, method)

    offline = head.class_rows(source.rows[source.seen_rows])

    weight, bias = head.detection_rows()
    torch.testing.assert_close(weight[source.seen], offline.weight)
    torch.testing.assert_close(bias[source.seen], offline.bias)


@pytest.mark.parametrize("method", WITH_OTHER_LAYER)
def test_other_classes_learn_their_own_rows(
    source: ClassRowSource, make: Make, method: str
) -> None:
    """A class with boxes but no classifier row scores with a plain linear layer."""
    head = make(source, method)

    weight, bias = head.detection_rows()

    torch.testing.assert_close(weight[source.other], head.get_parameter("other_score.weight"))
    torch.testing.assert_close(bias[source.other], head.get_parameter("other_score.bias"))


@pytest.mark.parametrize("method", METHODS)
@given(rows=st.lists(st.integers(0, C - 1), min_size=1, max_size=2 * C))
@settings(max_examples=20)
def test_rows_are_independent(make: Make, method: str, rows: list[int]) -> None:
    """A subset of rows, in any order, exports to the subset of the exported rows."""
    all_rows = torch.randn(C, WIDTH, generator=torch.Generator().manual_seed(0))
    seen = torch.arange(S)
    nobody = torch.empty(0, dtype=torch.int64)
    head = make(ClassRowSource(all_rows, seen, seen, nobody), method)

    weight, bias = head.class_rows(all_rows[rows])

    torch.testing.assert_close(weight, head.class_rows(all_rows).weight[rows])
    torch.testing.assert_close(bias, head.class_rows(all_rows).bias[rows])


def test_the_first_loss_of_background_is_known() -> None:
    """2 * 500 * softplus(-4.59512) = 10.0503 for a background RoI of 500 classes."""
    ids = tuple(map(str, range(500)))
    tables = label_tables(Vocabulary(ids, ids), ClassHierarchy.flat())
    logits = torch.full((3, 500), prior_bias(0.01))

    loss = classification_loss(logits, torch.zeros(3, dtype=torch.int64), tables)

    assert math.isclose(loss.item(), 10.0503, abs_tol=1e-4)


def test_a_fixed_head_projects_only_if_told() -> None:
    """Features (3, 4), swapped and of length 1, are (0.8, 0.6); without projection they stay."""
    x, weight, bias = torch.tensor([[3.0, 4.0]]), torch.tensor([[10.0, 0.0]]), torch.tensor([1.0])
    swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]])

    torch.testing.assert_close(FixedHead(weight, bias)(x), torch.tensor([[31.0]]))
    torch.testing.assert_close(FixedHead(weight, bias, swap)(x), torch.tensor([[9.0]]))
    assert F.linear(x, swap).norm() != 1
