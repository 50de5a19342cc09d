"""Tests for pipelines.models.candidates, against sorting everything."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipelines.models.candidates import Candidates, best_candidates, logit_floor, scores_of

LOGITS = st.lists(
    st.lists(st.sampled_from([-9.0, -1.0, 0.0, 0.5, 3.0]), min_size=4, max_size=4),
    min_size=1,
    max_size=9,
)  # few values, so that many are equal


def best(logits: Tensor, floor: Tensor, limit: int, block: int) -> tuple[Candidates, bool]:
    """Search a matrix ``[K, R]``."""
    return best_candidates(lambda rows: logits[rows], len(logits), floor, limit, block)


@given(rows=LOGITS, limit=st.integers(1, 40), block=st.integers(1, 10))
def test_any_block_size_finds_what_sorting_everything_finds(
    rows: list[list[float]], limit: int, block: int
) -> None:
    """Best first, of equal ones the lower class, then the lower RoI; the rest is told to exist."""
    logits = torch.tensor(rows)

    found, complete = best(logits, torch.tensor([-2.0]), limit, block)

    flat = logits.flatten().tolist()
    order = sorted((p for p, logit in enumerate(flat) if logit > -2), key=lambda p: (-flat[p], p))
    assert found.pairs.tolist() == order[:limit]
    assert found.logits.tolist() == [flat[pair] for pair in order[:limit]]
    assert complete == (len(order) <= limit)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_each_class_may_have_a_floor_of_its_own(block: int) -> None:
    """Class 0 must exceed 0, class 1 nothing, class 2 must exceed 2."""
    logits = torch.tensor([[0.0, 1.0], [-50.0, 1.0], [2.0, 3.0]])

    found, complete = best(logits, torch.tensor([0.0, -torch.inf, 2.0]), 9, block)

    assert found.pairs.tolist() == [5, 1, 3, 2]
    assert complete


def test_equal_logits_do_not_pile_up() -> None:
    """A head that knows nothing yet gives the same logit everywhere; the first pairs stay."""
    held = []

    def logits_of(rows: slice) -> Tensor:
        held.append(rows.stop - rows.start)
        return torch.zeros(held[-1], 50)

    found, complete = best_candidates(logits_of, 1000, torch.tensor([-1.0]), 20, block=64)

    assert found.pairs.tolist() == list(range(20))
    assert not complete
    assert max(held) == 64
    assert sum(held) == 1000


def test_no_classes_give_no_candidates() -> None:
    """Nothing is asked of the head."""
    found, complete = best_candidates(pytest.fail, 0, torch.tensor([0.0]), 5)

    assert (len(found.logits), len(found.pairs), complete) == (0, 0, True)


@given(
    st.floats(-110, 110, width=32),
    st.floats(0, 1, width=32) | st.sampled_from([0.0, 1e-4, 0.5, 1.0]),
)
def test_the_floor_lets_every_score_above_the_threshold_pass(
    logit: float, threshold: float
) -> None:
    """Also at thresholds 0 and 1, and where a float32 score rounds to them."""
    value = torch.tensor([logit])

    if scores_of(value) > threshold:
        assert value > logit_floor(threshold)


@given(st.floats(2**-20, 1 - 2**-20, width=32))
def test_the_floor_lets_little_else_pass(threshold: float) -> None:
    """What passes has at least the threshold, but for one part in 100,000."""
    passing = torch.nextafter(logit_floor(threshold), torch.tensor([torch.inf]))

    assert scores_of(passing).item() == pytest.approx(threshold, rel=1e-5)


def test_scores_do_not_depend_on_where_a_logit_stands() -> None:
    """Vectorised float32 sigmoids differ by a rounding from those of a remainder."""
    logits = torch.linspace(-12, 12, 1001)

    alone = torch.cat([scores_of(logit) for logit in logits.split(1)])

    assert torch.equal(scores_of(logits), alone)
