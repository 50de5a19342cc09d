"""Tests for pipelines.export: exported rows score as training did, for any classes and any file.

Sizes all differ, so a swapped axis cannot pass.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from pipelines.artifacts import ClassifierWeights, DetectionHead, DetectorCheckpoint
from pipelines.class_similarity import ClassSimilarity
from pipelines.config import HeadPrecision, NeighborSettings, validate_settings
from pipelines.errors import ConfigError, MismatchError
from pipelines.export import export_head
from pipelines.models.checkpoints import class_row_source
from pipelines.models.heads import ClassWeightHead, build_head
from pipelines.models.offline import load_head
from pipelines.models.state_names import BOX_LAYER, CLASS_HEAD
from pipelines.vocabulary import Vocabulary

METHODS = ("faster-rcnn", "wtn", "wtn+", "ae-wtn")
WIDTH, ROI_WIDTH, NUM_ROIS = 10, 6, 13
CLASSIFIER = Vocabulary(tuple("abcdefg"), tuple("ABCDEFG"))
DETECTION = Vocabulary(tuple("fxbd"), ("F too", "X", "B too", "D too"))  # x has no classifier row
BODY, OTHER_BODY = "body:" + "1" * 64, "body:" + "2" * 64
BARE = "rows:" + "3" * 64

Trained = tuple[ClassWeightHead, Path]


def classifier_rows(num_classes: int = len(CLASSIFIER), seed: int = 0) -> Tensor:
    """Return rows whose channels have different means and spreads."""
    random = torch.Generator().manual_seed(seed)
    channels = torch.arange(1.0, WIDTH + 1)
    return torch.randn(num_classes, WIDTH, generator=random) * channels + channels


def save_checkpoint(
    path: Path,
    method: str,
    feature_space: str = BODY,
    roi_width: int = ROI_WIDTH,
    **options: object,
) -> ClassWeightHead:
    """Write a checkpoint of a head with random parameters, and return that head."""
    tree = {
        "classifier": "c",
        "data": {"images": "i", "boxes": "b"},
        "detector": {"roi_width": roi_width},
        "head": {"method": method, "groups": 2, "hidden": 8, **options},
    }
    rows = classifier_rows()
    classifier = ClassifierWeights(rows, None, CLASSIFIER, feature_space)
    torch.manual_seed(1)
    source = class_row_source(rows, CLASSIFIER, DETECTION)
    head = build_head(validate_settings(tree).head, source, roi_width)
    for parameter in head.parameters():  # a zero or shared start would hide a wrong row
        torch.nn.init.normal_(parameter)
    model = {f"{CLASS_HEAD}{name}": tensor for name, tensor in head.state_dict().items()}
    model |= {f"{BOX_LAYER}weight": torch.randn(4, roi_width), f"{BOX_LAYER}bias": torch.randn(4)}
    DetectorCheckpoint(model, classifier, DETECTION, tree, iteration=3).save(path)
    return head


@pytest.fixture(params=METHODS)
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> Trained:
    """Return a head of each method in training mode, and the checkpoint that holds it."""
    path = tmp_path / "checkpoint.safetensors"
    return save_checkpoint(path, request.param).train(), path


@pytest.fixture
def ae_wtn(tmp_path: Path) -> Path:
    """Return a checkpoint of AE-WTN."""
    save_checkpoint(tmp_path / "ae-wtn.safetensors", "ae-wtn")
    return tmp_path / "ae-wtn.safetensors"


def export(checkpoint: Path, **options: object) -> DetectionHead:
    """Export beside the checkpoint and read the file back."""
    report = export_head(checkpoint, checkpoint.with_name("head.safetensors"), **options)
    return DetectionHead.load(report.head)


def logits_of(head: DetectionHead, x: Tensor, ids: tuple[str, ...]) -> Tensor:
    """Score with an exported head as a plain linear layer."""
    rows = head.vocabulary.rows(ids)
    return F.linear(x, head.weight[rows], head.bias[rows])


def test_exported_rows_score_as_training_did(trained: Trained) -> None:
    """For every method, the logits of the classes with boxes are those that the loss saw."""
    head, checkpoint = trained
    x = torch.randn(NUM_ROIS, ROI_WIDTH)

    exported = logits_of(export(checkpoint), x, DETECTION.ids)

    with torch.no_grad():
        torch.testing.assert_close(exported, head(x), rtol=1e-5, atol=1e-5)


def test_all_classes_come_in_a_known_order(trained: Trained) -> None:
    """A head lists the classifier's classes in its order, then those that have only boxes."""
    head = export(trained[1])

    assert head.vocabulary.ids == (*"abcdefg", "x")
    assert head.vocabulary.names == (*"ABCDEFG", "X")
    assert head.groups == ("novel", "seen", "novel", "seen", "novel", "seen", "novel", "other")
    assert (head.weight.shape, head.bias.shape) == ((8, ROI_WIDTH), (8,))
    assert head.box_weight.shape == (4, ROI_WIDTH)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(8)), count=st.integers(1, 8))
def test_a_subset_is_made_of_rows_of_the_whole(
    order: list[int], count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A class file gives its classes in its order, each with the row that it has among all."""
    folder = tmp_path_factory.mktemp("subset")
    save_checkpoint(folder / "checkpoint.safetensors", "ae-wtn")
    whole = export(folder / "checkpoint.safetensors")
    ids = [whole.vocabulary.ids[row] for row in order[:count]]
    (folder / "few.txt").write_text("\n".join(ids))

    few = export(folder / "checkpoint.safetensors", classes=str(folder / "few.txt"))

    assert few.vocabulary.ids == tuple(ids)
    assert torch.equal(few.weight, whole.weight[order[:count]])
    assert torch.equal(few.bias, whole.bias[order[:count]])
    assert few.groups == tuple(whole.groups[row] for row in order[:count])


@pytest.mark.parametrize(
    ("classes", "ids"),
    [("seen", "bdf"), ("novel", "aceg"), ("other", "x"), ("detection", "bdfx")],
)
def test_a_group_can_be_exported(ae_wtn: Path, classes: str, ids: str) -> None:
    """Each group name stands for its classes."""
    assert export(ae_wtn, classes=classes).vocabulary.ids == tuple(ids)


def save_classifier(path: Path, weight: Tensor, ids: str, feature_space: str = BODY) -> Path:
    """Write rows under these ids."""
    ClassifierWeights(weight, None, Vocabulary(tuple(ids), tuple(ids)), feature_space).save(path)
    return path


def test_new_rows_are_standardised_as_in_training(ae_wtn: Path, tmp_path: Path) -> None:
    """A row added later changes no other row, however far it is from the rows of training."""
    extended = torch.cat([classifier_rows(), 1000 + classifier_rows(1, seed=5)])
    path = save_classifier(tmp_path / "more.safetensors", extended, "abcdefgn")

    before, after = export(ae_wtn), export(ae_wtn, classifier=path)

    assert after.vocabulary.ids == (*"abcdefgn", "x")
    assert after.groups[7:] == ("novel", "other")
    old = [*range(7), 8]
    torch.testing.assert_close(after.weight[old], before.weight, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after.bias[old], before.bias)


def test_a_new_row_that_equals_an_old_one_gets_its_detector_row(
    ae_wtn: Path, tmp_path: Path
) -> None:
    """What a class becomes depends on its row alone, not on the file around it."""
    alone = save_classifier(tmp_path / "one.safetensors", classifier_rows()[2:3], "n")

    new = export(ae_wtn, classifier=alone, classes="novel")

    assert new.vocabulary.ids == ("n",)
    torch.testing.assert_close(new.weight[0], export(ae_wtn).weight[2], rtol=1e-5, atol=1e-5)


def test_groups_are_those_of_training(ae_wtn: Path, tmp_path: Path) -> None:
    """Another file's classes are seen or novel as in training; seen ones that it lacks stay out."""
    path = save_classifier(tmp_path / "less.safetensors", classifier_rows()[:3], "abc")

    head = export(ae_wtn, classifier=path)

    assert head.vocabulary.ids == ("a", "b", "c", "x")
    assert head.groups == ("novel", "seen", "novel", "other")


@pytest.mark.parametrize(
    ("trained_space", "given_space", "change", "accepted"),
    [
        pytest.param(BODY, BODY, False, True, id="same body"),
        pytest.param(BODY, BODY, True, True, id="same body, retrained rows"),
        pytest.param(BODY, OTHER_BODY, False, False, id="other body, equal rows"),
        pytest.param(BODY, BARE, False, True, id="bare matrix, equal rows"),
        pytest.param(BODY, BARE, True, False, id="bare matrix, one row differs"),
        pytest.param(BARE, BODY, False, True, id="body given for a bare matrix, equal rows"),
    ],
)
def test_rows_of_another_feature_space_are_refused(
    tmp_path: Path, trained_space: str, given_space: str, change: bool, accepted: bool
) -> None:
    """Rows are taken if their body is the one of training or, without a body, if they are equal."""
    save_checkpoint(tmp_path / "checkpoint.safetensors", "ae-wtn", trained_space)
    rows = classifier_rows()
    rows[4, 1] += change
    path = save_classifier(tmp_path / "given.safetensors", rows, "abcdefg", given_space)

    if accepted:
        assert len(export(tmp_path / "checkpoint.safetensors", classifier=path).vocabulary) == 8
        return
    with pytest.raises(MismatchError, match="its rows act on other features") as error:
        export(tmp_path / "checkpoint.safetensors", classifier=path)
    assert error.value.where == str(path)
    assert "--feature-space-of" in str(error.value.mend)
    assert not (tmp_path / "head.safetensors").exists()


def test_rows_of_another_width_are_refused(ae_wtn: Path, tmp_path: Path) -> None:
    """Rows of another width cannot be of the same features, whatever their fingerprint."""
    path = save_classifier(tmp_path / "wide.safetensors", torch.ones(7, WIDTH + 1), "abcdefg")

    with pytest.raises(MismatchError, match=f"{WIDTH + 1} wide, those of training {WIDTH}"):
        export(ae_wtn, classifier=path)


def test_faster_rcnn_borrows_the_row_of_the_nearest_seen_class(tmp_path: Path) -> None:
    """A novel class scores exactly as the seen class whose classifier row has the top cosine."""
    save_checkpoint(tmp_path / "checkpoint.safetensors", "faster-rcnn")
    head = export(tmp_path / "checkpoint.safetensors")
    rows = classifier_rows().numpy()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    seen = CLASSIFIER.rows("bdf")

    for novel in CLASSIFIER.rows("aceg"):
        nearest = max(seen, key=lambda row: unit[row] @ unit[novel])
        assert torch.equal(head.weight[novel], head.weight[nearest])
        assert head.bias[novel] == head.bias[nearest]


def borrow_for(folder: Path, method: str = "faster-rcnn", **options: object) -> DetectionHead:
    """Export a method that borrows; its novel classes are a, c, e and g, the seen ones f, b, d."""
    save_checkpoint(folder / "checkpoint.safetensors", method)
    return export(folder / "checkpoint.safetensors", **options)


@pytest.mark.parametrize("method", ["faster-rcnn", "lsda"])
def test_a_computed_head_borrows_as_the_exported_one(tmp_path: Path, method: str) -> None:
    """Evaluating without a head file scores what export-head would have written."""
    checkpoint = tmp_path / "checkpoint.safetensors"
    save_checkpoint(checkpoint, method, roi_width=WIDTH)

    computed, exported = load_head(checkpoint), export(checkpoint)

    torch.testing.assert_close(computed.weight, exported.weight)
    torch.testing.assert_close(computed.bias, exported.bias)
    assert computed.vocabulary == exported.vocabulary


def save_similarity(path: Path, classes: str = "aceg") -> Path:
    """Write a similarity by which every class looks most like d, and a quarter as much like b."""
    values = torch.zeros(len(classes), len(CLASSIFIER))
    values[:, CLASSIFIER.rows("bd")] = torch.tensor([0.1, 0.4])
    names = Vocabulary(tuple(classes), tuple(classes.upper()))
    ClassSimilarity(values, torch.ones(len(classes)).long(), names, CLASSIFIER).save(path)
    return path


def test_neighbours_are_chosen_as_asked(tmp_path: Path) -> None:
    """Settings reach the rows, and the head records them."""
    head = borrow_for(tmp_path, neighbors=NeighborSettings(count=3, metric="l2"))

    mean = head.weight[CLASSIFIER.rows("bdf")].mean(dim=0)
    torch.testing.assert_close(head.weight[CLASSIFIER.rows("aceg")], mean.expand(4, -1))
    assert head.provenance["borrowed"] == {"rows": 4}
    assert head.provenance["neighbors"]["count"] == 3
    assert head.provenance["neighbors"]["metric"] == "l2"


def test_a_table_names_neighbours(tmp_path: Path) -> None:
    """A class of the table takes its neighbour's row; the others keep the computed one."""
    (tmp_path / "table.csv").write_text("LabelName,NeighborName\na,f\n")
    computed = borrow_for(tmp_path)

    head = borrow_for(tmp_path, neighbor_table=tmp_path / "table.csv")

    assert torch.equal(head.weight[0], head.weight[CLASSIFIER.positions["f"]])
    assert torch.equal(head.weight[1:], computed.weight[1:])
    assert head.provenance["borrowed"] == {"table": 1, "rows": 3}
    assert [p["role"] for p in head.provenance["parents"]] == ["checkpoint", "neighbor-table"]


def test_a_similarity_shares_by_looks(tmp_path: Path) -> None:
    """Four fifths of d and a fifth of b; with one neighbour, d alone."""
    path = save_similarity(tmp_path / "similarity.safetensors")
    b, d = CLASSIFIER.rows("bd")

    head = borrow_for(tmp_path, similarity=path)
    one = borrow_for(tmp_path, similarity=path, neighbors=NeighborSettings(count=1))

    torch.testing.assert_close(head.weight[0], 0.2 * head.weight[b] + 0.8 * head.weight[d])
    torch.testing.assert_close(head.bias[0], 0.2 * head.bias[b] + 0.8 * head.bias[d])
    torch.testing.assert_close(one.weight[0], one.weight[d])
    assert head.provenance["borrowed"] == {"images": 4}
    assert head.provenance["neighbors"] == {"count": None}
    assert one.provenance["neighbors"] == {"count": 1}


def test_a_class_without_images_needs_leave_to_use_the_proxy(tmp_path: Path) -> None:
    """It is an error unless the class is not chosen or softmax weights are asked for."""
    path = save_similarity(tmp_path / "similarity.safetensors", "ac")
    (tmp_path / "few.txt").write_text("c\na\nd\nx\n")

    with pytest.raises(MismatchError, match="no image of E, G was given\n"):
        borrow_for(tmp_path, similarity=path)
    few = borrow_for(tmp_path, similarity=path, classes=str(tmp_path / "few.txt"))
    softmax = borrow_for(tmp_path, similarity=path, neighbors=NeighborSettings(weights="softmax"))

    assert few.provenance["borrowed"] == {"images": 2}
    assert softmax.provenance["borrowed"] == {"images": 2, "rows": 2}
    assert softmax.provenance["neighbors"] == {
        "count": None, "metric": "cosine", "rows": "raw", "weights": "softmax", "temperature": 1.0,
    }  # fmt: skip


def test_images_that_look_like_no_seen_class_are_told_from_none(tmp_path: Path) -> None:
    """C had images, but they resemble no seen class at all; E and G had none."""
    path = save_similarity(tmp_path / "similarity.safetensors", "ac")
    found = ClassSimilarity.load(path)
    found.similarity[1] = 0
    found.save(path)

    with pytest.raises(MismatchError) as error:
        borrow_for(tmp_path, similarity=path)

    assert error.value.what == (
        "no image of E, G was given; no image of C looked like a seen class"
    )


def test_the_report_tells_what_the_head_records(tmp_path: Path) -> None:
    """Of 100 neighbours asked for there are three seen classes, in the report as in the head."""
    checkpoint = tmp_path / "checkpoint.safetensors"
    save_checkpoint(checkpoint, "ae-wtn")
    asked = NeighborSettings(count=100, share=0.5)

    report = export_head(checkpoint, tmp_path / "head.safetensors", neighbors=asked)
    plain = export_head(checkpoint, tmp_path / "plain.safetensors")

    assert report.neighbors["count"] == 3
    assert report.neighbors == DetectionHead.load(report.head).provenance["neighbors"]
    assert plain.neighbors == {}


def test_a_head_where_nobody_borrows_records_no_neighbours(tmp_path: Path) -> None:
    """Seen classes have rows of their own."""
    seen = borrow_for(tmp_path, classes="seen", neighbors=NeighborSettings(count=2))

    assert seen.provenance.keys() == {"tool", "parents", "method"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbors": {"temperature": 0.2}}, "a temperature is given, but no softmax"),
        ({"neighbor_classes": "c.csv"}, "classes are given for a table of neighbours, but no"),
        ({"neighbor_table": "t.csv", "similarity": "s"}, "both a table and a similarity"),
        ({"similarity": "s", "neighbors": {"metric": "l2"}}, "classifier rows are not compared"),
    ],
)
def test_options_without_effect_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    """What would silently do nothing is an error, and nothing is written."""
    files = {key: Path(name) for key, name in options.items() if key != "neighbors"}
    given = options.get("neighbors")

    with pytest.raises(ConfigError, match=message):
        borrow_for(tmp_path, neighbors=given and NeighborSettings(**given), **files)
    assert not (tmp_path / "head.safetensors").exists()


def test_a_transferred_row_is_mixed_with_those_of_its_neighbours(tmp_path: Path) -> None:
    """Half of each novel row comes from three seen classes; seen rows are those of training."""
    alone = borrow_for(tmp_path, "ae-wtn")
    half = borrow_for(tmp_path, "ae-wtn", neighbors=NeighborSettings(count=3, share=0.5))

    seen, novel = CLASSIFIER.rows("bdf"), CLASSIFIER.rows("aceg")
    mean = alone.weight[seen].mean(dim=0)
    torch.testing.assert_close(half.weight[novel], 0.5 * alone.weight[novel] + 0.5 * mean)
    assert torch.equal(half.weight[seen], alone.weight[seen])
    assert half.provenance["borrowed"] == {"rows": 4}
    assert half.provenance["neighbors"] == {
        "count": 3, "metric": "cosine", "rows": "raw", "weights": "uniform", "share": 0.5,
    }  # fmt: skip


def test_a_share_by_looks_is_mixed_too(tmp_path: Path) -> None:
    """A quarter of a's row is four fifths of d and a fifth of b."""
    path = save_similarity(tmp_path / "similarity.safetensors")
    b, d = CLASSIFIER.rows("bd")

    alone = borrow_for(tmp_path, "ae-wtn")
    mixed = borrow_for(tmp_path, "ae-wtn", similarity=path, neighbors=NeighborSettings(share=0.25))

    lent = 0.2 * alone.weight[b] + 0.8 * alone.weight[d]
    torch.testing.assert_close(mixed.weight[0], 0.75 * alone.weight[0] + 0.25 * lent)
    assert mixed.provenance["neighbors"] == {"count": None, "share": 0.25}


@pytest.mark.parametrize("method", ["faster-rcnn", "lsda"])
def test_a_method_that_borrows_all_mixes_nothing(tmp_path: Path, method: str) -> None:
    """A share would have no effect where a class has no row of its own."""
    with pytest.raises(ConfigError, match=f"under {method} a class without boxes has no row"):
        borrow_for(tmp_path, method, neighbors=NeighborSettings(share=0.5))


def test_zsd_cannot_be_mixed(tmp_path: Path) -> None:
    """Its rows are those of the classifier."""
    with pytest.raises(ConfigError, match="zsd borrows nothing"):
        borrow_for(tmp_path, "zsd", neighbors=NeighborSettings(share=0.5))


def test_a_seen_class_keeps_its_bias_in_another_file(tmp_path: Path) -> None:
    """The same rows from another file make the same head, also with a bias for each class."""
    save_checkpoint(tmp_path / "checkpoint.safetensors", "ae-wtn", bias="per-class")
    same = save_classifier(tmp_path / "same.safetensors", classifier_rows(), "abcdefg")

    own = export(tmp_path / "checkpoint.safetensors")
    other = export(tmp_path / "checkpoint.safetensors", classifier=same)

    assert len(set(own.bias[CLASSIFIER.rows("bdf")].tolist())) > 1
    torch.testing.assert_close(other.bias, own.bias)
    torch.testing.assert_close(other.weight, own.weight)


@pytest.mark.parametrize("method", ["wtn", "ae-wtn"])
@pytest.mark.parametrize("option", ["neighbors", "neighbor_table", "similarity"])
def test_a_method_that_borrows_nothing_says_so(tmp_path: Path, method: str, option: str) -> None:
    """Neighbours given to a transfer network are a misunderstanding."""
    value = NeighborSettings(count=2) if option == "neighbors" else tmp_path / "file"

    with pytest.raises(ConfigError, match=f"{method} borrows nothing") as error:
        borrow_for(tmp_path, method, **{option: value})
    assert error.value.where == str(tmp_path / "checkpoint.safetensors")


def test_lsda_adds_what_it_borrows(tmp_path: Path) -> None:
    """v_j = w_j + (delta_b + delta_d) / 2 for the two nearest seen classes."""
    rows = classifier_rows()
    head_in_training = save_checkpoint(tmp_path / "checkpoint.safetensors", "lsda", roi_width=WIDTH)
    (tmp_path / "table.csv").write_text("LabelName,NeighborName\na,b\na,d\n")

    head = export(tmp_path / "checkpoint.safetensors", neighbor_table=tmp_path / "table.csv")

    b, d = (list("fbd").index(name) for name in "bd")
    delta = head_in_training.delta.detach()
    torch.testing.assert_close(head.weight[0], rows[0] + (delta[b] + delta[d]) / 2)


def test_a_head_is_pinned_to_its_checkpoint(ae_wtn: Path, tmp_path: Path) -> None:
    """The head records the checkpoint's SHA-256, so another checkpoint can refuse it."""
    other = tmp_path / "other.safetensors"
    save_checkpoint(other, "wtn")

    assert export(ae_wtn).checkpoint_sha256 != export(other).checkpoint_sha256


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_rows_can_be_stored_in_less_space(
    ae_wtn: Path, tmp_path: Path, precision: HeadPrecision
) -> None:
    """The report has the precision and the size of the file; only the class rows are rounded."""
    plain, small = tmp_path / "plain.safetensors", tmp_path / "small.safetensors"
    export_head(ae_wtn, plain)

    report = export_head(ae_wtn, small, precision=precision)

    assert (report.precision, report.megabytes) == (precision, small.stat().st_size / 1e6)
    whole, rounded = DetectionHead.load(plain), DetectionHead.load(small)
    assert not torch.equal(rounded.weight, whole.weight)
    largest = float(whole.weight.abs().max())
    torch.testing.assert_close(rounded.weight, whole.weight, rtol=0, atol=largest / 250)
    for name in ("bias", "box_weight", "box_bias"):
        assert torch.equal(getattr(rounded, name), getattr(whole, name)), name
