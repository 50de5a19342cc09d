"""Tests for pipelines.models.borrowing: which rule decides what a class borrows.

Five classifier classes, of which c, e and a are seen, in that order; x has boxes only.
"""

import pytest
import torch

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.class_similarity import ClassSimilarity
from pipelines.config import NeighborSettings
from pipelines.errors import MismatchError
from pipelines.models.borrowing import borrow, borrows, may_borrow
from pipelines.models.heads.base import ClassRows
from pipelines.vocabulary import Vocabulary

ROWS = torch.tensor([[10.0, 0.0], [2.0, 0.5], [0.0, 1.0], [0.0, 4.0], [3.0, 3.0]])
CLASSIFIER = ClassifierWeights(ROWS, None, Vocabulary(tuple("abcde"), tuple("ABCDE")), "body:1")
DETECTION = Vocabulary(tuple("cxea"), tuple("CXEA"))
NOVEL = [1, 3]  # b is nearest to a (the third seen class), d to c (the first)


def trained(method: str = "faster-rcnn") -> DetectorCheckpoint:
    """Return a checkpoint without a detector, which borrowing does not look at."""
    return DetectorCheckpoint({}, CLASSIFIER, DETECTION, {"head": {"method": method}}, iteration=1)


def similarity(classes: str = "bd", columns: str = "abcde") -> ClassSimilarity:
    """Return the probabilities of b's and d's images: 0.3 for a, 0.2 for c, 0.1 for e and so on."""
    of = {"b": [0.3, 0.4, 0.2, 0.0, 0.1], "d": [0.0, 0.2, 0.0, 0.8, 0.0]}
    values = torch.tensor(
        [[of[row]["abcde".index(column)] for column in columns] for row in classes]
    )
    names = Vocabulary(tuple(columns), tuple(columns))
    return ClassSimilarity(
        values,
        torch.ones(len(classes), dtype=torch.int64),
        Vocabulary(*2 * [tuple(classes)]),
        names,
    )


def test_each_method_has_its_number_of_neighbours() -> None:
    """Faster R-CNN takes one, LSDA ten (here there are three); a seen class borrows from itself."""
    one, ten = borrow(trained(), CLASSIFIER), borrow(trained("lsda"), CLASSIFIER)

    expected = torch.tensor([[0.0, 0, 1], [0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert torch.equal(one.shares, expected)
    assert one.neighbors.count == 1
    assert torch.equal(ten.shares[NOVEL], torch.full((2, 3), 1 / 3))
    assert torch.equal(ten.shares[[0, 2, 4]], expected[[0, 2, 4]])
    assert ten.neighbors.count == 3
    assert one.judged_by == ("itself", "rows", "itself", "rows", "itself")
    assert one.counts(range(5)) == {"rows": 2}


@pytest.mark.parametrize(
    ("method", "does", "may"),
    [
        ("faster-rcnn", True, False),
        ("lsda", True, False),
        ("zsd", False, False),
        ("wtn", False, True),
        ("ae-wtn-cosine", False, True),
    ],
)
def test_which_methods_borrow(method: str, does: bool, may: bool) -> None:
    """A transfer network and ZSD make every row from the classifier's; the former can mix them."""
    assert borrows(trained(method)) is does
    assert may_borrow(trained(method)) is may


def test_a_share_of_each_novel_row_is_borrowed() -> None:
    """A row is 0.75 own + 0.25 lent for b (from a) and d (from c); seen classes keep their own."""
    one = NeighborSettings(count=1, share=0.25)
    own = ClassRows(torch.arange(10.0).view(5, 2), torch.arange(5.0))
    lent = ClassRows(torch.tensor([[8.0, 0.0], [0.0, 8.0], [4.0, 4.0]]), torch.tensor([0.0, 1, 2]))

    mixed = borrow(trained("ae-wtn"), CLASSIFIER, one).blend(own, lent)

    assert torch.equal(mixed.weight[1], torch.tensor([0.75 * 2 + 1, 0.75 * 3 + 1]))
    assert torch.equal(mixed.weight[3], torch.tensor([0.75 * 6 + 2, 0.75 * 7]))
    assert torch.equal(mixed.bias, torch.tensor([0, 0.75 + 0.5, 2, 0.75 * 3, 4]))
    assert torch.equal(mixed.weight[[0, 2, 4]], own.weight[[0, 2, 4]])


def test_a_transfer_network_borrows_from_five() -> None:
    """Here there are three; without a share, rows stay as they are."""
    found = borrow(trained("ae-wtn"), CLASSIFIER)
    own = ClassRows(torch.arange(10.0).view(5, 2), torch.arange(5.0))

    assert found.neighbors.count == 3
    assert torch.equal(found.blend(own, own.of([0, 2, 4])).weight, own.weight)


@pytest.mark.parametrize("weights", ["uniform", "softmax"])
def test_the_number_of_neighbours_is_that_which_there_is(weights: str) -> None:
    """More than the three seen classes cannot lend, by rows or by images."""
    settings = NeighborSettings.model_validate({"count": 100_000, "weights": weights})

    many = borrow(trained(), CLASSIFIER, settings, similarity=similarity("b"))

    assert many.settings_of(["rows"])["count"] == 3
    assert many.settings_of(["images"])["count"] == 3
    two = borrow(trained(), CLASSIFIER, NeighborSettings(count=2), similarity=similarity("b"))
    assert two.settings_of(["images"])["count"] == two.settings_of(["rows"])["count"] == 2


def test_a_setting_does_not_change_the_number_of_neighbours() -> None:
    """Another metric keeps the method's k; softmax weights take all unless told."""
    l2 = borrow(trained(), CLASSIFIER, NeighborSettings(metric="l2"))
    softmax = borrow(trained(), CLASSIFIER, NeighborSettings(weights="softmax"))

    assert torch.equal(l2.shares[NOVEL], torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]))
    assert (softmax.shares[NOVEL] > 0).all()


def test_a_seen_class_of_another_file_is_itself() -> None:
    """Whatever its new row looks like, a class with boxes takes what it learned."""
    other = ClassifierWeights(
        torch.tensor([[0.0, 1.0], [9.0, 1.0]]), None, Vocabulary(("a", "n"), ("A", "N")), "body:1"
    )

    found = borrow(trained(), other)

    assert torch.equal(found.shares, torch.tensor([[0.0, 0, 1], [0, 0, 1]]))
    assert found.judged_by == ("itself", "rows")


def test_a_table_wins_over_rows() -> None:
    """Its neighbours lend equal shares; a class that it lacks has computed ones."""
    found = borrow(trained(), CLASSIFIER, named={"d": ("e", "a")})

    assert torch.equal(found.shares[3], torch.tensor([0.0, 0.5, 0.5]))
    assert torch.equal(found.shares[1], torch.tensor([0.0, 0, 1]))
    assert found.counts(NOVEL) == {"rows": 1, "table": 1}


@pytest.mark.parametrize(
    ("rules", "used"),
    [
        (["table"], {"share"}),
        (["images"], {"share", "count"}),
        (["table", "rows"], {"share", "count", "metric", "rows", "weights", "temperature"}),
    ],
)
def test_the_settings_of_a_rule_are_those_that_it_uses(rules: list[str], used: set[str]) -> None:
    """A table has no metric, and images have no weights; the share is for all."""
    softmax = NeighborSettings(weights="softmax", share=0.3)
    found = borrow(trained("ae-wtn"), CLASSIFIER, softmax)
    uniform = borrow(trained(), CLASSIFIER)

    assert found.settings_of(rules).keys() == used
    assert uniform.settings_of(rules).keys() == used - {"share", "temperature"}


def test_images_share_in_proportion() -> None:
    """a_ji = sv(j, i) / sum over the seen classes: all of them, or the k most similar."""
    everything = borrow(trained("lsda"), CLASSIFIER, similarity=similarity())
    two = borrow(trained("lsda"), CLASSIFIER, NeighborSettings(count=2), similarity=similarity())

    torch.testing.assert_close(everything.shares[1], torch.tensor([2 / 6, 1 / 6, 3 / 6]))
    torch.testing.assert_close(two.shares[1], torch.tensor([0.4, 0.0, 0.6]))
    assert everything.judged_by[1] == "images"
    assert torch.equal(everything.shares[0], torch.tensor([0.0, 0, 1]))


def test_a_class_that_resembles_no_seen_class_is_judged_by_its_row() -> None:
    """So is one without images; the caller decides whether that is wanted."""
    found = borrow(trained(), CLASSIFIER, similarity=similarity())

    assert found.judged_by[3] == "rows"
    assert torch.equal(found.shares[3], torch.tensor([1.0, 0, 0]))


def test_the_similarity_may_have_classes_in_any_order() -> None:
    """Rows and columns are joined by id."""
    shuffled = borrow(trained(), CLASSIFIER, similarity=similarity("db", "ecadb"))

    assert torch.equal(
        shuffled.shares, borrow(trained(), CLASSIFIER, similarity=similarity()).shares
    )


def test_the_similarity_must_know_the_seen_classes() -> None:
    """A column that is missing is not taken for a probability of 0."""
    with pytest.raises(MismatchError, match="unknown class 'e'"):
        borrow(trained(), CLASSIFIER, similarity=similarity(columns="abcd"))
