"""Tests for the switches of the transfer network, on values computed by hand.

Three classes with rows (0, 0), (2, 2) and (4, 4), which are -1, 0 and 1 when standardised; the
first and the last have boxes. Two channels everywhere: the first layer is diag(1, 3), with the bias
(-100, 0) where it has one, and the last is h -> (h1 + h2 + 10, h2 + 20).
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipelines.config import HeadSettings, OptimizerSettings, ScheduleSettings
from pipelines.models.heads import ClassRowSource, ClassWeightHead, WeightTransferHead, build_head
from pipelines.models.wtn import WeightTransfer
from pipelines.training.optimizers import Optimizers

ROWS = torch.tensor([[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]])
SEEN, NOVEL = torch.tensor([0, 2]), 1
X = torch.ones(3, 2)

LossesOf = Callable[[ClassWeightHead, Tensor], dict[str, Tensor]]


def make(method: str, **options: object) -> WeightTransferHead:
    """Return a head in training mode whose encoder is known."""
    nobody = torch.empty(0, dtype=torch.int64)
    source = ClassRowSource(ROWS, SEEN, torch.tensor([0, 1]), nobody)
    tree = {"method": method, "groups": 1, "zero_gamma": False} | options
    head = build_head(HeadSettings.model_validate(tree), source, roi_width=2)
    assert isinstance(head, WeightTransferHead)
    encoder = head.transfer["encoder"]
    assert isinstance(encoder, WeightTransfer)
    first, last = encoder.linears
    first.weight.data = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    if first.bias is not None:
        first.bias.data = torch.tensor([-100.0, 0.0])
    last.weight.data = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    last.bias.data = torch.tensor([10.0, 20.0])
    return head


@pytest.mark.parametrize(
    ("options", "first", "last"),
    [
        # neither: z = (w - 100, 3 w)
        ({"method": "wtn"}, (9.0, 20.0), (21.04, 32.0)),
        # rows are standardised: w is -1 or 1
        ({"method": "wtn", "input_norm": True}, (8.96, 19.97), (12.01, 23.0)),
        # z = (w, 3 w) has mean 2 w and spread |w|, so the norm gives (-1, 1), and 0 of a zero row
        ({"method": "wtn", "norm": "group"}, (10.0, 20.0), (10.99, 21.0)),
        ({"method": "wtn+"}, (10.99, 19.99), (10.99, 21.0)),
        ({"method": "wtn+", "input_norm": False}, (10.0, 20.0), (10.99, 21.0)),
        ({"method": "wtn+", "norm": "none"}, (8.96, 19.97), (12.01, 23.0)),
        ({"method": "wtn+", "negative_slope": 0.5}, (10.5, 19.5), (10.5, 21.0)),
    ],
)
def test_input_norm_norm_and_slope(
    options: dict[str, object], first: tuple[float, ...], last: tuple[float, ...]
) -> None:
    """The four rows of Table 2, and that WTN+ is WTN with both."""
    head = make(**options)

    weight, _ = head.detection_rows()

    torch.testing.assert_close(weight, torch.tensor([first, last]), rtol=0, atol=1e-4)
    torch.testing.assert_close(head.class_rows(ROWS[SEEN]).weight, weight)


def test_batch_norm_trains_on_the_statistics_of_all_classes() -> None:
    """Channels are (-1, 0, 1) and (-3, 0, 3) over all C: both become sqrt(1.5) of the last class.

    Over the seen classes alone they would become 1.
    """
    weight, _ = make("wtn+", norm="batch").detection_rows()

    root = math.sqrt(1.5)
    expected = torch.tensor([[10 - 0.02 * root, 20 - 0.01 * root], [10 + 2 * root, 20 + root]])
    torch.testing.assert_close(weight, expected, rtol=0, atol=1e-4)


def test_batch_norm_uses_running_statistics_offline() -> None:
    """After one step the running variances are (1, 1.8): 0.9 times 1, and 0.1 times (1, 9)."""
    head = make("wtn+", norm="batch")
    head.detection_rows()

    weight, _ = head.eval().class_rows(ROWS[2:])

    h = 3 / math.sqrt(1.8)
    torch.testing.assert_close(weight, torch.tensor([[11 + h, 20 + h]]), rtol=0, atol=1e-4)
    torch.testing.assert_close(head.class_rows(ROWS).weight[2:], weight)


@pytest.mark.parametrize(("norm", "independent"), [("group", True), ("batch", False)])
def test_rows_depend_on_each_other_only_in_training_with_batch_norm(
    norm: str, independent: bool
) -> None:
    """A GroupNorm works within a row; a BatchNorm in training needs all of them."""
    head = make("wtn+", norm=norm)

    alone, together = head.class_rows(ROWS[:2]).weight, head.class_rows(ROWS).weight[:2]

    assert torch.allclose(alone, together) == independent


def test_batch_norm_parameters_do_not_decay() -> None:
    """AdamW decays the linear layers; scale and shift of a BatchNorm are left alone."""
    head = make("wtn+", norm="batch")
    names = {id(p): name for name, p in head.named_parameters()}

    _, adamw = Optimizers(head, OptimizerSettings(), ScheduleSettings())._all

    decays = {names[id(p)]: g["weight_decay"] for g in adamw.param_groups for p in g["params"]}
    assert decays == {
        "transfer.encoder.0.weight": 0.1,
        "transfer.encoder.3.weight": 0.1,
        "transfer.encoder.3.bias": 0.1,
        "transfer.encoder.1.weight": 0.0,
        "transfer.encoder.1.bias": 0.0,
    }


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_zero_gamma_starts_every_norm_at_zero(norm: str) -> None:
    """Only the encoder's last bias is left, so all rows are (10, 20)."""
    weight, _ = make("wtn+", norm=norm, zero_gamma=True).detection_rows()

    torch.testing.assert_close(weight, torch.tensor([[10.0, 20.0]] * 2))


@pytest.mark.parametrize("method", ["wtn+", "ae-wtn"])
@pytest.mark.parametrize(("reduction", "value"), [("sumsq", 1.0001), ("l2", 1.00005)])
def test_the_activity_of_seen_classes_is_weighed(
    losses_of: LossesOf, method: str, reduction: str, value: float
) -> None:
    """Seen classes have (1, -0.01) and (-0.01, 1); the novel one's zeros do not count."""
    head = make(method, activity=0.5, activity_reduction=reduction)

    loss = losses_of(head, X)["loss_activity"]

    assert math.isclose(loss.item(), 0.5 * value, rel_tol=1e-4)
    assert "loss_activity" not in losses_of(make(method), X)


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize(
    ("kind", "classes", "value"),
    [
        ("smooth_l1", "all", (1.0 + 0.125 + 0.125) / 3),
        ("smooth_l1", "seen", (1.0 + 0.125) / 2),
        ("l2", "all", (2.25 + 0.25 + 0.25) / 3),
        ("l2", "seen", (2.25 + 0.25) / 2),
    ],
)
def test_reconstruction_by_hand(
    losses_of: LossesOf, norm: str, kind: str, classes: str, value: float
) -> None:
    """A decoder that always says 0.5 is off by 1.5, 0.5 and 0.5 of the rows -1, 0 and 1."""
    head = make("ae-wtn", alpha=3.0, reconstruction=kind, reconstructed=classes, norm=norm)
    decoder = head.transfer["decoder"]
    assert isinstance(decoder, WeightTransfer)
    decoder.linears[1].weight.data.zero_()
    decoder.linears[1].bias.data.fill_(0.5)

    loss = losses_of(head, X)["loss_reconstruction"]

    assert math.isclose(loss.item(), 3 * value, rel_tol=1e-6)


@pytest.mark.parametrize("method", ["wtn", "ae-wtn"])
def test_novel_classes_get_the_mean_of_the_per_class_biases(method: str) -> None:
    """Seen classes have -4 and -2, so a class that never had a box has -3."""
    head = make(method, bias="per-class")
    start = head.detection_rows().bias
    torch.testing.assert_close(start, torch.full((2,), -math.log(99)))
    head.common_bias.data = torch.tensor([-4.0, -2.0])

    torch.testing.assert_close(head.detection_rows().bias, torch.tensor([-4.0, -2.0]))
    torch.testing.assert_close(head.class_rows(ROWS[NOVEL][None]).bias, torch.tensor([-3.0]))


def test_the_shared_bias_serves_every_class() -> None:
    """One scalar, learned from all seen classes, is that of the novel ones too."""
    head = make("wtn+")
    head.common_bias.data = torch.tensor([-2.5])

    assert head.detection_rows().bias.tolist() == [-2.5, -2.5]
    assert head.class_rows(ROWS).bias.tolist() == [-2.5] * 3


def test_hidden_activations_are_those_of_all_classes() -> None:
    """Before the last layer: (1, -0.01), 0 and (-0.01, 1)."""
    found = make("wtn+").hidden_activations()

    expected = torch.tensor([[1.0, -0.01], [0.0, 0.0], [-0.01, 1.0]])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
