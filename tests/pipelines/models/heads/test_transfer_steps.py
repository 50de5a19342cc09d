"""Tests of what a training step asks of a transfer head: rows held over passes, rows drawn."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.models.heads import ClassRowSource, ClassWeightHead, WeightTransferHead
from pipelines.models.losses import label_tables
from pipelines.vocabulary import ClassHierarchy, Vocabulary

C, S, R, M = 11, 5, 16, 7

Make = Callable[..., ClassWeightHead]


def classification(head: ClassWeightHead, x: Tensor) -> Tensor:
    """Return the loss of RoIs: background, then one class after another."""
    ids = tuple(map(str, range(S + 2)))
    tables = label_tables(Vocabulary(ids, ids), ClassHierarchy.flat())
    return head.losses(x, torch.arange(len(x)) % (len(ids) + 1), tables)["loss_classifier"]


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("wtn", {}),
        ("wtn+", {"dropout": 0.3}),
        ("ae-wtn", {}),
        ("ae-wtn", {"norm": "batch", "activity": 0.1}),
        ("ae-wtn", {"reconstructed": "seen", "bias": "per-class"}),
        ("ae-wtn", {"reconstructed_count": 4}),
        ("ae-wtn", {"reconstructed_count": 4, "dropout": 0.3}),
    ],
)
def test_held_rows_gather_the_gradient_of_all_passes(
    source: ClassRowSource, make: Make, method: str, options: dict[str, object]
) -> None:
    """Two passes on held rows and one through the network give the gradients of one sum of all."""
    whole, parts = make(source, method, **options), make(source, method, **options)
    first, second = torch.randn(2, M, R)
    torch.manual_seed(5)
    rows, own = whole.rows_and_losses()
    whole.held = rows
    (classification(whole, first) + classification(whole, second) + sum(own.values())).backward()

    torch.manual_seed(5)
    held = parts.hold_rows()
    classification(parts, first).backward()
    classification(parts, second).backward()
    torch.manual_seed(5)
    rows, own = parts.rows_and_losses()
    torch.autograd.backward(
        [*rows, *own.values()],
        [held.weight.grad, held.bias.grad, *map(torch.ones_like, own.values())],
    )

    assert parts.computes_rows
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(parts.get_parameter(name).grad, parameter.grad)
    for name, buffer in whole.named_buffers():  # the statistics of a batch norm saw the rows once
        torch.testing.assert_close(parts.get_buffer(name), buffer)


@pytest.mark.parametrize("classes", ["all", "seen"])
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_drawn_rows_are_those_reconstructed(
    source: ClassRowSource, make: Make, classes: str, norm: str
) -> None:
    """The loss is the mean over as many rows as asked for, others with each draw."""
    options = {"norm": norm, "reconstructed": classes}
    head = make(source, "ae-wtn", alpha=3.0, reconstructed_count=3, **options)
    assert isinstance(head, WeightTransferHead)
    pool = torch.arange(C) if classes == "all" else source.seen_rows
    places = set()
    for seed in range(20):
        torch.manual_seed(seed)
        loss = head.rows_and_losses()[1]["loss_reconstruction"]

        torch.manual_seed(seed)
        drawn = pool[torch.randperm(len(pool))[:3]]
        standard = head.standardize(source.rows)
        rows = head.transfer["encoder"](standard)[drawn]
        expected = 3 * F.smooth_l1_loss(head.transfer["decoder"](rows), standard[drawn])
        torch.testing.assert_close(loss, expected)
        places.add(frozenset(drawn.tolist()))

    assert len(places) > 1


def test_more_rows_than_there_are_is_all_of_them(source: ClassRowSource, make: Make) -> None:
    """A count that covers every class changes nothing, and draws nothing."""
    plain, counted = make(source, "ae-wtn"), make(source, "ae-wtn", reconstructed_count=C)

    torch.testing.assert_close(counted.rows_and_losses()[1], plain.rows_and_losses()[1])


@pytest.mark.parametrize("method", ["wtn", "wtn+", "ae-wtn"])
@pytest.mark.parametrize("classes", ["all", "seen"])
def test_rows_are_in_the_order_of_the_classes_where_all_are_seen(
    make: Make, method: str, classes: str
) -> None:
    """A classifier of which every class has boxes, in another order, gives each its own row."""
    order = torch.tensor([2, 0, 3, 1])
    classifier = torch.randn(4, 12, generator=torch.Generator().manual_seed(3))
    source = ClassRowSource(classifier, order, torch.arange(4), order[:0])
    head = make(source, method, **({"reconstructed": classes} if method == "ae-wtn" else {}))

    expected = head.class_rows(classifier[order]).weight

    torch.testing.assert_close(head.detection_rows().weight, expected)
    torch.testing.assert_close(head.rows_and_losses()[0].weight, expected)
    torch.testing.assert_close(head.hold_rows().weight, expected)
